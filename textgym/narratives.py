"""What tasks of short sentences share: which word may follow which, repetitions, and the prompts' columns as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch, Score
from textgym.errors import TaskError

Ids = NDArray[np.int32]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Narrative:
    """A finite-state grammar over kinds of words: the kind of the last word decides what may come next.

    The writable words are the ids ``0, 1, ...`` of a vocabulary whose last two ids are end and unknown.

    Attributes:
        words: Kind -> its words, in id order.
        follows: Kind, or ``"start"`` -> the kinds that may follow, ``"end"`` among them where a text may end.
        vocab_size: Size of the vocabulary.

    Raises:
        TaskError: where a kind that may follow has no words, or the words do not fit into the vocabulary.

    Example:
        >>> grammar = Narrative({"noun": ("cat",), "verb": ("ran",)}, {"start": ["noun"], "noun": ["verb"]}, 4)
        >>> grammar.order_errors(np.array([[0, 1], [1, 4]], dtype=np.int32)).tolist()
        [1, 2]
    """

    words: Mapping[str, Sequence[str]]
    follows: Mapping[str, Sequence[str]]
    vocab_size: int

    def __post_init__(self) -> None:
        missing = {kind for after in self.follows.values() for kind in after} - {*self.words, "end"}
        if missing:
            raise TaskError(f"the kinds {sorted(missing)} may follow, but have no words")
        if len(self.listing) > self.vocab_size - 2:
            raise TaskError(f"{len(self.listing)} words do not fit into a vocabulary of {self.vocab_size} ids")

    @cached_property
    def listing(self) -> tuple[str, ...]:
        """The words in id order."""
        return tuple(word for words in self.words.values() for word in words)

    def flags(self, words: Sequence[str]) -> NDArray[np.int64]:
        """``(V + 1,)`` 1 for the ids of these words, 0 for all others and the padding."""
        table = np.zeros(self.vocab_size + 1, dtype=np.int64)
        table[[self.listing.index(word) for word in words]] = 1
        return table

    def order_errors(self, ids: Ids) -> Counts:
        """``(B,)`` neighbours, beginning and end included, that the grammar does not allow, in ``(B, T)`` texts."""
        kinds = self._kinds[ids]
        start, end = self._names.index("start"), self._names.index("end")
        path = np.pad(kinds, ((0, 0), (1, 1)), constant_values=((0, 0), (start, end)))
        return np.asarray((~self._allowed[path[:, :-1], path[:, 1:]]).sum(axis=1))

    def distinct(self, ids: Ids) -> Ids:
        """``(B, T)`` the ids in ascending order, each once; the padding stands where one came again."""
        found = np.sort(ids, axis=1)
        found[:, 1:][found[:, 1:] == found[:, :-1]] = self.vocab_size
        return found

    def sentence(self, rng: np.random.Generator, most: int) -> list[str]:
        """A random path through the grammar: the kinds of a text of at most ``most`` words."""
        for _ in range(1_000):
            kinds, kind = list[str](), "start"
            while len(kinds) <= most:
                kind = str(rng.choice(list(self.follows[kind])))
                if kind == "end":
                    return kinds
                kinds.append(kind)
        raise TaskError(f"no sentence of at most {most} words was found")

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return ("start", *self.words, "end", "other")

    @cached_property
    def _kinds(self) -> Counts:
        kinds = np.full(self.vocab_size + 1, self._names.index("other"))
        kinds[: len(self.listing)] = [
            self._names.index(kind) for kind, words in self.words.items() for _ in range(len(words))
        ]
        kinds[[self.vocab_size - 2, self.vocab_size]] = self._names.index("end")  # not <unk> between them
        return kinds

    @cached_property
    def _allowed(self) -> NDArray[np.bool_]:
        follows = {**self.follows, "end": ("end",)}
        return np.array([[after in follows.get(before, ()) for after in self._names] for before in self._names])


@dataclass(frozen=True)
class Column:
    """A column of the prompts' metadata as an array, read once for each table of prompts.

    Attributes:
        name: The column.
    """

    name: str
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> NDArray[Any]:
        """``(B, ...)`` the value of each row's prompt."""
        batch = batch.local()
        if self._cache.get("prompts") is not batch.prompts:
            self._cache["values"] = np.array(batch.prompts.column(self.name))
            self._cache["prompts"] = batch.prompts
        values: NDArray[Any] = self._cache["values"]
        return values[batch.prompt_indices]

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Column:
        return self


@dataclass(frozen=True)
class Reached:
    """Whether a text earns enough to succeed.

    Attributes:
        score: What it earns.
        least: What is enough.
    """

    score: Score
    least: float = 1.0

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """1 for success, else 0."""
        return (self.score(batch) >= self.least).astype(np.float64)


def slip(words: Sequence[str], listing: Sequence[str], rng: np.random.Generator) -> list[str]:
    """The words with one mistake: one left out, or exchanged for any word of the listing."""
    place = int(rng.integers(len(words)))
    other = [] if rng.random() < 0.4 else [listing[int(rng.integers(len(listing)))]]
    return [*words[:place], *other, *words[place + 1 :]]
