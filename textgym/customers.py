"""A simulated customer: a hidden wish in parts, answers to questions, and a mind that may change.

The agent has three kinds of turns: *which* and the name of a part, *confirm* and values, *book* and values. Every reply
ends with a word that only the customer has, by which a turn is found again in the row of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.keys import uniform
from textgym.talk import Hidden, last_tokens, pay
from textgym.task import StopRule
from textgym.tokenizers import Tokenizer

PARTS = {
    "cuisine": ("thai", "greek", "french", "indian"),
    "area": ("north", "south", "east", "west"),
    "price": ("cheap", "fair", "dear", "lavish"),
    "party": ("two", "three", "four", "six"),
}
ACTS = ("which", "confirm", "book")
REPLIES = ("please", "yes", "pardon", "thanks", "sorry", "rather")  # all but the last end a reply
COST = 0.05


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        parts: Parts of a wish.
        values: Values of each part.
        known: Parts that the first sentence gives away.
        turns: Of the agent.
        changes: Whether the customer changes their mind.
        guided: Whether the mask allows well-formed turns only.
    """

    name: str
    parts: int
    values: int
    known: int
    turns: int
    changes: bool = False
    guided: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The parts."""
        return tuple(PARTS)[: self.parts]

    @property
    def choices(self) -> tuple[str, ...]:
        """All values, part by part: value v of part p is number ``p * values + v``, which is also its id."""
        return tuple(value for name in self.names for value in PARTS[name][: self.values])


@dataclass(frozen=True)
class Ids:
    """Where the vocabulary of a level has what."""

    level: Level

    @property
    def parts(self) -> int:
        """The first of the parts' names; the values are below."""
        return self.level.parts * self.level.values

    @property
    def acts(self) -> int:
        """The id of the first act, *which*; *confirm* and *book* are next."""
        return self.parts + self.level.parts

    @property
    def replies(self) -> int:
        """The first of the customer's words, in the order of :data:`REPLIES`."""
        return self.acts + len(ACTS)


