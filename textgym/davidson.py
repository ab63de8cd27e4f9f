"""Comparisons that may end in a tie, by judges who favour a side and err more or less often, and the fit to them.

Davidson (1970, "On extending the Bradley-Terry model to accommodate ties in paired comparison experiments") gives ties
a parameter ``tie``. With ``u`` the log-odds of left against right, the chances of left, tie and right are as

    exp(u / 2) : tie : exp(-u / 2)        u = reliability of the judge * (score of left - score of right) + side

``side`` is how much likelier the left text is where both are as good, in log-odds (Davidson and Beaver 1977, "On
extending the Bradley-Terry model to incorporate within-pair order effects"); a judge's reliability is one over
the temperature. Without ties, side and judges this is the model of :mod:`textgym.bradley_terry`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textgym.bradley_terry import SparseRows, sigmoid
from textgym.errors import ConfigurationError
from textgym.newton import Slope, minimise

LEFT, TIE, RIGHT = 1, 0, -1
"""Outcomes of a comparison."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def davidson_probabilities(log_odds: ArrayLike, tie: float) -> Floats:
    """``(N, 3)`` chances of left, tie and right.

    Args:
        log_odds: ``(N,)`` of left against right, where it is no tie.
        tie: The tie parameter, 0 or more; a tie of two equal texts has the chance ``tie / (2 + tie)``.

    Example:
        >>> davidson_probabilities([0.0, 2.0], tie=1.0).round(3).tolist()
        [[0.333, 0.333, 0.333], [0.665, 0.245, 0.09]]
    """
    odds = np.asarray(log_odds, dtype=np.float64)
    small = np.exp(-0.5 * np.abs(odds))  # never overflows
    ties = tie * small / (1.0 + small**2 + tie * small)
    left = sigmoid(odds) * (1.0 - ties)
    return np.stack([left, ties, 1.0 - ties - left], axis=-1)


@dataclass(frozen=True)
class DavidsonFit:
    """What was learned from comparisons.

    Attributes:
        weights: ``(F,)`` of a linear score, on the scale of a judge of reliability 1.
        tie: The tie parameter; 0.0 where nobody said tie.
        side: What the left side is worth, in log-odds; 0.0 where it was not asked.
        reliabilities: ``(K,)`` of the judges, with geometric mean 1; empty where it was not asked.
        log_loss: Mean of minus the logarithm of the chance of what was said.
    """

    weights: Floats
    tie: float
    side: float
    reliabilities: Floats
    log_loss: float


def fit_davidson(
    differences: SparseRows,
    outcomes: Integers,
    *,
    judges: Integers | None = None,
    side: bool = False,
    penalty: float = 1.0,
    judge_penalty: float = 1.0,
    tolerance: float = 1e-9,
    max_iterations: int = 500,
) -> DavidsonFit:
    """Fits a linear score, and whatever else is asked for, to comparisons by penalised maximum likelihood.

    Newton's method (:mod:`textgym.newton`). The loss is convex but for the judges, whose curvature is replaced by its
    expectation (Fisher scoring).

    Args:
        differences: ``(N, F)`` features of the left text minus features of the right one.
        outcomes: ``(N,)`` 1 for left, 0 for tie, -1 for right. Ties get a parameter where there are any.
        judges: ``(N,)`` who judged, 0 to K - 1; None for judges that are all alike.
        side: Whether there is a side term.
        penalty: Weight of the squared norm of the weights. With 0 there may be no optimum.
        judge_penalty: Weight of the squared logarithms of the reliabilities; must be above 0.
        tolerance: Stops once the norm of the gradient is at most this.
        max_iterations: Newton steps at most; judges who contradict each other need many.

    Raises:
        ConfigurationError: for arguments that do not fit together, judgements that all say the same where that leaves
            a parameter without bounds, and if the steps did not suffice.

    Example:
        >>> rows = SparseRows(np.arange(6), np.zeros(6, dtype=int), np.ones(6), (6, 1))
        >>> fit = fit_davidson(rows, np.array([1, 1, 1, 0, -1, -1]), penalty=1e-9)
        >>> round(float(fit.weights[0]), 3), round(fit.tie, 3)  # log(3 / 2) and 1 / sqrt(3 * 2)
        (0.405, 0.408)
    """
    votes = _Votes.of(differences, outcomes, judges, side=side, penalty=penalty, judge_penalty=judge_penalty)
    point = minimise(votes, votes.start, steepness=tolerance, max_iterations=max_iterations)
    weights, log_tie, side_term, logs = votes.split(point)
    return DavidsonFit(
        weights=weights.copy(),
        tie=float(np.exp(log_tie)),
        side=float(side_term),
        reliabilities=np.exp(logs),
        log_loss=float(votes.misses(point).mean()),
    )


