"""PrefixTree: all texts that may be written, level by level, and backward induction over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from textgym.errors import SolveError

Floats = NDArray[np.float64]
Levels = tuple[Floats, ...]
"""One array a level of the tree."""

Backup = Callable[[Floats, NDArray[np.bool_], int], Floats]
"""``(q (G, N, K), legal (N, K), level) -> v (G, N)``: what a prefix is worth, given its actions."""


@dataclass(frozen=True, eq=False)
class Level:
    """All prefixes of one length t that can be written and have not ended.

    Attributes:
        tokens: ``(N, t)`` ids of each prefix.
        legal: ``(N, K)`` which ids may come next.
        child: ``(N, K)`` row of the longer prefix in the next level; -1 where the text ends or the id is illegal.
        rewards: ``(G, N, K)`` paid for writing the id, for each group of prompts; illegal ids pay what they cost.
        illegal: ``(G, N)`` paid for an id that may not be written.
    """

    tokens: NDArray[np.int32]
    legal: NDArray[np.bool_]
    child: NDArray[np.int64]
    rewards: Floats
    illegal: Floats

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class PrefixTree:
    """The prefixes of all texts; the same for every prompt, only the rewards differ.

    Attributes:
        columns: ``(K,)`` the ids that may be written somewhere, in ascending order; the columns of the arrays.
        vocab_size: V, the size of the action space.
        levels: One for each length, from the empty text on.
    """

    columns: NDArray[np.int64]
    vocab_size: int
    levels: tuple[Level, ...] = field(repr=False)

    @cached_property
    def text_count(self) -> int:
        """How many texts there are for each prompt."""
        return sum(int((level.legal & (level.child < 0)).sum()) for level in self.levels)

    @cached_property
    def node_count(self) -> int:
        """How many prefixes there are, the empty text included, ended texts not."""
        return sum(map(len, self.levels))

    @cached_property
    def column_of(self) -> dict[int, int]:
        """Id -> its column."""
        return {int(index): column for column, index in enumerate(self.columns)}

    def find(self, prefix: Sequence[int]) -> tuple[int, int]:
        """The level and row of a prefix.

        Raises:
            SolveError: for an id that may not be written there, and for a text that has ended.
        """
        row = 0
        for place, index in enumerate(prefix):
            column = self.column_of.get(int(index))
            if place >= len(self.levels):
                raise SolveError(f"the text {list(prefix)} ends before its id {index}; nothing comes after it")
            if column is None or not self.levels[place].legal[row, column]:
                raise SolveError(f"id {index} may not be written after {list(prefix[:place])}")
            row = int(self.levels[place].child[row, column])
            if row < 0:
                what = "has ended and has no values" if place + 1 == len(prefix) else f"ends before id {place + 1}"
                raise SolveError(f"the text {list(prefix)} {what}; prefixes are texts that go on")
        if len(prefix) >= len(self.levels):
            raise SolveError(f"the text {list(prefix)} has ended and has no values; prefixes go on")
        return len(prefix), row

    def back_up(
        self, discount: float, backup: Backup, rewards: Sequence[Floats] | None = None
    ) -> tuple[Levels, Levels]:
        """Backward induction: ``q = r + discount * v(child)`` and ``v = backup(q)``, from the longest prefixes on.

        Args:
            discount: Gamma.
            backup: What a prefix is worth, given its actions.
            rewards: ``(G, N, K)`` for each level instead of the tree's own.

        Returns:
            ``v (G, N)`` and ``q (G, N, K)`` of every level.
        """
        values: list[Floats] = []
        q_values: list[Floats] = []
        for depth in reversed(range(len(self.levels))):
            level = self.levels[depth]
            q = level.rewards if rewards is None else rewards[depth]
            if values:
                q = q + discount * self.follow(level, values[-1])
            q_values.append(q)
            values.append(backup(q, level.legal, depth))
        return tuple(reversed(values)), tuple(reversed(q_values))

    def follow(self, level: Level, values: Floats) -> Floats:
        """``(G, N, K)`` the values ``(G, N')`` of the next level where the text goes on, 0 where it ends."""
        if not values.shape[1]:
            return np.zeros((len(values), *level.child.shape))
        return np.where(level.child >= 0, values[:, np.maximum(level.child, 0)], 0.0)

    def pass_down(self, policy: Sequence[Floats]) -> Levels:
        """Forward: the probability ``(G, N)`` that each prefix is reached, given ``policy (G, N, K)`` of each level."""
        reached = [np.ones((len(policy[0]), 1))]
        for depth, level in enumerate(self.levels[:-1]):
            going = level.child >= 0
            below = np.empty((len(reached[0]), len(self.levels[depth + 1])))
            below[:, level.child[going]] = (reached[-1][:, :, None] * policy[depth])[:, going]
            reached.append(below)
        return tuple(reached)


def best(q: Floats, legal: NDArray[np.bool_], level: int) -> Floats:
    """The backup of an optimal player: the maximum over the legal ids."""
    return np.where(legal, q, -np.inf).max(axis=2)


def average(q: Floats, legal: NDArray[np.bool_], level: int) -> Floats:
    """The backup of a player who draws among the legal ids: their mean."""
    return np.where(legal, q, 0.0).sum(axis=2) / legal.sum(axis=1)


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover ``count`` rows."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
