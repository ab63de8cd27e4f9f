"""Ties, side and reliability: the model of Davidson, its fit to features, and its fit to single texts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym.annotators import BoltzmannAnnotator
from textgym.biases import PositionBiased
from textgym.bradley_terry import SparseRows, fit_bradley_terry
from textgym.comparisons import Comparison
from textgym.davidson import DavidsonFit, _Votes, davidson_probabilities, fit_davidson
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.feedback.gathering import SyntheticGatherer
from textgym.feedback.pairs import sample_pairs, to_batches
from textgym.text_scores import fit_texts

VOTES = 5_000
SEEDS = range(5)


def sparse(matrix: np.ndarray) -> SparseRows:
    rows, columns = np.nonzero(matrix)
    return SparseRows(rows, columns, matrix[rows, columns].astype(float), matrix.shape)


class Election:
    """Simulated votes on items of known worth by judges of known reliability."""

    def __init__(self, seed: int, *, tie: float = 0.7, side: float = 0.8, judges: int = 4, items: int = 20) -> None:
        rng = np.random.default_rng(seed)
        self.worth = rng.normal(size=items)
        logs = rng.normal(scale=0.5, size=judges)
        self.reliabilities = np.exp(logs - logs.mean())
        self.judges = rng.integers(judges, size=VOTES)
        left = rng.integers(items, size=VOTES)
        right = (left + rng.integers(1, items, size=VOTES)) % items
        odds = self.reliabilities[self.judges] * (self.worth[left] - self.worth[right]) + side
        draws, chances = rng.random(VOTES), davidson_probabilities(odds, tie)
        self.outcomes = np.select([draws < chances[:, 0], draws >= chances[:, :2].sum(axis=1)], [1, -1], 0)
        self.matrix = np.zeros((VOTES, items))
        self.matrix[np.arange(VOTES), left], self.matrix[np.arange(VOTES), right] = 1.0, -1.0

    def fit(self, sign: int = 1) -> DavidsonFit:
        return fit_davidson(
            sparse(sign * self.matrix), sign * self.outcomes, judges=self.judges, side=True, penalty=0.01
        )


# ---- the model ------------------------------------------------------------------------------------------------------


@given(st.floats(-2000, 2000), st.floats(0, 1e6))
def test_chances_add_up_and_mirror(odds: float, tie: float) -> None:
    left, tied, right = davidson_probabilities([odds], tie)[0]
    assert left + tied + right == pytest.approx(1.0)
    assert min(left, tied, right) >= -1e-15
    assert davidson_probabilities([-odds], tie)[0].tolist() == pytest.approx([right, tied, left], abs=1e-12)


def test_chances_are_in_davidsons_proportions() -> None:
    left, tied, right = davidson_probabilities([1.5], tie=0.6)[0]
    assert left / right == pytest.approx(math.exp(1.5))
    assert tied / math.sqrt(left * right) == pytest.approx(0.6)  # as in the paper, with worths exp(score)


# ---- the fit --------------------------------------------------------------------------------------------------------


def test_two_texts_have_a_closed_form() -> None:
    wins, losses, ties = 50, 20, 30
    outcomes = np.array([1] * wins + [-1] * losses + [0] * ties)
    fit = fit_davidson(sparse(np.ones((100, 1))), outcomes, penalty=0.0)
    assert fit.weights[0] == pytest.approx(math.log(wins / losses), abs=1e-8)
    assert fit.tie == pytest.approx(ties / math.sqrt(wins * losses), abs=1e-8)
    assert fit.log_loss == pytest.approx(-sum(n / 100 * math.log(n / 100) for n in (wins, losses, ties)), abs=1e-9)
    assert (fit.side, fit.reliabilities.tolist()) == (0.0, [])


def test_without_ties_and_side_it_is_the_fit_of_bradley_and_terry() -> None:
    rng = np.random.default_rng(0)
    matrix, outcomes = rng.integers(-2, 3, (400, 6)).astype(float), rng.choice([-1, 1], size=400)
    plain = fit_bradley_terry(sparse(matrix * outcomes[:, None]), penalty=0.5, tolerance=1e-10)
    fit = fit_davidson(sparse(matrix), outcomes, penalty=0.5)
    assert np.abs(fit.weights - plain).max() < 1e-8
    assert fit.tie == 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_tie_side_and_reliability_are_found_in_five_thousand_votes(seed: int) -> None:
    election = Election(seed)
    fit = election.fit()
    assert fit.tie == pytest.approx(0.7, rel=0.1)
    assert fit.side == pytest.approx(0.8, abs=0.1)
    assert fit.reliabilities == pytest.approx(election.reliabilities, rel=0.2)
    assert np.log(fit.reliabilities).sum() == pytest.approx(0.0, abs=1e-9)
    assert np.corrcoef(fit.weights, election.worth)[0, 1] > 0.98


def test_mirrored_votes_give_the_same_fit_with_the_other_side() -> None:
    one, other = Election(7).fit(), Election(7).fit(sign=-1)
    assert other.weights == pytest.approx(one.weights, abs=1e-7)
    assert other.side == pytest.approx(-one.side, abs=1e-9)
    assert (other.tie, other.log_loss) == pytest.approx((one.tie, one.log_loss), abs=1e-9)
    assert other.reliabilities == pytest.approx(one.reliabilities, abs=1e-7)


def test_a_side_that_is_worth_nothing_is_found_to_be() -> None:
    assert Election(3, side=0.0).fit().side == pytest.approx(0.0, abs=0.1)


def test_the_order_of_votes_and_the_names_of_judges_change_nothing() -> None:
    election, rng = Election(1), np.random.default_rng(0)
    order, names = rng.permutation(VOTES), np.array([2, 0, 3, 1])
    one = election.fit()
    other = fit_davidson(
        sparse(election.matrix[order]),
        election.outcomes[order],
        judges=names[election.judges[order]],
        side=True,
        penalty=0.01,
    )
    assert other.weights == pytest.approx(one.weights, abs=1e-7)
    assert other.reliabilities[names] == pytest.approx(one.reliabilities, abs=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_the_gradient_is_that_of_finite_differences(seed: int, side: bool, several: bool) -> None:
    rng = np.random.default_rng(seed)
    outcomes = np.concatenate([[1, 0, -1], rng.integers(-1, 2, size=27)])
    judges = rng.integers(3, size=30) if several else None
    votes = _Votes.of(sparse(rng.normal(size=(30, 4))), outcomes, judges, side=side, penalty=0.3, judge_penalty=0.7)
    point = 0.5 * rng.normal(size=len(votes.start)) * votes.free
    steps = 1e-5 * np.eye(len(point)) * votes.free[:, None]
    numeric = [(votes.value(point + step) - votes.value(point - step)) / 2e-5 for step in steps]
    assert votes.slope(point).gradient == pytest.approx(np.array(numeric), abs=1e-6)


def test_the_curvature_is_that_of_finite_differences_where_judges_are_alike() -> None:
    rng = np.random.default_rng(5)
    outcomes = rng.integers(-1, 2, size=40)
    votes = _Votes.of(sparse(rng.normal(size=(40, 3))), outcomes, None, side=True, penalty=0.3, judge_penalty=1.0)
    point = rng.normal(size=5)
    slope = votes.slope(point)
    exact = np.stack([slope.times_curvature(unit) for unit in np.eye(5)])
    steps = 1e-5 * np.eye(5)
    numeric = [(votes.slope(point + step).gradient - votes.slope(point - step).gradient) / 2e-5 for step in steps]
    assert exact == pytest.approx(np.array(numeric), abs=1e-6)
    assert exact.diagonal() == pytest.approx(slope.diagonal)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"outcomes": np.array([1, 2])}, "1 \\(left\\)"),
        ({"outcomes": np.array([1])}, "1 outcomes"),
        ({"outcomes": np.array([0, 0])}, "no comparison is decided"),
        ({"side": True, "outcomes": np.array([1, 1])}, "same side"),
        ({"judges": np.array([0])}, "judges"),
        ({"judges": np.array([0, -1])}, "judges"),
        ({"penalty": -1.0}, "penalty"),
        ({"judge_penalty": 0.0}, "judge_penalty"),
    ],
)
def test_the_fit_refuses_what_cannot_be_fitted(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        fit_davidson(sparse(np.ones((2, 1))), **{"outcomes": np.array([1, -1]), **wrong})  # type: ignore[arg-type]


# ---- single texts ---------------------------------------------------------------------------------------------------


def compare(left: int, right: int, choice: str, prompt: str = "p", annotator: str = "") -> Comparison:
    return Comparison(prompt=prompt, left=str(left), right=str(right), choice=choice, annotator=annotator)  # type: ignore[arg-type]


def test_scores_of_texts_equal_those_of_choix() -> None:
    choix = pytest.importorskip("choix")
    rng, items = np.random.default_rng(0), 12
    worth = rng.normal(size=items)
    wins = []
    for _ in range(600):
        one, other = rng.choice(items, 2, replace=False).tolist()
        wins.append((one, other) if rng.random() < 1 / (1 + np.exp(worth[other] - worth[one])) else (other, one))
    said = [compare(a, b, "left") if a < b else compare(b, a, "right") for a, b in wins]
    fit = fit_texts(said, penalty=0.0)
    expected = choix.ilsr_pairwise(items, wins, alpha=0, tol=1e-13)
    ours = np.array([fit.scores["p", str(item)] for item in range(items)])
    assert np.abs(ours - (expected - expected.mean())).max() < 1e-6
    penalised = fit_texts(said, penalty=0.2)  # choix takes the whole square, we half of it
    expected = choix.opt_pairwise(items, wins, alpha=0.1, method="Newton-CG", tol=1e-12)
    ours = np.array([penalised.scores["p", str(item)] for item in range(items)])
    assert np.abs(ours - (expected - expected.mean())).max() < 1e-6


def test_texts_of_different_prompts_have_nothing_to_do_with_each_other() -> None:
    first = [compare(1, 2, choice) for choice in ("left", "left", "right", "tie")]
    second = [compare(1, 2, choice, prompt="q") for choice in ("right", "right", "left", "tie")]
    scores = fit_texts(first + second).scores
    assert scores["p", "1"] == pytest.approx(-scores["p", "2"])
    assert scores["q", "1"] == pytest.approx(scores["p", "2"])


def test_skips_say_nothing_and_both_bad_is_a_tie() -> None:
    said = [compare(1, 2, choice) for choice in ("left", "left", "right", "tie")]
    other = [*said[:3], replace(said[3], choice="both_bad"), compare(1, 3, "skip")]
    assert fit_texts(said) == fit_texts(other)


def test_mirroring_each_comparison_changes_only_the_side() -> None:
    rng = np.random.default_rng(1)
    said = [
        compare(*rng.choice(6, 2, replace=False).tolist(), str(rng.choice(["left", "left", "right", "tie"])))
        for _ in range(300)
    ]
    one, other = fit_texts(said, side=True), fit_texts([item.mirrored() for item in said], side=True)
    assert other.side == pytest.approx(-one.side)
    assert {key: other.scores[key] for key in one.scores} == pytest.approx(one.scores, abs=1e-8)


def test_the_best_text_is_the_one_that_wins() -> None:
    fit = fit_texts([compare(1, 2, "right"), compare(2, 3, "left"), compare(1, 3, "left")])
    assert fit.best("p") == "2"
    with pytest.raises(ConfigurationError, match="'q'"):
        fit.best("q")


def test_annotators_who_err_more_are_less_reliable() -> None:
    rng = np.random.default_rng(2)
    said = []
    for name, temperature in (("careful", 0.5), ("hasty", 3.0)):
        for _ in range(1_500):
            one, other = rng.choice(8, 2, replace=False).tolist()
            wins = rng.random() < 1 / (1 + math.exp((other - one) / 3 / temperature))
            said.append(compare(one, other, "left" if wins else "right", annotator=name))
    found = fit_texts(said, annotators=True).reliabilities
    assert found["careful"] / found["hasty"] == pytest.approx(6.0, rel=0.25)


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ([compare(1, 2, "left")], "1"),
        ([compare(1, 2, "left"), compare(2, 1, "left"), compare(2, 3, "left")], "3"),
        ([compare(1, 2, "tie"), compare(2, 3, "tie"), compare(3, 4, "right")], "4"),
    ],
)
def test_scores_at_infinity_are_refused_without_a_penalty(said: list[Comparison], lost: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"penalty=0: .*'[12{lost}]'"):
        fit_texts(said, penalty=0.0)
    assert all(math.isfinite(score) for score in fit_texts(said).scores.values())


def test_comparisons_that_say_nothing_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="none of 1 comparisons"):
        fit_texts([compare(1, 2, "skip")])


# ---- from simulated annotators to the parameters ---------------------------------------------------------------------


def test_what_an_annotator_was_made_of_is_found_again() -> None:
    envs = EnvFactory("TextGen-v0")
    task = envs.task()
    judge = PositionBiased(BoltzmannAnnotator(task.gold, temperature=1.0, ties=0.7), side=0.8)
    pairs = sample_pairs(envs, "mixed", VOTES, seed=4)
    said = SyntheticGatherer(task, judge, seed=1).gather(pairs)
    first, second = (batch.gold() for batch in to_batches(task, pairs))
    margins = np.where([item.swapped for item in said], second - first, first - second)
    outcomes = np.array([{"left": 1, "tie": 0, "right": -1}[item.choice] for item in said])
    fit = fit_davidson(sparse(margins[:, None]), outcomes, side=True, penalty=1e-6)
    assert fit.weights[0] == pytest.approx(1.0, rel=0.1)
    assert fit.tie == pytest.approx(0.7, rel=0.1)
    assert fit.side == pytest.approx(0.8, abs=0.1)


def test_judges_who_contradict_each_other_are_fitted_too() -> None:
    # Half of them want the opposite, so their reliabilities fall, and the loss is far from convex around the optimum.
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(180, 6))
    judges = np.repeat(np.arange(6), 30)
    wanted = np.where(judges < 3, 1.0, -1.0) * (rows @ np.array([3.0, 1.0, -1.0, 0.5, 0.0, 2.0]))
    outcomes = np.where(rng.random(180) < 1 / (1 + np.exp(-wanted)), 1, -1)
    fit = fit_davidson(sparse(rows), outcomes, judges=judges, penalty=0.1)
    assert np.ptp(np.log(fit.reliabilities)) > 1.0
    assert fit.log_loss < np.log(2)
