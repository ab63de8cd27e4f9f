"""Prompts: where they come from, and the table that an environment draws them from.

A table is encoded once; a reset is then an index into it.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import Prompt
from textgym.errors import PromptError, suggestion, unknown_name
from textgym.huggingface_datasets import is_dataset, read_dataset
from textgym.reading import READERS, read_file
from textgym.records import SIDES, Columns, Records, check_spec, shorten, to_prompts
from textgym.spooling import spool
from textgym.streaming import StreamedPrompts, encode_prompt, too_long
from textgym.tokenizers import Tokenizer

SPLITS = (*SIDES, "all")
HINTED = 1000  # prompts among which the nearest one is looked for

PromptSource = Sequence[str | Prompt | Mapping[str, Any]] | str | Path | Mapping[str, Any]


class PromptTable:
    """Prompts with their token ids: ``ids`` is ``(N, P)``, right-aligned, padded with ``vocab_size``.

    Args:
        prompts: The prompts of every split. Where they are streamed, ids are a memory map, and ``prompts``,
            ``texts``, ``references`` and the columns are sequences that fetch a row when it is asked for.
        tokenizer: Encodes them, once.
        max_prompt_tokens: P; by default the longest prompt over all splits.

    Raises:
        PromptError: if there is no prompt, or one is longer than ``max_prompt_tokens``.
    """

    def __init__(self, prompts: Sequence[Prompt], tokenizer: Tokenizer, max_prompt_tokens: int | None = None) -> None:
        if not prompts:
            raise PromptError("no prompts: expected at least one")
        self._made_of = (tokenizer, max_prompt_tokens)
        self.prompts: Sequence[Prompt] = prompts if isinstance(prompts, StreamedPrompts) else tuple(prompts)
        self.texts: Sequence[str]
        self.references: Sequence[tuple[str, ...]]
        self.ids: NDArray[np.int32]  # (N, P)
        self._splits: NDArray[np.int8] | None  # (N,) places in SIDES
        tokens, unknown = self._stream() if self.is_streamed else self._encode()
        if unknown:
            warnings.warn(
                f"{unknown} of {tokens} prompt tokens are outside the vocabulary and appear as <unk> in observations; "
                "infos and rewards see the original text",
                stacklevel=2,
            )

    @property
    def is_streamed(self) -> bool:
        """Whether the rows stay on disk."""
        return isinstance(self.prompts, StreamedPrompts)

    def _stream(self) -> tuple[int, int]:
        """Maps the files, and returns the number of tokens and of unknown ones."""
        assert isinstance(self.prompts, StreamedPrompts)
        self.texts, self.references, self._splits = self.prompts.texts, self.prompts.references, self.prompts.splits
        encoded = self.prompts.encode(*self._made_of)
        self.ids, self.width = encoded.ids, encoded.ids.shape[1]
        return encoded.tokens, encoded.unknown

    def _encode(self) -> tuple[int, int]:
        """Encodes the prompts, and returns the number of tokens and of unknown ones."""
        tokenizer, limit = self._made_of
        for index, prompt in enumerate(self.prompts):
            if not isinstance(prompt, Prompt):
                raise PromptError(f"prompt {index} of the task is {prompt!r}; expected a textgym.episodes.Prompt")
        self.texts = tuple(prompt.text for prompt in self.prompts)
        self.references = tuple(prompt.references for prompt in self.prompts)
        rows = [encode_prompt(tokenizer, text) for text in self.texts]
        self.width = max(1, *(len(row) for row in rows)) if limit is None else limit
        self.ids = np.full((len(rows), self.width), tokenizer.vocab_size, dtype=np.int32)
        for index, row in enumerate(rows):
            if len(row) > self.width:
                raise too_long(index, self.texts[index], len(row), self.width)
            self.ids[index, self.width - len(row) :] = row
        self.ids.setflags(write=False)
        self._splits = self._read_splits()
        unknown = 0 if tokenizer.unk_id is None else int((self.ids == tokenizer.unk_id).sum())
        return sum(map(len, rows)), unknown

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
        return tuple(split for code, split in enumerate(SIDES) if (self._splits == code).any())

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
        rows = np.flatnonzero(self._splits == SIDES.index(split))
        if not len(rows):
            raise PromptError(f"no prompt belongs to the split {split!r}; pass split={self.splits[0]!r} or split='all'")
        return rows

    def column(self, name: str) -> Sequence[Any]:
        """A metadata column: one value a prompt, None where a prompt lacks it."""
        if name not in self.columns:
            raise unknown_name("column of the prompts", name, self.columns)
        return self.columns[name]

    @cached_property
    def columns(self) -> dict[str, Sequence[Any]]:
        """All metadata columns by name, read once, since rewards ask for them at every step."""
        if isinstance(self.prompts, StreamedPrompts):
            return dict(self.prompts.columns)
        names = dict.fromkeys(key for prompt in self.prompts for key in prompt.metadata)
        return {name: [prompt.metadata.get(name) for prompt in self.prompts] for name in names}

    @cached_property
    def longest(self) -> int:
        """The length of the longest text, in characters."""
        return self.prompts.longest if isinstance(self.prompts, StreamedPrompts) else max(map(len, self.texts))

    @cached_property
    def characters(self) -> frozenset[str]:
        """All characters of the texts."""
        if isinstance(self.prompts, StreamedPrompts):
            return self.prompts.characters
        return frozenset().union(*self.texts)

    def index_of(self, text: str) -> int:
        """The row of a prompt given as text."""
        if isinstance(self.prompts, StreamedPrompts):
            row = self.prompts.find(text)
        else:
            row = self.texts.index(text) if text in self.texts else None
        if row is not None:
            return row
        hint = suggestion(text, self.texts[:HINTED])
        hint += f" They are {', '.join(map(shorten, self.texts))}." if len(self) <= 10 else ""
        raise PromptError(
            f"the prompt {shorten(text)} is not one of this task's {len(self)}.{hint} Other prompts come in "
            "through prompts= (on the command line --set prompts=...)"
        )

    def take(self, rows: NDArray[np.int64]) -> PromptTable:
        """A table of these rows alone, in this order and in memory, of the same width."""
        table = object.__new__(PromptTable)
        table._made_of, table.width, table.ids = self._made_of, self.width, self.ids[rows]
        table.prompts = tuple(self.prompts[row] for row in rows.tolist())
        table.texts = tuple(prompt.text for prompt in table.prompts)
        table.references = tuple(prompt.references for prompt in table.prompts)
        table._splits = None if self._splits is None else self._splits[rows]
        return table

    def _read_splits(self) -> NDArray[np.int8] | None:
        splits = [prompt.split for prompt in self.prompts]
        if all(split is None for split in splits):
            return None
        for index, split in enumerate(splits):
            if split not in SIDES:
                raise PromptError(f"prompt {index}: split {split!r}; expected 'train' or 'test' (or none in any row)")
        sides = [{text for text, split in zip(self.texts, splits, strict=True) if split == side} for side in SIDES]
        for text in sorted(sides[0] & sides[1]):
            raise PromptError(f"the prompt {shorten(text)} is in both splits, train and test; keep it in one of them")
        return np.array([SIDES.index(split) for split in splits if split is not None], dtype=np.int8)

    def __getstate__(self) -> dict[str, Any]:
        if not self.is_streamed:
            return self.__dict__
        return {"prompts": self.prompts, "_made_of": self._made_of}  # another process maps the files anew

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.is_streamed:
            self._stream()


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


_TABLES = {"to_pylist": "to_pylist()", "to_dicts": "to_dicts()", "to_dict": "to_dict('records')"}
_COLUMNS = {"prompt", "reference", "metadata", "stream"}
_EXPECTED = (
    "'path' and maybe 'prompt', 'reference', 'metadata' and 'stream'; in the place of 'path', maybe 'dataset', with "
    "'config' and 'split'"
)


def load_prompts(source: PromptSource) -> Sequence[Prompt]:
    """Reads prompts from whatever a user may hand in.

    Args:
        source: One of these:

            - a list of strings, prompts or dicts;
            - a path to a CSV, JSONL, text or Parquet file, or to a folder with a Hugging Face dataset;
            - a ``Dataset`` or ``DatasetDict``;
            - ``{"path": ..., "prompt": column, "reference": column, "metadata": [column, ...]}``;
            - ``{"dataset": ..., "config": ..., "split": ...}`` and columns as before: a folder, a name of the hub or an
              object (:func:`textgym.huggingface_datasets.read_dataset`);
            - ``{"template": "{wish} the {what}", "wish": [...], "what": [...]}``.

            ``"stream": True`` beside "path" or "dataset" leaves the rows on disk
            (:class:`textgym.streaming.StreamedPrompts`).

    Raises:
        PromptError: naming the file, the line or row, and what was expected.
        MissingDependencyError: for Parquet, datasets and streams without the extra ``data``.
    """
    if is_dataset(source):
        return to_prompts(read_dataset(source), Columns())
    if isinstance(source, Mapping):
        return _read_spec(dict(source))
    if isinstance(source, StreamedPrompts):
        return source
    if isinstance(source, str | Path):
        return to_prompts(_open(Path(source)), Columns())
    for method, call in _TABLES.items():
        if hasattr(source, method):  # a table, whose items are its columns or their names
            raise PromptError(f"prompts= is a {type(source).__name__}; expected a list of dicts: table.{call}")
    if not isinstance(source, Iterable):
        raise PromptError(f"prompts={source!r}: expected a list, a path or a dict with 'path'")
    if isinstance(source, set | frozenset):  # whose order is another in each process
        raise PromptError("prompts= is a set, which has no order; expected a list: sorted(prompts)")
    items = list(source)
    if not items:
        raise PromptError("no prompts: expected at least one")
    ready = [Prompt(item) if isinstance(item, str) else item for item in items if isinstance(item, str | Prompt)]
    if len(ready) == len(items):
        return ready
    return to_prompts(Records("prompts=", lambda: ((item, f"item {n}") for n, item in enumerate(items))), Columns())


def _read_spec(options: dict[str, Any]) -> Sequence[Prompt]:
    if "template" in options:
        return from_template(options.pop("template"), **options)
    given = options.keys() - _COLUMNS
    if given != {"path"} and not ({"dataset"} <= given <= {"dataset", "config", "split"}):
        raise PromptError(f"prompts={options!r}: expected the keys {_EXPECTED}")
    check_spec(options)
    metadata = options.get("metadata")
    names = None if metadata is None else tuple(metadata)
    columns = Columns(options.get("prompt"), options.get("reference"), names)
    if "path" in options:
        records = _open(Path(options["path"]))
    else:
        records = read_dataset(options["dataset"], options.get("config"), options.get("split"))
    return spool(records, columns) if options.get("stream") else to_prompts(records, columns)


def _open(path: Path) -> Records:
    """A folder is a data set, unless its name says that a file was meant."""
    path = path.expanduser()
    return read_dataset(path) if path.is_dir() and path.suffix.lower() not in READERS else read_file(path)
