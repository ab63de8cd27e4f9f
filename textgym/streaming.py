"""Prompts that stay on disk: rows of a memory-mapped Arrow file, fetched when somebody asks.

The file and the token ids stand in a cache folder (:mod:`textgym.cache`), written once by :mod:`textgym.spooling`
and mapped by every environment and process that uses them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import index
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from textgym.cache import hash_key, keep
from textgym.episodes import Prompt
from textgym.errors import PromptError
from textgym.records import SIDES, shorten
from textgym.tokenizers import Tokenizer, build_tokenizer, fingerprint

CHUNK = 4096  # rows that are in memory at a time
ROWS, FACTS, HASHES, SPLITS = "rows.arrow", "facts.json", "hashes.npy", "splits.npy"
PROBES = 256  # prompts whose ids tell tokenizers with one vocabulary apart


@dataclass(frozen=True)
class Encoded:
    """The token ids of all prompts.

    Attributes:
        ids: ``(N, P)`` int32, memory-mapped, right-aligned, padded with ``vocab_size``.
        tokens: How many of them are no padding.
        unknown: How many are the unknown token.
    """

    ids: NDArray[np.int32]
    tokens: int
    unknown: int


class StreamedPrompts(Sequence[Prompt]):
    """Prompts in a folder of the cache; index, slice and iterate as with a list.

    What is in memory does not grow with the number of rows, but for 9 bytes a row that say where they belong.

    Args:
        folder: What :func:`textgym.spooling.spool` wrote.

    Attributes:
        texts: The prompts' texts, read on demand.
        references: Their references, read on demand.
        columns: Metadata column -> its values, read on demand.
        splits: ``(N,)`` int8: 0 for "train", 1 for "test"; None where no splits are declared.
        longest: Length of the longest text, in characters.
        characters: All characters of the texts.

    Raises:
        PromptError: if the folder is not there any more.
    """

    def __init__(self, folder: Path) -> None:
        import pyarrow

        self.folder = folder
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            self._file = pyarrow.memory_map(str(folder / ROWS))
            self._reader = pyarrow.ipc.open_file(self._file)
            self._hashes: NDArray[np.uint64] = np.load(folder / HASHES, mmap_mode="r")
            self.splits: NDArray[np.int8] | None = np.load(folder / SPLITS) if facts["splits"] else None
        except OSError:
            raise PromptError(
                f"the streamed prompts in {str(folder)!r} are gone; make the environment again from their source"
            ) from None
        self._size, self._chunk = int(facts["rows"]), int(facts["chunk"])
        self.longest, self.characters = int(facts["longest"]), frozenset(facts["characters"])
        self._batches: dict[int, Any] = {}
        self.texts = LazyColumn(self, "text")
        self.references = LazyColumn(self, "references", tuple)
        self.columns = {name: self._metadata(name, typed=facts["typed"]) for name in facts["columns"]}

    def _metadata(self, name: str, *, typed: bool) -> LazyColumn:
        if typed:
            return LazyColumn(self, f"column {name}")
        return LazyColumn(self, "json", lambda text: json.loads(text).get(name))

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, row: int) -> Prompt: ...
    @overload
    def __getitem__(self, row: slice) -> list[Prompt]: ...
    def __getitem__(self, row: int | slice) -> Prompt | list[Prompt]:
        """One prompt, or the list of a slice's."""
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        metadata = {name: values[row] for name, values in self.columns.items()}
        split = None if self.splits is None else SIDES[self.splits[row]]
        return Prompt(self.texts[row], self.references[row], metadata, split)

    def batch(self, number: int) -> Any:
        """The Arrow batch of rows ``number * chunk`` on, mapped and not copied."""
        found = self._batches.get(number)
        if found is None:
            found = self._batches[number] = self._reader.get_batch(number)
        return found

    def place(self, row: int) -> tuple[int, int]:
        """The batch of a row and where it stands in there."""
        wanted = index(row)
        if not -self._size <= wanted < self._size:
            raise IndexError(f"row {wanted} of {self._size}")
        return divmod(wanted % self._size, self._chunk)

    @property
    def batches(self) -> Sequence[int]:
        """The numbers of all batches."""
        return range(-(-self._size // self._chunk))

    def find(self, text: str) -> int | None:
        """The first row with this text, or None; a look at the hashes, and at the few texts that share one."""
        rows = np.flatnonzero(self._hashes == np.uint64(text_hash(text))).tolist()
        return next((row for row in rows if self.texts[row] == text), None)

    def leaked(self) -> str | None:
        """A text that is in both splits, or None."""
        if self.splits is None:
            return None
        train, test = (np.flatnonzero(self.splits == side) for side in range(2))
        shared = np.intersect1d(self._hashes[train], self._hashes[test])
        seen = {self.texts[row] for row in train[np.isin(self._hashes[train], shared)].tolist()}
        both = {self.texts[row] for row in test[np.isin(self._hashes[test], shared)].tolist()} & seen
        return min(both, default=None)

    def close(self) -> None:
        """Lets go of the files, which Windows would not move or delete otherwise; no row can be read any more."""
        self._batches.clear()
        self._file.close()
        del self._reader, self._hashes

    def build_tokenizer(self, name: str | dict[str, Any]) -> Tokenizer:
        """The tokenizer that a name stands for, its vocabulary taken in one pass; kept for the next environment."""
        return _named_tokenizer(str(self.folder), json.dumps(name, sort_keys=True))

    def encode(self, tokenizer: Tokenizer, max_prompt_tokens: int | None) -> Encoded:
        """The ids of all prompts, written to the cache if nobody has before.

        Raises:
            PromptError: for a prompt that is longer than ``max_prompt_tokens``, naming the row.
        """
        rows = np.linspace(0, self._size - 1, PROBES).astype(int)
        probes = [encode_prompt(tokenizer, self.texts[row]) for row in rows]
        kind = f"{type(tokenizer).__module__}.{type(tokenizer).__qualname__}"
        key = hash_key(kind, fingerprint(tokenizer), max_prompt_tokens, probes)
        folder = keep(self.folder, f"ids-{key}", lambda new: _write_ids(new, self, tokenizer, max_prompt_tokens))
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return Encoded(np.asarray(np.load(folder / "ids.npy", mmap_mode="r")), facts["tokens"], facts["unknown"])

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"])  # type: ignore[misc] # another process maps the files anew

    def __deepcopy__(self, memo: dict[int, Any]) -> StreamedPrompts:
        return self

    def __repr__(self) -> str:
        return f"StreamedPrompts({self._size} rows in {str(self.folder)!r})"


class LazyColumn(Sequence[Any]):
    """One column of streamed prompts as a sequence.

    Args:
        prompts: Where the rows are.
        name: The column of the Arrow file.
        read: Turns what stands there into the value.
    """

    def __init__(self, prompts: StreamedPrompts, name: str, read: Callable[[Any], Any] | None = None) -> None:
        self._prompts, self._name, self._read = prompts, name, read

    def __len__(self) -> int:
        return len(self._prompts)

    def __getitem__(self, row: int | slice) -> Any:
        """One value, or the list of a slice's."""
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        number, offset = self._prompts.place(row)
        value = self._prompts.batch(number).column(self._name)[offset].as_py()
        return value if self._read is None else self._read(value)

    def __iter__(self) -> Iterator[Any]:
        for number in self._prompts.batches:
            values = self._prompts.batch(number).column(self._name).to_pylist()
            yield from values if self._read is None else map(self._read, values)


def text_hash(text: str) -> int:
    """64 bits of a text that are the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def encode_prompt(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a prompt: a tokenizer of chat models frames it, if it has a method ``encode_prompt(text)``."""
    ids: list[int] = getattr(tokenizer, "encode_prompt", tokenizer.encode)(text)
    return ids


def too_long(row: int, text: str, length: int, limit: int) -> PromptError:
    """The error for a prompt with more tokens than the table has room for."""
    return PromptError(
        f"prompt {row} ({shorten(text)}) has {length} tokens, but max_prompt_tokens is {limit}; shorten it or raise "
        "max_prompt_tokens"
    )


@lru_cache(maxsize=8)
def _named_tokenizer(folder: str, name: str) -> Tokenizer:
    prompts = StreamedPrompts(Path(folder))
    answers = (text for references in prompts.references for text in references)
    return build_tokenizer(json.loads(name), (text for texts in (prompts.texts, answers) for text in texts))


def _write_ids(folder: Path, prompts: StreamedPrompts, tokenizer: Tokenizer, limit: int | None) -> None:
    """Encodes chunk by chunk: first end to end, and, once the longest is known, as rows of one width."""
    flat, lengths, unknown = folder / "flat", list[NDArray[np.int32]](), 0
    with flat.open("wb") as file:
        for number in prompts.batches:
            texts = prompts.batch(number).column("text").to_pylist()
            rows = [encode_prompt(tokenizer, text) for text in texts]
            counts = np.array([len(row) for row in rows], dtype=np.int32)
            if limit is not None and counts.max() > limit:
                worst = int((counts > limit).argmax())
                raise too_long(sum(map(len, lengths)) + worst, texts[worst], int(counts[worst]), limit)
            ids = np.fromiter((token for row in rows for token in row), dtype=np.int32, count=int(counts.sum()))
            unknown += 0 if tokenizer.unk_id is None else int((ids == tokenizer.unk_id).sum())
            file.write(ids.tobytes())
            lengths.append(counts)
    width = max(1, *(int(counts.max()) for counts in lengths)) if limit is None else limit
    _align(flat, folder / "ids.npy", lengths, width, tokenizer.vocab_size)
    flat.unlink()
    facts = {"tokens": sum(int(counts.sum()) for counts in lengths), "unknown": unknown}
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _align(flat: Path, target: Path, lengths: Sequence[NDArray[np.int32]], width: int, pad: int) -> None:
    shape, start = (sum(map(len, lengths)), width), 0
    ids = np.lib.format.open_memmap(target, mode="w+", dtype=np.int32, shape=shape)
    with flat.open("rb") as file:
        for counts in lengths:
            block = np.full((len(counts), width), pad, dtype=np.int32)
            block[np.arange(width) >= width - counts[:, None]] = np.fromfile(file, np.int32, int(counts.sum()))
            ids[start : start + len(counts)] = block
            start += len(counts)
    ids.flush()
