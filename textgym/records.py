"""Records: rows with named columns, from wherever they come, and how they become prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from textgym.episodes import Prompt
from textgym.errors import PromptError, suggestion

PROMPT_COLUMNS = ("prompt", "text")
REFERENCE_COLUMNS = ("reference", "references")
SIDES = ("train", "test")

Record = tuple[Any, str]
"""A row, and the words that say where it stands."""


@dataclass(frozen=True)
class Records:
    """Rows that can be read again and again, one at a time.

    Attributes:
        name: What messages call them.
        read: Begins to read from the first row.
        types: Column -> Arrow type, where the format says so; else None.
        stamp: What changes whenever the rows do; goes into the key of a cache.
    """

    name: str
    read: Callable[[], Iterator[Record]]
    types: Mapping[str, Any] | None = None
    stamp: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Columns:
    """The columns that a user named; None where none was.

    Attributes:
        prompt: The text of the prompt; by default "prompt", else "text", else the only column.
        reference: Right answers; by default "reference" or "references". One that is named may not be empty.
        metadata: Columns for rewards; by default all others.
    """

    prompt: str | None = None
    reference: str | None = None
    metadata: tuple[str, ...] | None = None

    def find(self, first: Record, names: Iterable[str]) -> Roles:
        """Says which column is what.

        Args:
            first: The first row, which must have the prompt.
            names: The columns of all rows.

        Raises:
            PromptError: for a column that there is not, or if none is the prompt.
        """
        row, where = first
        prompt = _choose_prompt(row, self.prompt, where)
        known = list(names)
        for name in (*((self.reference,) if self.reference else ()), *(self.metadata or ())):
            if name not in known:
                hint = suggestion(str(name), map(str, known))
                raise PromptError(f"{where}: no column {name!r}; there are {', '.join(map(repr, known))}.{hint}")
        found = [name for name in REFERENCE_COLUMNS if name in known and name != prompt]
        reference = self.reference or (found[0] if found else None)
        used = {prompt, reference, "split"}
        metadata = tuple(name for name in known if name not in used) if self.metadata is None else self.metadata
        return Roles(prompt, reference, metadata, needs_reference=bool(self.reference))


@dataclass(frozen=True)
class Roles:
    """Which column of a row is what.

    Attributes:
        prompt: The text of the prompt.
        reference: Right answers, or None.
        metadata: Columns that travel along for rewards.
        needs_reference: Whether a row without an answer is an error.
    """

    prompt: str
    reference: str | None
    metadata: tuple[str, ...]
    needs_reference: bool = False

    def to_prompt(self, record: Record) -> Prompt:
        """Turns a row into a prompt.

        Raises:
            PromptError: for a value that cannot be one, naming the row.
        """
        row, where = record
        text = row.get(self.prompt)
        if not isinstance(text, str):
            raise PromptError(f"{where}: expected a text in the column {self.prompt!r}, got {_described(text)}")
        if not text:
            raise PromptError(
                f"{where}: the prompt in the column {self.prompt!r} is empty; fill it in or leave the row out "
                "(prompts=[''] is one empty prompt, for texts that answer nothing)"
            )
        metadata = {name: row[name] for name in self.metadata if name in row}
        return Prompt(text, self._references(row, where), metadata, row.get("split") or None)

    def _references(self, row: Mapping[str, Any], where: str) -> tuple[str, ...]:
        if self.reference is None:
            return ()
        value = row.get(self.reference)
        if not isinstance(value, str | list | tuple | None) or not all(isinstance(item, str) for item in value or ()):
            raise PromptError(
                f"{where}: expected a text or a list of them in {self.reference!r}, got {_described(value)}"
            )
        if not value and self.needs_reference:
            raise PromptError(
                f"{where}: the answer in the column {self.reference!r} is empty ({value!r}); fill it in, leave the row "
                "out, or, where the empty text is right, make it the list ['']"
            )
        # An empty cell is no reference, or an empty text would be paid for; the list [""] says that one is meant.
        return (value,) if value and isinstance(value, str) else tuple(value or ())


def check_records(records: Iterable[Record]) -> Iterator[Record]:
    """Turns plain texts into rows and refuses what is neither.

    Raises:
        PromptError: naming the row.
    """
    for row, where in records:
        if not isinstance(row, str | Mapping):
            raise PromptError(f"{where}: expected a text or an object with named columns, got {shorten(repr(row))}")
        yield ({"prompt": row} if isinstance(row, str) else row, where)


def check_splits(prompts: Iterable[tuple[Prompt, str]]) -> Iterator[Prompt]:
    """Passes prompts on; either every one of them has a split or none has.

    Raises:
        PromptError: naming the row.
    """
    declared, without = False, ""
    for prompt, where in prompts:
        if prompt.split not in (*SIDES, None):
            raise PromptError(f"{where}: split {prompt.split!r}; expected 'train' or 'test' (or none in any row)")
        declared = declared or prompt.split is not None
        without = without or ("" if prompt.split else where)
        if declared and without:
            raise PromptError(f"{without}: split ''; expected 'train' or 'test' (or none in any row)")
        yield prompt


def to_prompts(source: Records, columns: Columns) -> list[Prompt]:
    """Reads all rows as prompts.

    Raises:
        PromptError: naming the row and what was expected.
    """
    records = list(check_records(source.read()))
    if not records:
        raise no_prompts(source)
    roles = columns.find(records[0], column_names(source, records))
    return list(check_splits((roles.to_prompt(record), record[1]) for record in records))


def check_spec(options: Mapping[str, Any]) -> None:
    """Refuses values of a wrong type in what a user has said of a source.

    Raises:
        PromptError: naming the key.
    """
    wrong = {
        "path": not isinstance(options.get("path", ""), str | PathLike),
        "prompt": not isinstance(options.get("prompt"), str | None),
        "reference": not isinstance(options.get("reference"), str | None),
        "metadata": not isinstance(options.get("metadata"), list | tuple | None),
        "stream": not isinstance(options.get("stream", False), bool),
    }
    expected = {"metadata": "a list of columns", "stream": "True or False", "path": "the name of a file or folder"}
    for key, refused in wrong.items():
        if refused:
            raise PromptError(f"prompts=: {key!r}: {options[key]!r}; expected {expected.get(key, 'one column')}")


def column_names(source: Records, records: Iterable[Record]) -> list[str]:
    """The columns of all rows; rows of JSON need not have the same."""
    if source.types is not None:
        return list(source.types)
    return list(dict.fromkeys(name for row, _ in records for name in row))


def no_prompts(source: Records) -> PromptError:
    """The error for a source without rows."""
    return PromptError(f"{source.name} has no prompts: expected at least one row")


def shorten(text: str) -> str:
    """The text as messages quote it."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _described(value: Any) -> str:
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str | bytes):
        kind = "an object" if isinstance(value, Mapping) else "a list"
        return f"{kind}, {shorten(str(value))}; a nested column cannot be it: name another, or make texts of it first"
    return f"the {type(value).__name__} {value!r:.60}; make texts of them" if value is not None else "nothing (None)"


def _choose_prompt(row: Mapping[str, Any], wanted: str | None, where: str) -> str:
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
