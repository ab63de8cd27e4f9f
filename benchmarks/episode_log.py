"""The numbers of every finished episode, in a table that grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import ILLEGAL

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Codes = NDArray[np.uint8]

_COLUMNS = (np.int64, np.float64, np.int64, np.uint8)  # of an EpisodeLog
_AT_ONCE = 256  # batches that are copied together: one by one would take a third of the metering's time
_MOST_ROOM = 1 << 24  # rows that are added at once at most


@dataclass(frozen=True, slots=True)
class EpisodeLog:
    """Every finished episode in the order in which they ended; all arrays are ``(N,)``.

    Attributes:
        steps: Environment steps spent, by all environments together, when the episode ended.
        returns: Sum of its rewards.
        lengths: Tokens of its completion.
        stop_codes: Indices into :data:`textgym.episodes.STOP_REASONS`.
    """

    steps: Integers
    returns: Floats
    lengths: Integers
    stop_codes: Codes


class EpisodeTable:
    """Collects what becomes an :class:`EpisodeLog`.

    Args:
        span: Steps after which the end is expected; room for the episodes until then is made in time.

    Attributes:
        waiting: Batches that are not in the table yet, as steps, returns, lengths and stop codes.
    """

    def __init__(self, span: int = 0) -> None:
        self._span = span
        self.waiting: list[tuple[int, Any, Any, Any]] = []
        self._columns: tuple[Any, ...] = tuple(np.zeros(1024, dtype=kind) for kind in _COLUMNS)
        self._count = 0

    def add(self, steps: int, returns: Floats, lengths: Any, stop_codes: Any) -> None:
        """Notes episodes that ended together; their arrays must not change any more."""
        self.waiting.append((steps, returns, lengths, stop_codes))
        if len(self.waiting) >= _AT_ONCE:
            self._copy()

    def add_one(self, steps: int, value: float, length: int, stop_code: int) -> None:
        """Notes one episode."""
        self._copy()
        row = self._make_room(1, steps)
        for column, number in zip(self._columns, (steps, value, length, stop_code), strict=True):
            column[row] = number

    def _copy(self) -> None:
        if self.waiting:
            steps, *parts = zip(*self.waiting, strict=True)
            counts = np.fromiter(map(len, parts[0]), dtype=np.int64, count=len(steps))
            rows = self._make_room(int(counts.sum()), steps[-1])
            self._columns[0][rows] = np.repeat(np.array(steps), counts)
            for column, arrays in zip(self._columns[1:], parts, strict=True):
                np.concatenate(arrays, out=column[rows])
            self.waiting.clear()

    def _make_room(self, count: int, steps: int) -> slice:
        """The next rows; ``steps`` are spent by now."""
        rows = slice(self._count, self._count + count)
        self._count += count
        if self._count > len(self._columns[0]):
            expected = int(1.2 * self._count * self._span / max(1, steps))
            more = max(self._count, min(expected, _MOST_ROOM))  # untouched memory costs nothing
            self._columns = tuple(np.concatenate([old, np.zeros(more, dtype=old.dtype)]) for old in self._columns)
        return rows

    def log(self) -> EpisodeLog:
        """Every episode so far; views, of rows that are never written again."""
        self._copy()
        views = [column[: self._count] for column in self._columns]
        for view in views:
            view.setflags(write=False)
        return EpisodeLog(*views)

    def count_legal(self) -> int:
        """How many of them were not ended by an illegal token."""
        self._copy()
        return int(np.count_nonzero(self._columns[3][: self._count] != ILLEGAL))
