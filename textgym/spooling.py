"""Writes the rows of a file or dataset, of any size, into the cache folder that :mod:`textgym.streaming` reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.cache import cache_folder, hash_key, keep
from textgym.episodes import Prompt
from textgym.errors import PromptError, missing_dependency
from textgym.records import SIDES, Columns, Record, Records, Roles, check_records, check_splits, no_prompts, shorten
from textgym.streaming import CHUNK, FACTS, HASHES, ROWS, SPLITS, StreamedPrompts, text_hash

FORMAT = 1  # of the folder; another number makes old folders unseen


def spool(source: Records, columns: Columns, *, cache: Path | None = None) -> StreamedPrompts:
    """Opens the rows of a source without holding them in memory; the first time they are written to the cache.

    Args:
        source: The rows.
        columns: The columns that a user named.
        cache: Where to keep them; by default :func:`textgym.cache.cache_folder`.

    Raises:
        PromptError: naming the row and what was expected.
        MissingDependencyError: without pyarrow.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise missing_dependency("pyarrow", "data", f"'stream': True for {source.name}") from None
    key = hash_key(FORMAT, CHUNK, source.stamp, columns.prompt, columns.reference, columns.metadata)
    return StreamedPrompts(keep(cache or cache_folder(), key, lambda folder: _write(folder, source, columns)))


def _write(folder: Path, source: Records, columns: Columns) -> None:
    roles = _find_roles(source, columns)
    records = check_records(source.read())
    prompts = check_splits((roles.to_prompt(record), record[1]) for record in records)
    facts = _write_rows(folder, source, roles, prompts)
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    written = StreamedPrompts(folder)
    leaked = written.leaked()
    written.close()
    if leaked is not None:
        raise PromptError(f"the prompt {shorten(leaked)} is in both splits, train and test; keep it in one of them")


def _find_roles(source: Records, columns: Columns) -> Roles:
    records: Iterator[Record] = check_records(source.read())
    first = next(records, None)
    if first is None:
        raise no_prompts(source)
    if source.types is not None:
        return columns.find(first, source.types)
    return columns.find(first, dict.fromkeys(name for row, _ in chain([first], records) for name in row))


def _write_rows(folder: Path, source: Records, roles: Roles, prompts: Iterator[Prompt]) -> dict[str, Any]:
    """Writes rows, hashes and splits, and returns the facts about them."""
    import pyarrow

    schema = _schema(source, roles)
    hashes, splits = list[NDArray[np.uint64]](), list[NDArray[np.int8]]()
    longest, characters, count = 0, set[str](), 0
    with pyarrow.OSFile(str(folder / ROWS), "wb") as file, pyarrow.ipc.new_file(file, schema) as writer:
        while chunk := list(islice(prompts, CHUNK)):
            writer.write_batch(_batch(schema, chunk, source, count))
            hashes.append(np.array([text_hash(prompt.text) for prompt in chunk], dtype=np.uint64))
            if chunk[0].split is not None:
                splits.append(np.array([SIDES.index(prompt.split or "") for prompt in chunk], dtype=np.int8))
            longest = max(longest, *(len(prompt.text) for prompt in chunk))
            characters.update(*(prompt.text for prompt in chunk))
            count += len(chunk)
    np.save(folder / HASHES, np.concatenate(hashes))
    if splits:
        np.save(folder / SPLITS, np.concatenate(splits))
    facts = {"rows": count, "chunk": CHUNK, "columns": roles.metadata, "typed": source.types is not None}
    return {**facts, "splits": bool(splits), "longest": longest, "characters": "".join(sorted(characters))}


def _schema(source: Records, roles: Roles) -> Any:
    """Arrow's own types where the source has them; else each row's further columns are one JSON object."""
    import pyarrow

    text = pyarrow.large_string()
    fields = [("text", text), ("references", pyarrow.list_(text))]
    if source.types is None:
        return pyarrow.schema([*fields, ("json", text)])
    return pyarrow.schema([*fields, *((f"column {name}", source.types[name]) for name in roles.metadata)])


def _batch(schema: Any, chunk: Sequence[Prompt], source: Records, first: int) -> Any:
    import pyarrow

    arrays = []
    for field in schema:
        try:
            arrays.append(pyarrow.array(_values(field.name, chunk), type=field.type))
        except (pyarrow.ArrowException, UnicodeEncodeError, TypeError, ValueError) as error:
            raise PromptError(
                f"{source.name}: the {field.name} of rows {first} to {first + len(chunk) - 1} cannot be kept as "
                f"{field.type} ({error}); leave it out with 'metadata': [...], or mend these rows"
            ) from None
    return pyarrow.record_batch(arrays, schema=schema)


def _values(name: str, chunk: Sequence[Prompt]) -> list[Any]:
    if name == "text":
        return [prompt.text for prompt in chunk]
    if name == "references":
        return [prompt.references for prompt in chunk]
    if name == "json":
        return [json.dumps(dict(prompt.metadata)) for prompt in chunk]
    return [prompt.metadata.get(name.removeprefix("column ")) for prompt in chunk]
