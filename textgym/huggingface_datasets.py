"""Hugging Face datasets as prompts: objects, saved folders, folders of data files, names of the hub.

No code of a dataset is ever run: ``trust_remote_code`` is never passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from textgym.errors import PromptError, missing_dependency, suggestion
from textgym.records import SIDES, Record, Records

BATCH = 4096  # rows that are decoded at a time
_SAVED = ("state.json", "dataset_dict.json")  # what save_to_disk writes

Part = tuple[Any, str, str | None]
"""A dataset, what messages call it, and the split its rows belong to."""


def is_dataset(source: object) -> bool:
    """Whether this is an object of the library ``datasets``, which is not imported to find out."""
    return type(source).__module__.partition(".")[0] == "datasets"


def read_dataset(source: Any, config: str | None = None, split: str | Mapping[str, str] | None = None) -> Records:
    """Opens a dataset.

    Args:
        source: A ``Dataset`` or ``DatasetDict``, a folder, or a name of the hub.
        config: The configuration, for datasets that have several.
        split: The one part to take, or ``{"train": PART, "test": PART}``. By default "train" and "test" (else
            "validation") are what they say, and a dataset of one part has no splits.

    Raises:
        PromptError: for a dataset that cannot be loaded, or a part that it has not.
        MissingDependencyError: without the library ``datasets``.
    """
    name = "the dataset" if is_dataset(source) else f"the dataset {str(source)!r}"
    data = source if is_dataset(source) else _load(source, config)
    if type(data).__name__.startswith("Iterable"):
        raise PromptError(
            f"{name} is of the type {type(data).__name__}, which has no rows by number; load it without streaming=True"
        )
    parts = _choose_parts(data, split, name)
    features = [part.features.arrow_schema for part, _, _ in parts]
    if any(set(schema.names) != set(features[0].names) for schema in features):
        raise PromptError(f"{name}: its parts have different columns, {' and '.join(str(s.names) for s in features)}")
    types = {field.name: field.type for field in features[0]}
    stamp = ("dataset", [(part._fingerprint, len(part), side) for part, _, side in parts])
    return Records(name, partial(_read, parts), types, stamp)


def _read(parts: Sequence[Part]) -> Iterator[Record]:
    for data, name, side in parts:
        number = 0
        for table in data.with_format("arrow").iter(batch_size=BATCH):  # images and sounds stay undecoded bytes
            for row in table.to_pylist():
                yield (row if side is None else {**row, "split": side}), f"{name}, row {number}"
                number += 1


def _load(source: Any, config: str | None) -> Any:
    try:
        import datasets
    except ImportError:
        raise missing_dependency("datasets", "data", f"the dataset {str(source)!r}") from None
    if not isinstance(source, str | Path):
        raise PromptError(f"prompts=: 'dataset': {source!r}; expected a Dataset, a folder or a name of the hub")
    folder = Path(source).expanduser()
    if folder.is_file():
        raise PromptError(f"prompts=: 'dataset': {str(source)!r} is a file; say prompts={{'path': {str(source)!r}}}")
    try:
        if any((folder / name).is_file() for name in _SAVED):
            return datasets.load_from_disk(str(folder))
        # In full, since a folder called "csv" or "json" would be taken for the loader of that name.
        return datasets.load_dataset(str(folder.resolve()) if folder.is_dir() else str(source), config)
    except Exception as error:  # it has a great many ways to fail, few of which share a class
        raise _unloadable(source, error) from error


def _unloadable(source: Any, error: Exception) -> PromptError:
    reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    if Path(source).is_dir():
        hint = "expected a folder of save_to_disk, or one with CSV, JSONL, Parquet or text files"
    else:
        hint = (
            "there is no such folder, so it was looked for on the Hugging Face hub. Offline, save it where there is a "
            "network (load_dataset(NAME).save_to_disk(FOLDER)) and pass prompts={'dataset': FOLDER}"
        )
    return PromptError(f"the dataset {str(source)!r} cannot be loaded ({reason}); {hint}")


def _choose_parts(data: Any, split: str | Mapping[str, str] | None, name: str) -> list[Part]:
    if not isinstance(data, Mapping):
        if split is not None:
            raise PromptError(
                f"{name} has no parts, so split={split!r} names none; leave it out, or add a column 'split'"
            )
        return [(data, name, None)]
    if split is None:
        split = _usual_parts(list(data), name)
    wanted = {None: split} if isinstance(split, str) else split
    if not isinstance(wanted, Mapping) or not wanted or not wanted.keys() <= {*SIDES, None}:
        raise PromptError(f"{name}: split={split!r}; expected a name or {{'train': NAME, 'test': NAME}}")
    for part in wanted.values():
        if part not in data:
            hint = suggestion(str(part), data)
            raise PromptError(f"{name} has no part {part!r}; there are {', '.join(map(repr, data))}.{hint}")
    return [(data[part], f"{name}, part {part!r}", side) for side, part in wanted.items()]


def _usual_parts(known: Sequence[str], name: str) -> str | dict[str, str]:
    if len(known) == 1:
        return known[0]
    test = next((part for part in ("test", "validation") if part in known), None)
    if "train" in known and test is not None:
        return {"train": "train", "test": test}
    raise PromptError(
        f"{name} has the parts {', '.join(map(repr, known)) or 'none'}; say which to take: "
        "prompts={'dataset': ..., 'split': {'train': NAME, 'test': NAME}} or 'split': NAME"
    )
