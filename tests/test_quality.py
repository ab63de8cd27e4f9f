"""The quality of annotators: exact p-values, side bias at 200 votes, repeats, attention checks, times."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from textgym.annotators import BoltzmannAnnotator
from textgym.biases import PositionBiased
from textgym.comparisons import Choice, Comparison
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.feedback.gathering import SyntheticGatherer
from textgym.feedback.pairs import sample_pairs
from textgym.feedback.quality import SIGNIFICANT, Share, binomial_p, measure_quality

VOTES = 200


def vote(pair: int, choice: Choice, annotator: str = "ann", **details: object) -> Comparison:
    values: dict[str, object] = {"prompt": "p", "left": "a", "right": "b", "pair": str(pair), **details}
    return Comparison(choice=choice, annotator=annotator, **values)  # type: ignore[arg-type]


def biased_votes(seed: int, gamma: float, *, spread: float = 1.0) -> list[Comparison]:
    """Somebody to whom a text on the left is better by ``gamma`` than the same text on the right."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(scale=spread, size=VOTES)
    lefts = rng.random(VOTES) < 1 / (1 + np.exp(-margins - gamma))
    return [vote(row, "left" if left else "right") for row, left in enumerate(lefts.tolist())]


def test_binomial_p_equals_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    cases = [(count, total) for total in range(1, 25) for count in range(total + 1)]
    for count, total in [*cases, (132, 200), (5_100, 10_000), (0, 1000)]:
        assert binomial_p(count, total) == pytest.approx(stats.binomtest(count, total).pvalue, rel=1e-9)


def test_binomial_p_of_nothing_is_one_and_impossible_counts_are_refused() -> None:
    assert binomial_p(0, 0) == 1.0
    with pytest.raises(ConfigurationError, match="3 of 2"):
        binomial_p(3, 2)


@pytest.mark.parametrize("gamma", [0.8, -0.8])
def test_side_bias_is_found_at_200_votes(gamma: float) -> None:
    found = [measure_quality(biased_votes(seed, gamma))[0] for seed in range(100)]
    assert sum(one.left_p < SIGNIFICANT for one in found) >= 90
    side = "left" if gamma > 0 else "right"
    assert found[0].left_p < SIGNIFICANT
    assert any(remark.startswith(f"chose {side} in ") for remark in found[0].remarks)


def test_no_side_bias_is_found_where_there_is_none() -> None:
    found = [measure_quality(biased_votes(seed, 0.0))[0] for seed in range(100)]
    assert sum(one.left_p >= SIGNIFICANT and not one.remarks for one in found) >= 95


def test_ties_and_skips_have_no_side() -> None:
    votes = [vote(0, "left"), vote(1, "tie"), vote(2, "both_bad"), vote(3, "skip"), vote(4, "right")]
    (found,) = measure_quality(votes)
    assert (found.judgements, found.skips, found.left) == (4, 1, Share(1, 2))


def test_repeats_are_compared_with_the_first_answer_on_whichever_side() -> None:
    votes = [
        vote(1, "left"),
        vote(1, "right", swapped=True, metadata={"repeat": True}),  # the same text
        vote(2, "left"),
        vote(2, "left", swapped=True, metadata={"repeat": True}),  # the same side
        vote(3, "left", metadata={"repeat": True}),  # came in before the first answer
        vote(3, "right"),
        vote(3, "right", metadata={"repeat": True}),
        vote(4, "skip"),
        vote(4, "left", metadata={"repeat": True}),
        vote(1, "right", "bo"),
    ]
    ann, bo = measure_quality(votes)
    assert ann.consistent == Share(2, 4)
    assert bo.consistent.total == 0
    assert isnan(bo.consistent.value)


def test_whoever_always_takes_the_left_side_is_not_consistent() -> None:
    votes = [
        vote(row, "left", swapped=again, metadata={"repeat": again}) for row in range(10) for again in (False, True)
    ]
    (found,) = measure_quality(votes)
    assert found.consistent == Share(0, 10)
    assert "answered repeats as before in 0 of 10" in found.remarks


def test_attention_checks() -> None:
    def check(pair: int, choice: Choice, *, swapped: bool) -> Comparison:
        return vote(pair, choice, swapped=swapped, metadata={"attention_check": "second"})

    votes = [check(1, "right", swapped=False), check(2, "left", swapped=True), check(3, "left", swapped=False)]
    votes += [check(4, "tie", swapped=False), check(5, "skip", swapped=False), check(6, "left", swapped=False)]
    (found,) = measure_quality(votes)
    assert found.checks == Share(2, 5)
    assert "passed attention checks in 2 of 5" in found.remarks


def test_times() -> None:
    votes = [
        vote(row, "left" if row % 2 else "right", seconds=seconds) for row, seconds in enumerate([0.3, 9, 4, 5, 6])
    ]
    (found,) = measure_quality([*votes, vote(9, "left"), vote(10, "skip", seconds=0.1)])
    assert (found.median_seconds, found.too_fast) == (5, Share(1, 5))
    assert "answered faster than 1 s in 1 of 5" in found.remarks
    (patient,) = measure_quality(votes, too_fast=0.2)
    assert patient.too_fast == Share(0, 5)
    assert not patient.remarks
    (untimed,) = measure_quality([vote(1, "left")])
    assert isnan(untimed.median_seconds)
    assert isnan(untimed.too_fast.value)


def test_agreement_with_others_leaves_attention_checks_out() -> None:
    votes = [vote(1, "left", "ann"), vote(1, "left", "bo"), vote(1, "right", "cy"), vote(2, "left", "cy")]
    votes += [vote(3, "left", who, metadata={"attention_check": "first"}) for who in ("ann", "bo", "cy")]
    ann, bo, cy = measure_quality(votes)
    assert (ann.agreeing, bo.agreeing, cy.agreeing) == (Share(1, 2), Share(1, 2), Share(0, 2))


def test_nobody_has_no_quality() -> None:
    assert measure_quality([]) == []


@pytest.mark.parametrize(("side", "least", "most"), [(0.8, 19, 20), (0.0, 0, 1)])
def test_simulated_annotators_at_200_votes(side: float, least: int, most: int) -> None:
    """The texts and the gold score of the default task, with sides from the seeded hash that people have, too."""
    envs = EnvFactory("TextGen-v0")
    task = envs.task()
    assert task.gold is not None
    judge = PositionBiased(BoltzmannAnnotator(task.gold, temperature=2.0), side)
    pairs = sample_pairs(envs, "mixed", VOTES, seed=0)
    gatherers = [SyntheticGatherer(task, judge, seed=seed) for seed in range(20)]
    found = [measure_quality(gatherer.gather(pairs))[0] for gatherer in gatherers]
    assert least <= sum(one.left_p < SIGNIFICANT for one in found) <= most