@dataclass(frozen=True)
class _Votes:
    """The loss: weights, logarithm of the tie parameter, side, logarithms of the reliabilities, in this order."""

    differences: SparseRows
    outcomes: Floats
    judges: Integers
    judge_count: int
    has_side: bool
    has_ties: bool
    penalty: float
    judge_penalty: float

    @classmethod
    def of(
        cls,
        differences: SparseRows,
        outcomes: Integers,
        judges: Integers | None,
        *,
        side: bool,
        penalty: float,
        judge_penalty: float,
    ) -> _Votes:
        said = set(np.unique(outcomes).tolist())
        if len(outcomes) != differences.shape[0] or not said <= {LEFT, TIE, RIGHT}:
            raise ConfigurationError(
                f"{len(outcomes)} outcomes among {sorted(said)} of {differences.shape[0]} comparisons: expected 1 "
                "(left), 0 (tie) or -1 (right) for each"
            )
        if not said & {LEFT, RIGHT}:
            raise ConfigurationError("no comparison is decided: expected some with a better text")
        if side and not {LEFT, RIGHT} <= said:
            raise ConfigurationError(
                "every text that won stood on the same side: the side term has no bounds; side=False"
            )
        if penalty < 0 or not judge_penalty > 0:
            raise ConfigurationError(
                f"penalty={penalty!r}, judge_penalty={judge_penalty!r}: expected 0 or more, and more than 0"
            )
        if judges is not None and (len(judges) != len(outcomes) or (np.asarray(judges) < 0).any()):
            raise ConfigurationError(f"judges: expected a number of 0 or more for each of {len(outcomes)} comparisons")
        who = np.zeros(len(outcomes), dtype=np.int64) if judges is None else np.asarray(judges, dtype=np.int64)
        count = 0 if judges is None else int(who.max()) + 1
        return cls(
            differences,
            np.asarray(outcomes, dtype=np.float64),
            who,
            count,
            side,
            TIE in said,
            penalty,
            judge_penalty,
        )

    @property
    def start(self) -> Floats:
        return np.zeros(self.differences.shape[1] + 2 + self.judge_count)

    @cached_property
    def free(self) -> Floats:
        """``(F + 2 + K,)`` 1 for what is fitted, 0 for what is not."""
        free = np.ones_like(self.start)
        free[self.differences.shape[1] : self.differences.shape[1] + 2] = self.has_ties, self.has_side
        return free

    def split(self, point: Floats) -> tuple[Floats, float, float, Floats]:
        """Weights, logarithm of the tie parameter, side, and logarithms of the reliabilities, which add up to 0."""
        count = self.differences.shape[1]
        logs = point[count + 2 :]
        log_tie = float(point[count]) if self.has_ties else -np.inf
        return point[:count], log_tie, float(point[count + 1]), logs - logs.mean() if self.judge_count else logs

    def log_odds(self, point: Floats) -> tuple[Floats, Floats, Floats]:
        """``(N,)`` log-odds, the part of them that the scores have, and the reliabilities."""
        weights, _, side, logs = self.split(point)
        reliable = np.exp(logs)[self.judges] if self.judge_count else np.ones(len(self.outcomes))
        scores = reliable * self.differences.times(weights)
        return scores + side, scores, reliable

    def misses(self, point: Floats) -> Floats:
        """``(N,)`` minus the logarithms of the chances of what was said."""
        odds, _, _ = self.log_odds(point)
        log_tie = self.split(point)[1]
        size = np.abs(odds)
        total = np.logaddexp(0.5 * size + np.log1p(np.exp(-size)), log_tie)
        return total - np.where(self.outcomes == TIE, log_tie if self.has_ties else 0.0, 0.5 * self.outcomes * odds)

    def value(self, point: Floats) -> float:
        weights, logs = point[: self.differences.shape[1]], point[self.differences.shape[1] + 2 :]
        fines = self.penalty * (weights**2).sum() + self.judge_penalty * (logs**2).sum()
        return float(self.misses(point).sum() + 0.5 * fines)

    def slope(self, point: Floats) -> Slope:
        odds, scores, reliable = self.log_odds(point)
        left, ties, right = davidson_probabilities(odds, np.exp(self.split(point)[1])).T
        mean = 0.5 * (left - right)
        spread, mixed, tied = 0.25 * (left + right) - mean**2, -mean * ties, ties * (1.0 - ties)
        fines = np.full(len(point), self.judge_penalty)
        fines[: self.differences.shape[1]], fines[self.differences.shape[1] :][:2] = self.penalty, 0.0

        def curve(vector: Floats) -> Floats:
            asked = vector * self.free
            change, tie_change = self._forwards(asked, scores, reliable)
            back = self._backwards(
                spread * change + mixed * tie_change,
                float((mixed * change + tied * tie_change).sum()),
                scores,
                reliable,
            )
            return back + fines * vector

        gradient = self._backwards(
            mean - 0.5 * self.outcomes, float((ties - (self.outcomes == TIE)).sum()), scores, reliable
        )
        diagonal = self._diagonal(spread, float(tied.sum()), scores, reliable) + fines
        return Slope(gradient + fines * point * self.free, curve, np.where(diagonal > 0, diagonal, 1.0))

    def _forwards(self, vector: Floats, scores: Floats, reliable: Floats) -> tuple[Floats, float]:
        """How the log-odds ``(N,)`` and the logarithm of the tie parameter move with the point."""
        count = self.differences.shape[1]
        change = reliable * self.differences.times(vector[:count]) + vector[count + 1]
        if self.judge_count:
            logs = vector[count + 2 :]
            change += scores * (logs - logs.mean())[self.judges]
        return change, float(vector[count])

    def _backwards(self, rows: Floats, tie: float, scores: Floats, reliable: Floats) -> Floats:
        """The transpose of :meth:`_forwards`."""
        parts = [self.differences.transposed_times(reliable * rows), np.array([tie, rows.sum()])]
        if self.judge_count:
            sums = np.bincount(self.judges, scores * rows, self.judge_count)
            parts.append(sums - sums.mean())
        return np.asarray(np.concatenate(parts) * self.free)

    def _diagonal(self, spread: Floats, tied: float, scores: Floats, reliable: Floats) -> Floats:
        rows = self.differences
        entries = rows.values**2 * (reliable**2 * spread)[rows.rows]
        parts = [np.bincount(rows.columns, entries, rows.shape[1]), np.array([tied, spread.sum()])]
        if self.judge_count:
            parts.append(np.bincount(self.judges, scores**2 * spread, self.judge_count))
        return np.concatenate(parts) * self.free