@dataclass(frozen=True)
class Turns:
    """The agent's present turn in each of B conversations, which is the last one where they have ended.

    Attributes:
        ids: ``(B, K)`` its tokens so far, padded with V.
        heard: ``(B, T)`` where replies end.
    """

    ids: NDArray[np.int32]
    heard: NDArray[np.bool_]

    @classmethod
    def read(cls, level: Level, completions: NDArray[np.int32], lengths: NDArray[np.int64], pad: int) -> Turns:
        """Finds it: after the last "please", "yes" or "pardon", each of which ends a reply."""
        heard = (completions - np.int32(Ids(level).replies)).view(np.uint32) < 3  # smaller ids wrap around
        width = completions.shape[1]
        begin = width - heard[:, ::-1].argmax(axis=1)
        begin *= heard[np.arange(len(heard)), begin - 1]
        places = begin[:, None] + np.arange(level.parts + 1)
        ids = np.take_along_axis(completions, np.minimum(places, width - 1), axis=1)
        return cls(np.where(places < lengths[:, None], ids, np.int32(pad)), heard)

    @property
    def number(self) -> NDArray[np.int64]:
        """``(B,)`` which turn it is, from 1."""
        number: NDArray[np.int64] = self.heard.sum(axis=1) + 1
        return number

    def named(self, level: Level) -> NDArray[np.int64]:
        """``(B, S)`` the value that the turn names for each part, -1 for none."""
        named = np.full((len(self.ids), level.parts), -1)
        for column in self.ids.T:
            rows = (column < level.parts * level.values).nonzero()[0]
            named[rows, column[rows] // level.values] = column[rows] % level.values
        return named


@dataclass(frozen=True)
class Wish:
    """What the customer wants at a turn: the prompt's hidden wish, changed in one part where a level says so.

    Attributes:
        level: Settings.
    """

    level: Level
    _wish: Hidden = field(default_factory=partial(Hidden, "wish"), init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch, turns: Turns) -> NDArray[np.int64]:
        """``(B, S)`` the wish at these turns."""
        wish, level = self._wish(batch), self.level
        if not level.changes:
            return wish
        part, step, when = _draw_change(level, batch.keys)
        rows = (turns.number > when).nonzero()[0]
        wish[rows, part[rows]] = (wish[rows, part[rows]] + 1 + step[rows]) % level.values
        return wish


def _draw_change(level: Level, keys: NDArray[np.uint64]) -> list[NDArray[np.int64]]:
    """Which part changes, by how much and after which turn, ``(B,)`` each; all that may happen is equally likely."""
    counts = {"part": level.parts, "value": level.values - 1, "turn": level.parts - level.known}
    return [(uniform(keys, f"change of mind: {what}") * count).astype(np.int64) for what, count in counts.items()]


@dataclass(frozen=True)
class Customer:
    """The partner: answers questions, confirms, and takes note of the booking.

    Attributes:
        level: Settings.
    """

    level: Level
    max_reply_tokens: int = 3
    _wish: Wish = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_wish", Wish(self.level))

    @property
    def stochastic(self) -> bool:
        """Whether the customer changes their mind by chance."""
        return self.level.changes

    def cases(self) -> list[tuple[float, int]]:
        """A key for each way in which the mind may change, and its probability."""
        level = self.level
        count = level.parts * (level.values - 1) * (level.parts - level.known)
        changes = np.stack(_draw_change(level, np.arange(64 * count, dtype=np.uint64)), axis=1)
        keys = np.unique(changes, axis=0, return_index=True)[1].tolist()
        assert len(keys) == count, "too few keys were tried"
        return [(1.0 / count, key) for key in keys]

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
        """``(B, 3)`` the replies."""
        level, pad, ids = self.level, batch.tokenizer.vocab_size, Ids(self.level)
        please, yes, pardon, thanks, sorry, rather = range(ids.replies, ids.replies + len(REPLIES))
        turns = Turns.read(level, batch.completion_ids, batch.lengths, pad)
        wish, named, act = self._wish(batch, turns), turns.named(level), turns.ids[:, 0] - ids.acts
        replies = np.full((len(batch), 3), pad, dtype=np.int32)
        replies[:, 0] = pardon
        asked = turns.ids[:, 1] - ids.parts
        rows = ((act == 0) & (asked >= 0) & (asked < level.parts)).nonzero()[0]
        replies[rows, 0] = asked[rows] * level.values + wish[rows, asked[rows]]
        replies[rows, 1] = please
        wrong = (named != wish) & (named >= 0)
        replies[(act == 1) & (named >= 0).any(axis=1), 0] = yes
        rows = ((act == 1) & wrong.any(axis=1)).nonzero()[0]
        first = wrong[rows].argmax(axis=1)
        replies[rows, 0], replies[rows, 2] = rather, please
        replies[rows, 1] = first * level.values + wish[rows, first]
        booked = act == 2
        replies[booked, 0] = np.where((named == wish).all(axis=1), thanks, sorry)[booked]
        return replies


@dataclass(frozen=True)
class Booking:
    """1 for the right booking, less the cost of the turns before it.

    Attributes:
        level: Settings.
    """

    level: Level
    range = (0.0, 1.0)
    _wish: Wish = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_wish", Wish(self.level))

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores ``(B,)`` conversations."""
        turns = Turns.read(self.level, batch.completion_ids, batch.lengths, batch.tokenizer.vocab_size)
        wish = self._wish(batch, turns)
        right = (turns.ids[:, 0] == Ids(self.level).acts + 2) & (turns.named(self.level) == wish).all(axis=1)
        return pay(right, turns.number - 1, COST)


@dataclass(frozen=True)
class WellFormed:
    """Only well-formed turns: a question with its part, or a confirmation or booking with a value for each part.

    Attributes:
        level: Settings.
    """

    level: Level
    static = False

    def __call__(
        self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """``(B, V)`` what may come next; since values come in order, the last token alone decides."""
        last = last_tokens(completions, lengths, 1)[:, 0]
        table = _followers(self.level, tokenizer.vocab_size, tokenizer.eos_ids[0])
        return table[np.where(lengths > 0, last, tokenizer.vocab_size)]


@cache
def _followers(level: Level, vocab_size: int, end: int) -> NDArray[np.bool_]:
    """``(V + 1, V)`` what may follow each token, and in the last row what may begin."""
    ids, size = Ids(level), level.values
    table = np.zeros((vocab_size + 1, vocab_size), dtype=bool)
    table[:, ids.acts : ids.replies] = True  # after a reply, and at the beginning
    table[: ids.replies] = False
    table[ids.acts, ids.parts : ids.acts] = True
    table[ids.parts : ids.acts, end] = True
    table[ids.acts + 1 : ids.replies, :size] = True
    for part in range(1, level.parts):
        table[(part - 1) * size : part * size, part * size : (part + 1) * size] = True
    table[ids.parts - size : ids.parts, end] = True
    return table


def make_stop(level: Level) -> StopRule:
    """The end: the customer has heard a booking."""
    return partial(_is_booked, Ids(level).replies + REPLIES.index("thanks"))


def _is_booked(thanks: int, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    last = last_tokens(completions, lengths, 1)[:, 0]
    return (last == thanks) | (last == thanks + 1)
