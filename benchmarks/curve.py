"""A run's learning curve, summed up while it learns, in a memory that does not grow with the run."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import ILLEGAL, LENGTH

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Codes = NDArray[np.uint8]

POINTS = 50
_BLOCK = 8_192  # episodes that are summed up together at most: as much as fits into a processor's cache


@dataclass(slots=True)
class _Stretch:
    """Sums over the episodes that ended in one stretch of the budget."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0  # of the distances from the mean
    cut: int = 0
    illegal: int = 0

    def add(self, returns: Floats, stop_codes: Codes) -> None:
        """Adds a block of episodes, as Chan, Golub and LeVeque (1983) do."""
        count, first = len(returns), float(returns[0])
        shifted = returns - first  # equal returns have a spread of exactly 0
        mean = float(np.add.reduce(shifted)) / count
        shifted -= mean
        shifted *= shifted
        apart, whole = first + mean - self.mean, self.n + count
        between = apart * (apart * self.n / whole) * count  # apart**2 would raise for what is too large to be squared
        self.squares += float(np.add.reduce(shifted)) + between
        self.mean, self.n = self.mean + apart * (count / whole), whole
        self.cut += int(np.count_nonzero(stop_codes == LENGTH))
        self.illegal += int(np.count_nonzero(stop_codes == ILLEGAL))


class LearningCurve:
    """Averages over the episodes that end in equal stretches of a budget.

    Args:
        steps: The budget. What ends after it belongs to the last stretch.
        points: Number of stretches.

    Attributes:
        until: Steps at which the present stretch ends.
        episodes: Episodes that have been added.
    """

    def __init__(self, steps: int, points: int = POINTS) -> None:
        self._edges: list[int] = np.linspace(0, steps, points + 1)[1:].astype(np.int64).tolist()
        self._stretches = [_Stretch() for _ in self._edges]
        self._returns, self._codes = BytesIO(), BytesIO()  # of the episodes that are not summed up yet
        self._write_returns, self._write_codes = self._returns.write, self._codes.write
        self.episodes = self._summed_up = 0
        self._full = _BLOCK  # episodes at which the block is
        self.until: float = 0
        self.reach(0)

    def reach(self, steps: int) -> None:
        """Tells that so many steps are spent, before the episodes that have ended with them are added."""
        self._sum_up()
        last = len(self._edges) - 1
        place = bisect_left(self._edges, steps, hi=last)
        self._present = self._stretches[place]
        self.until = math.inf if place == last else self._edges[place]

    def add(self, returns: Floats, stop_codes: Codes) -> int:
        """Adds episodes that ended together, and returns how many there are by now.

        They are copied as bytes, which is faster than writing into an array. To hold on to the arrays would take
        longer than both: the environment could not use their memory again.

        Args:
            returns: ``(K,)`` sums of their rewards, float64.
            stop_codes: ``(K,)`` indices into :data:`textgym.episodes.STOP_REASONS`, uint8.

        Raises:
            ValueError: for arrays that are not contiguous.
        """
        self._write_returns(returns)  # type: ignore[arg-type]  # any buffer will do
        self._write_codes(stop_codes)  # type: ignore[arg-type]
        self.episodes = episodes = self.episodes + len(returns)
        if episodes >= self._full:
            self._sum_up()
        return episodes

    def _sum_up(self) -> None:
        count = self.episodes - self._summed_up
        if count:
            returns, codes = self._returns.getvalue(), self._codes.getvalue()
            self._summed_up = self.episodes  # before the rest, which may be interrupted
            self._full = self.episodes + _BLOCK
            self._returns.seek(0)
            self._codes.seek(0)
            self._present.add(np.frombuffer(returns, count=count), np.frombuffer(codes, np.uint8, count))

    @property
    def illegal(self) -> int:
        """How many episodes an illegal token ended."""
        self._sum_up()
        return sum(stretch.illegal for stretch in self._stretches)

    def points(self, gold_steps: Integers, golds: Floats) -> list[dict[str, Any]]:
        """The curve.

        Args:
            gold_steps: ``(M,)`` steps at which texts of a sample ended, in order.
            golds: ``(M,)`` their true scores.

        Returns:
            One dictionary for each stretch in which a text ended: ``steps`` at the stretch's end, mean
            ``reward`` and its standard deviation ``spread``, mean ``gold`` of the sample (None where there is
            none), ``n`` texts, and the shares of them that were ``cut`` at the limit of tokens and ``illegal``.
        """
        self._sum_up()
        ends = np.searchsorted(gold_steps, self._edges, side="right").tolist()
        ends[-1] = len(golds)
        found = []
        for edge, stretch, start, end in zip(self._edges, self._stretches, [0, *ends[:-1]], ends, strict=True):
            if stretch.n:
                sample = golds[start:end]
                found.append(
                    {
                        "steps": edge,
                        "reward": stretch.mean,
                        "gold": float(sample.mean()) if sample.size else None,
                        "n": stretch.n,
                        "spread": math.sqrt(stretch.squares / stretch.n),
                        "cut": stretch.cut / stretch.n,
                        "illegal": stretch.illegal / stretch.n,
                    }
                )
        return found
