"""Prompts: where they come from, and the table that an environment draws them from.

A table is encoded once; a reset is then an index into it.
"""

from __future__ import annotations

import csv
import itertools
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import Prompt
from textgym.errors import PromptError, suggestion, unknown_name
from textgym.tokenizers import Tokenizer

SPLITS = ("train", "test", "all")
PROMPT_COLUMNS = ("prompt", "text")
REFERENCE_COLUMNS = ("reference", "references")

PromptSource = Sequence[str | Prompt | Mapping[str, Any]] | str | Path | Mapping[str, Any]


class PromptTable:
    """Prompts with their token ids: ``ids`` is ``(N, P)``, right-aligned, padded with ``vocab_size``.

    Args:
        prompts: The prompts of every split.
        tokenizer: Encodes them, once.
        max_prompt_tokens: P; by default the longest prompt over all splits.

    Raises:
        PromptError: if there is no prompt, or one is longer than ``max_prompt_tokens``.
    """

    def __init__(self, prompts: Sequence[Prompt], tokenizer: Tokenizer, max_prompt_tokens: int | None = None) -> None:
        if not prompts:
            raise PromptError("no prompts: expected at least one")
        self.prompts = tuple(prompts)
        self.texts: tuple[str, ...] = tuple(prompt.text for prompt in self.prompts)
        self.references: tuple[tuple[str, ...], ...] = tuple(prompt.references for prompt in self.prompts)
        rows = [tokenizer.encode(text) for text in self.texts]
        self.width = max(1, *(len(row) for row in rows)) if max_prompt_tokens is None else max_prompt_tokens
        for index, row in enumerate(rows):
            if len(row) > self.width:
                raise PromptError(
                    f"prompt {index} ({_shorten(self.texts[index])}) has {len(row)} tokens, but max_prompt_tokens is "
                    f"{self.width}; shorten it or raise max_prompt_tokens"
                )
        self.ids: NDArray[np.int32] = np.full((len(rows), self.width), tokenizer.vocab_size, dtype=np.int32)
        for index, row in enumerate(rows):
            self.ids[index, self.width - len(row) :] = row
        self.ids.setflags(write=False)
        self._splits = self._read_splits()
        self._warn_of_unknown(tokenizer)

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def has_splits(self) -> bool:
        """Whether the prompts say which of them are for training and which for testing."""
        return self._splits is not None

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have prompts: some of "train" and "test", or "all" where none are declared."""
        if self._splits is None:
            return ("all",)
        return tuple(split for split in ("train", "test") if (self._splits == split).any())

    def rows(self, split: str) -> NDArray[np.int64]:
        """The indices of a split's prompts.

        Raises:
            PromptError: if the split is not declared by these prompts.
        """
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        if split == "all":
            return np.arange(len(self))
        if self._splits is None:
            raise PromptError(
                f"split={split!r}, but these prompts declare no splits; add a column 'split' with the values "
                "'train' and 'test', or use split='all'"
            )
        rows = np.flatnonzero(self._splits == split)
        if not len(rows):
            raise PromptError(f"no prompt belongs to the split {split!r}; pass split={self.splits[0]!r} or split='all'")
        return rows

    def column(self, name: str) -> list[Any]:
        """A metadata column: one value a prompt, None where a prompt lacks it."""
        if name not in self.columns:
            raise unknown_name("column of the prompts", name, self.columns)
        return self.columns[name]

    @cached_property
    def columns(self) -> dict[str, list[Any]]:
        """All metadata columns by name, read once, since rewards ask for them at every step."""
        names = dict.fromkeys(key for prompt in self.prompts for key in prompt.metadata)
        return {name: [prompt.metadata.get(name) for prompt in self.prompts] for name in names}

    def index_of(self, text: str) -> int:
        """The row of a prompt given as text."""
        try:
            return self.texts.index(text)
        except ValueError:
            hint = suggestion(text, self.texts)
            hint += f" They are {', '.join(map(_shorten, self.texts))}." if len(self) <= 10 else ""
            raise PromptError(
                f"the prompt {_shorten(text)} is not one of this task's {len(self)}.{hint} Other prompts come in "
                "through prompts= (on the command line --set prompts=...)"
            ) from None

    def _read_splits(self) -> NDArray[np.str_] | None:
        splits = [prompt.split for prompt in self.prompts]
        if all(split is None for split in splits):
            return None
        for index, split in enumerate(splits):
            if split not in ("train", "test"):
                raise PromptError(f"prompt {index}: split {split!r}; expected 'train' or 'test' (or none in any row)")
        sides = [{text for text, split in zip(self.texts, splits, strict=True) if split == side} for side in SPLITS[:2]]
        for text in sorted(sides[0] & sides[1]):
            raise PromptError(f"the prompt {_shorten(text)} is in both splits, train and test; keep it in one of them")
        return np.array(splits)

    def _warn_of_unknown(self, tokenizer: Tokenizer) -> None:
        count = 0 if tokenizer.unk_id is None else int((self.ids == tokenizer.unk_id).sum())
        if count:
            warnings.warn(
                f"{count} of {int((self.ids != tokenizer.vocab_size).sum())} prompt tokens are outside the vocabulary "
                "and appear as <unk> in observations; infos and rewards see the original text",
                stacklevel=2,
            )


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def from_template(template: str, **columns: Sequence[str]) -> list[Prompt]:
    """All combinations of the columns, filled into the template, as prompts with those metadata.

    Example:
        >>> [p.text for p in from_template("{wish} the {what}", wish=["praise", "pan"], what=["film"])]
        ['praise the film', 'pan the film']
    """
    for name, values in columns.items():
        if isinstance(values, str) or not values:  # a text would be taken letter by letter
            raise PromptError(f"the template's column {name!r} is {values!r}; expected a list of texts")
    combinations = (dict(zip(columns, values, strict=True)) for values in itertools.product(*columns.values()))
    try:
        return [Prompt(template.format(**values), metadata=values) for values in combinations]
    except (KeyError, IndexError) as error:
        raise PromptError(f"the template {template!r} asks for {error}; the columns are {sorted(columns)}") from None
    except (ValueError, AttributeError) as error:
        raise PromptError(f"the template {template!r} is broken ({error}); expected names as in '{{wish}}'") from None


def load_prompts(source: PromptSource) -> list[Prompt]:
    """Reads prompts from whatever a user may hand in.

    Args:
        source: A list of strings, prompts or dicts; a path to a CSV, JSONL or text file; a dict
            ``{"path": ..., "prompt": column, "reference": column}``; or a dict
            ``{"template": "{wish} the {what}", "wish": [...], "what": [...]}``.

    Raises:
        PromptError: naming the file, the line and what was expected.
    """
    if isinstance(source, Mapping):
        options = dict(source)
        if "template" in options:
            return from_template(options.pop("template"), **options)
        if "path" not in options or not options.keys() <= {"path", "prompt", "reference"}:
            raise PromptError(f"prompts={dict(source)!r}: expected the keys 'path' and maybe 'prompt' and 'reference'")
        return _from_records(_read_file(Path(options["path"])), options.get("prompt"), options.get("reference"))
    if isinstance(source, str | Path):
        return _from_records(_read_file(Path(source)), None, None)
    if not isinstance(source, Iterable):
        raise PromptError(f"prompts={source!r}: expected a list, a path or a dict with 'path'")
    items = list(source)
    if not items:
        raise PromptError("no prompts: expected at least one")
    ready = [item for item in items if isinstance(item, Prompt)]
    if len(ready) == len(items):
        return ready
    return _from_records([(item, f"item {number}") for number, item in enumerate(items)], None, None)


Record = tuple[Any, str]  # the row and where it stands


def _read_file(path: Path) -> list[Record]:
    read = {".csv": _read_csv, ".jsonl": _read_jsonl, ".txt": _read_lines}.get(path.suffix.lower())
    if read is None:
        raise PromptError(f"prompt file {str(path)!r}: expected a name that ends in .csv, .jsonl, .txt")
    if not path.is_file():
        seen = "is no file" if path.exists() else "does not exist"
        raise PromptError(f"prompt file {str(path)!r} {seen} (looked in {str(Path.cwd())!r})")
    try:
        records = list(read(path))
    except UnicodeDecodeError as error:
        raise PromptError(f"prompt file {str(path)!r} is not UTF-8 (at byte {error.start}); save it as UTF-8") from None
    if not records:
        raise PromptError(f"prompt file {str(path)!r} has no prompts: expected at least one row")
    return records


def _read_csv(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            reader.fieldnames = _read_header(path, reader.fieldnames or ())
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row or any(value is None for value in row.values()):
                    expected = len(reader.fieldnames or ())
                    raise PromptError(f"{where}: expected {expected} columns, as in the header")
                yield row, where
        except csv.Error as error:
            # The reader has stopped where the file ends, far behind an open quote.
            raise PromptError(f"{path}, line {reader.line_num + 1}: not valid CSV ({error})") from None


def _read_header(path: Path, names: Sequence[str]) -> list[str]:
    for mark in (";", "\t"):
        if len(names) == 1 and mark in names[0]:
            raise PromptError(f"{path}, line 1: the columns seem to be separated by {mark!r}, expected commas")
    return [name.strip() for name in names]


def _read_jsonl(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield json.loads(line), f"{path}, line {number}"
                except json.JSONDecodeError as error:
                    raise PromptError(f"{path}, line {number}: expected one JSON object a line ({error.msg})") from None


def _read_lines(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield {"prompt": line.rstrip("\r\n")}, f"{path}, line {number}"


def _from_records(records: Sequence[Record], prompt: str | None, reference: str | None) -> list[Prompt]:
    records = [({"prompt": row} if isinstance(row, str) else row, where) for row, where in records]
    for row, where in records:
        if not isinstance(row, Mapping):
            raise PromptError(f"{where}: expected a text or an object with named columns, got {_shorten(str(row))}")
    first, where = records[0]
    column = _choose_prompt_column(first, prompt, where)
    names = dict.fromkeys(name for row, _ in records for name in row)  # rows of JSON need not have the same
    if reference and reference not in names:
        hint = suggestion(reference, map(str, names))
        raise PromptError(f"{where}: no column {reference!r}; there are {', '.join(map(repr, names))}.{hint}")
    references = [reference] if reference else [name for name in REFERENCE_COLUMNS if name in names and name != column]
    splits = [row.get("split") for row, _ in records]
    for split, (_, where) in zip(splits, records, strict=True) if any(splits) else ():
        if split not in ("train", "test"):
            raise PromptError(f"{where}: split {split!r}; expected 'train' or 'test' (or none in any row)")
    return [_record_to_prompt(row, where, column, references[:1]) for row, where in records]


def _choose_prompt_column(row: Mapping[str, Any], wanted: str | None, where: str) -> str:
    candidates = [wanted] if wanted else [name for name in PROMPT_COLUMNS if name in row] or list(row)
    if candidates[:1] and candidates[0] in row and (len(candidates) == 1 or candidates[0] in PROMPT_COLUMNS):
        return str(candidates[0])
    known, names = ", ".join(map(repr, row)) or "none", [wanted.lower()] if wanted else PROMPT_COLUMNS
    capitals = [name for name in map(str, row) if name.lower() in names]
    hint = f" Did you mean {capitals[0]!r}?" if capitals else suggestion(wanted, map(str, row)) if wanted else ""
    raise PromptError(
        f"{where}: which column is the prompt? There are {known}; name one prompt column 'prompt' or pass "
        f"prompts={{'path': ..., 'prompt': COLUMN}}.{hint}"
    )


def _record_to_prompt(row: Any, where: str, column: str, reference: Sequence[str]) -> Prompt:
    if not isinstance(row.get(column), str):
        raise PromptError(f"{where}: expected a text in the column {column!r}, got {_shorten(str(row))}")
    value = row.get(reference[0]) if reference else None
    if not isinstance(value, str | list | tuple | None) or not all(isinstance(item, str) for item in value or ()):
        raise PromptError(f"{where}: expected a text or a list of them in {reference[0]!r}, got {_shorten(str(value))}")
    # An empty cell is no reference, or an empty text would be paid for; the list [""] says that one is meant.
    references = (value,) if value and isinstance(value, str) else tuple(value or ())
    used = {column, *reference, "split"}
    metadata = {name: item for name, item in row.items() if name not in used}
    return Prompt(row[column], references, metadata, row.get("split") or None)
