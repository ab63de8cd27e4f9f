"""Query strategies: which pairs people should judge next.

Every strategy has ``rank(pairs, counts, comparisons)`` (:class:`~textgym.feedback.assignment.Strategy`). The default is
a random order, and for a reason: Gleave and Irving (2022), "Uncertainty estimation for language reward models", found
ensembles no better than random at choosing comparisons. ``textgym label queries ENV_ID`` tries it on a task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from textgym.bradley_terry import SparseRows, fit_bradley_terry
from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError, unknown_name
from textgym.feedback.assignment import RandomOrder, Strategy
from textgym.feedback.pairs import Pair
from textgym.keys import spawn_seed
from textgym.ngrams import compare_ngrams
from textgym.task import Task

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Measure = Callable[[Floats], Floats]

_GROWTH = 0.1  # a refit costs more, the more judgements there are


def logit_variance(margins: Floats) -> Floats:
    """Variance of the members' score differences, ``(M, N) -> (N,)``."""
    return np.asarray(margins.var(axis=0))


def probability_variance(margins: Floats) -> Floats:
    """Variance of the members' probabilities that the first text is preferred."""
    return np.asarray(_probabilities(margins).var(axis=0))


def label_variance(margins: Floats) -> Floats:
    """Variance of which text the members prefer: largest where half of them prefer either."""
    return np.asarray(np.heaviside(margins, 0.5).var(axis=0))


def expected_information(margins: Floats) -> Floats:
    """How many nats the answer is expected to tell of which member is right.

    The mutual information of answer and member, the entropy of the mean minus the mean entropy: Houlsby et al. (2011),
    "Bayesian active learning for classification and preference learning".

    Example:
        >>> expected_information(np.array([[0.0, 9.0], [0.0, -9.0]])).round(2).tolist()
        [0.0, 0.69]
    """
    chances = _probabilities(margins)
    return np.asarray(_entropy(chances.mean(axis=0)) - _entropy(chances).mean(axis=0))


def _probabilities(margins: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * margins)))


def _entropy(chances: Floats) -> Floats:
    both = np.clip(np.stack([chances, 1.0 - chances]), 1e-300, 1.0)
    return np.asarray(-(both * np.log(both)).sum(axis=0))


MEASURES: dict[str, Measure] = {
    "variance": logit_variance,
    "variance_probability": probability_variance,
    "variance_label": label_variance,
    "information": expected_information,
}
STRATEGIES: tuple[str, ...] = ("random", "round_robin", *MEASURES)


def make_strategy(name: str, *, task: Task | None = None, seed: int = 0) -> Strategy:
    """The query strategy of a name.

    Args:
        name: One of :data:`STRATEGIES`.
        task: The task in which the texts were written; strategies with an ensemble need it.
        seed: Of all that is random.

    Raises:
        UnknownNameError: for another name.
        ConfigurationError: where the task is needed and missing.

    Example:
        >>> make_strategy("random", seed=7)
        RandomOrder(seed=7)
    """
    if name not in STRATEGIES:
        raise unknown_name("query strategy", name, STRATEGIES)
    if name == "random":
        return RandomOrder(seed)
    if name == "round_robin":
        return RoundRobin()
    if task is None:
        raise ConfigurationError(f"the query strategy {name!r} fits models to texts and needs task=")
    return Ensemble(task, MEASURES[name], seed=seed)


@dataclass(frozen=True)
class RoundRobin:
    """Every pair once before any pair twice; among those with as many judgements, the prompts take turns."""

    def rank(self, pairs: Sequence[Pair], counts: Sequence[int], comparisons: Sequence[Comparison]) -> list[int]:
        """Puts pairs in order by how often they were judged.

        Example:
            >>> pairs = [Pair(id=name, prompt=name[0], first="x", second="y") for name in ("a1", "a2", "b1")]
            >>> RoundRobin().rank(pairs, [0, 0, 0], [])
            [0, 2, 1]
        """
        kinds = sorted(range(len(pairs)), key=lambda row: (counts[row], pairs[row].prompt))
        turns = dict[int, int]()
        for _, rows in groupby(kinds, key=lambda row: (counts[row], pairs[row].prompt)):
            turns.update({row: turn for turn, row in enumerate(rows)})
        return sorted(range(len(pairs)), key=lambda row: (counts[row], turns[row], row))


@dataclass(eq=False)
class Ensemble:
    """The pairs first about which the members of an ensemble disagree most.

    The members are linear in n-grams (:mod:`textgym.ngrams`), each fitted to a bootstrap resample of the judgements
    that decided for a text. Until there are enough of those the order is random.

    Attributes:
        task: The task in which the texts were written.
        measure: The members' disagreement ``(N,)`` from their score differences ``(M, N)``.
        members: M, how many models.
        refit_every: New judgements before the models are fitted again; later a tenth of all, if that is more. New pairs
            are a reason too.
        least: Decided judgements before there are models.
        seed: Of the resamples and of the random order, which also breaks ties.

    Raises:
        ConfigurationError: for numbers that cannot be.
    """

    task: Task
    measure: Measure = logit_variance
    members: int = 5
    refit_every: int = 20
    least: int = 20
    seed: int = 0
    _values: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    _fitted: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("members", 2), ("refit_every", 1), ("least", 1)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected at least {least}")

    def rank(self, pairs: Sequence[Pair], counts: Sequence[int], comparisons: Sequence[Comparison]) -> list[int]:
        """Puts pairs in order by disagreement, the largest first."""
        order = RandomOrder(self.seed).rank(pairs, counts, comparisons)
        decided = [item for item in comparisons if item.is_decided]
        if pairs and len(decided) >= self.least and self._is_due(len(decided), pairs):
            values = self.measure(self.margins(pairs, decided)).tolist()
            self._values = {pair.id: value for pair, value in zip(pairs, values, strict=True)}
            self._fitted = len(decided)
        return sorted(order, key=lambda row: -self._values.get(pairs[row].id, 0.0))

    def margins(self, pairs: Sequence[Pair], decided: Sequence[Comparison]) -> Floats:
        """``(M, N)`` by how much each member prefers the first text of each pair.

        Args:
            pairs: What is asked about.
            decided: What the members are fitted to: judgements that preferred a text.
        """
        texts = [(item.prompt, *self._ids(item)) for item in decided]
        texts += [(pair.prompt, *self._encoded(pair)) for pair in pairs]
        _, rows = compare_ngrams(texts, self.task.tokenizer, minimum_count=2)
        rng = np.random.default_rng(spawn_seed(self.seed, "ensemble", str(len(decided))))
        draws = rng.integers(len(decided), size=(self.members, len(decided)))
        asked = take_rows(rows, np.arange(len(decided), len(texts)))
        return np.array([asked.times(fit_bradley_terry(take_rows(rows, drawn))) for drawn in draws])

    def _is_due(self, known: int, pairs: Sequence[Pair]) -> bool:
        grown = abs(known - self._fitted)  # an undo takes judgements away
        return grown >= max(self.refit_every, _GROWTH * self._fitted) or any(
            pair.id not in self._values for pair in pairs
        )

    def _ids(self, item: Comparison) -> tuple[Sequence[int], Sequence[int]]:
        """The chosen and the rejected text as token ids, encoded where they are missing."""
        encode = self.task.encode_completion
        return item.chosen_ids or encode(item.chosen), item.rejected_ids or encode(item.rejected)

    def _encoded(self, pair: Pair) -> tuple[Sequence[int], Sequence[int]]:
        encode = self.task.encode_completion
        return pair.first_ids or encode(pair.first), pair.second_ids or encode(pair.second)


def take_rows(matrix: SparseRows, rows: Integers) -> SparseRows:
    """Some rows of a sparse matrix whose entries are in the order of their rows; a row may be taken more than once.

    Example:
        >>> matrix = SparseRows(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([5.0, 6.0, 7.0]), (2, 2))
        >>> take_rows(matrix, np.array([1, 0, 1])).times(np.array([1.0, 10.0])).tolist()
        [76.0, 5.0, 76.0]
    """
    starts, ends = (np.searchsorted(matrix.rows, rows, side=side) for side in ("left", "right"))
    sizes = ends - starts
    owners = np.repeat(np.arange(len(rows)), sizes)
    entries = np.arange(len(owners)) + np.repeat(starts - (sizes.cumsum() - sizes), sizes)
    return SparseRows(owners, matrix.columns[entries], matrix.values[entries], (len(rows), matrix.shape[1]))
