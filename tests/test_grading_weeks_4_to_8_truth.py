"""The truth that weeks 4 to 8 are graded by, against other ways to compute the same."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from textgym.bradley_terry import SparseRows
from textgym.course.weeks import week_optimisation, week_preferences, week_statistics, week_targets, week_texts
from textgym.davidson import fit_davidson
from textgym.overoptimisation.curves import rank

Floats = NDArray[np.float64]
RNG = np.random.default_rng


def numeric(function: Any, point: Floats, step: float = 1e-5) -> Floats:
    """The gradient by central differences."""
    slopes = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        moved = [point.copy(), point.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        slopes[index] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return slopes


# ---- week 4 ---------------------------------------------------------------------------------------------------------


def test_double_q_equals_q_where_both_networks_agree() -> None:
    rng = RNG(0)
    rewards, ended, q = rng.normal(size=40), rng.random(40) < 0.3, rng.normal(size=(40, 5))
    masks = rng.random((40, 5)) < 0.5
    masks[:, 0] = True
    single = week_targets.q_targets(rewards, ended, q, masks, 0.9)
    assert np.allclose(week_targets.double_q_targets(rewards, ended, q, q, masks, 0.9), single)
    assert (single[ended] == rewards[ended]).all()
    expected = rewards + 0.9 * np.array([q[row, masks[row]].max() for row in range(40)])
    assert np.allclose(single[~ended], expected[~ended])


def test_advantages_of_whole_texts_are_returns_minus_values() -> None:
    rewards = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0], [3.0, 5.0]])
    ended = np.array([[False, True], [True, False], [False, False], [True, True]])
    resets = np.array([[False, False], [False, True], [True, False], [False, False]])
    values = RNG(1).normal(size=(4, 2))
    found = week_targets.advantages(rewards, values, np.array([9.0, 9.0]), ended, resets, discount=1.0, decay=1.0)
    assert np.allclose(found, np.array([[2.0, 1.0], [2.0, 0.0], [0.0, 5.0], [3.0, 5.0]]) - np.where(resets, 0, values))


def test_advantages_equal_the_agents_own() -> None:
    ppo = pytest.importorskip("textgym.agents.lm.ppo")
    rng = RNG(2)
    rewards, values = rng.normal(size=(7, 6)), rng.normal(size=(7, 6))
    lengths = rng.integers(1, 8, size=6)
    wrote = np.arange(7)[:, None] < lengths
    ended = np.arange(7)[:, None] == lengths - 1
    expected, _ = ppo.estimate(rewards.T, values.T, wrote.T, gamma=0.9, gae_lambda=0.8)
    found = week_targets.advantages(rewards, values, np.zeros(6), ended, ~wrote, discount=0.9, decay=0.8)
    assert np.allclose(found, expected.T)


def test_an_unfinished_text_is_worth_its_last_value() -> None:
    found = week_targets.advantages(
        np.zeros((2, 1)),
        np.ones((2, 1)),
        np.full(1, 5.0),
        np.zeros((2, 1), bool),
        np.zeros((2, 1), bool),
        discount=0.5,
        decay=1.0,
    )
    assert np.allclose(found[:, 0], [0.25 * 5 - 1, 0.5 * 5 - 1])


def test_the_clipped_objective_has_this_gradient() -> None:
    rng = RNG(3)
    logits, masks, gains = rng.normal(size=(9, 4)), rng.random((9, 4)) < 0.7, rng.normal(size=9)
    masks[:, 1] = True
    actions = np.ones(9, dtype=np.int64)
    old = np.log(week_targets.masked_policy(logits + rng.normal(size=logits.shape), masks)[0][:, 1])

    def objective(point: Floats) -> float:
        return week_targets.clipped_objective(point, masks, actions, old, gains, clip=0.2)[0]

    _, slopes = week_targets.clipped_objective(logits, masks, actions, old, gains, clip=0.2)
    assert np.allclose(slopes, numeric(objective, logits), atol=1e-8)
    still = (slopes == 0).all(axis=1)
    assert still.any()
    assert not still.all()


def test_the_clipped_objective_equals_autograd() -> None:
    torch = pytest.importorskip("torch")
    rng = RNG(4)
    logits, masks, gains = rng.normal(size=(20, 5)), rng.random((20, 5)) < 0.6, rng.normal(size=20)
    masks[:, 2] = True
    actions, old = np.full(20, 2), rng.normal(-1.0, 0.5, size=20)
    leaf = torch.tensor(logits, requires_grad=True)
    policy = torch.distributions.Categorical(logits=leaf.masked_fill(~torch.tensor(masks), -1e30))
    ratio = (policy.log_prob(torch.tensor(actions)) - torch.tensor(old)).exp()
    gain = torch.tensor(gains)
    loss = torch.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean()
    loss.backward()
    value, slopes = week_targets.clipped_objective(logits, masks, actions, old, gains, clip=0.2)
    assert np.isclose(value, loss.item())
    assert np.allclose(slopes, leaf.grad.numpy())
    chances, entropy = week_targets.masked_policy(logits, masks)
    assert np.allclose(chances, policy.probs.detach().numpy())
    assert np.allclose(entropy, policy.entropy().detach())


# ---- week 5 ---------------------------------------------------------------------------------------------------------


def test_the_probabilities_of_all_texts_add_up_to_one() -> None:
    texts = week_texts.all_texts(4, 4)
    logits = week_texts.bigram_logits(RNG(0).normal(size=(4, 4)), texts)
    assert len(texts.tokens) == 121
    assert np.isclose(np.exp(week_texts.text_log_probs(logits, texts)).sum(), 1.0)


def test_the_gradient_over_all_texts_is_that_of_the_mean_return() -> None:
    texts, rng = week_texts.all_texts(3, 3), RNG(1)
    returns, table = rng.normal(size=len(texts.tokens)), rng.normal(size=(3, 3))

    def chances(point: Floats) -> Floats:
        return np.exp(week_texts.text_log_probs(week_texts.bigram_logits(point, texts), texts))

    logits, weights = week_texts.bigram_logits(table, texts), chances(table) * len(texts.tokens)
    found = week_texts.gather(week_texts.gradient(logits, texts, returns * weights), texts)
    assert np.allclose(found, numeric(lambda point: float(chances(point) @ returns), table), atol=1e-8)
    blind = week_texts.gather(week_texts.gradient(logits, texts, weights), texts)
    assert np.allclose(blind, 0.0)  # a constant baseline adds nothing


def test_divergence_of_texts_is_that_of_their_tokens() -> None:
    texts, rng = week_texts.all_texts(3, 3), RNG(2)
    logits = [week_texts.bigram_logits(rng.normal(size=(3, 3)), texts) for _ in range(2)]
    policy, reference = (week_texts.text_log_probs(row, texts) for row in logits)
    chances = [week_texts.softmax(row) for row in logits]
    tokens = (chances[0] * np.log(chances[0] / chances[1])).sum(axis=2)
    expected = np.exp(policy) @ np.where(texts.written, tokens, 0.0).sum(axis=1)
    assert np.isclose(week_texts.divergence(policy, reference), expected)
    assert week_texts.divergence(policy, policy) == 0.0


# ---- week 6 ---------------------------------------------------------------------------------------------------------


def test_wins_are_read_from_the_right_side() -> None:
    said: list[week_preferences.Judgement] = [
        {"a": 0, "b": 1, "left": "a", "choice": "left"},
        {"a": 0, "b": 1, "left": "b", "choice": "left"},
        {"a": 0, "b": 2, "left": "b", "choice": "right"},
        {"a": 1, "b": 2, "left": "a", "choice": "tie"},
        {"a": 1, "b": 2, "left": "a", "choice": "skip"},
    ]
    assert week_preferences.count_wins(said, 3).tolist() == [[0, 1, 1], [1, 0, 0.5], [0, 0.5, 0]]


def test_the_fit_equals_davidsons_without_ties() -> None:
    rng, count = RNG(0), 5
    wins = rng.integers(0, 6, size=(count, count)) * (1 - np.eye(count, dtype=int))
    pairs = [(i, j) for i, j in np.argwhere(wins).tolist() for _ in range(wins[i, j])]
    rows = np.repeat(np.arange(len(pairs)), 2)
    matrix = SparseRows(rows, np.ravel(pairs), np.tile([1.0, -1.0], len(pairs)), (len(pairs), count))
    expected = fit_davidson(matrix, np.ones(len(pairs), dtype=np.int64), penalty=0.3).weights
    assert np.allclose(week_preferences.fit_scores(wins.astype(float), 0.3), expected, atol=1e-8)


def test_exact_shares_of_wins_give_the_true_scores_back() -> None:
    truth = np.array([-1.0, 0.0, 0.25, 0.75])
    wins = 1e3 / (1.0 + np.exp(truth[None, :] - truth[:, None])) * (1 - np.eye(4))
    assert np.allclose(week_preferences.fit_scores(wins, 1e-6), truth, atol=1e-6)
    slopes = numeric(lambda point: week_preferences.log_likelihood(point, wins / 1e3), truth)
    assert np.allclose(slopes, 0.0, atol=1e-8)  # the likelihood is highest there


def test_the_ceiling_is_how_often_the_better_text_wins() -> None:
    left, right = np.array([1.0, 0.0]), np.array([0.0, 0.0])
    assert np.isclose(week_preferences.accuracy_ceiling(left, right, 0.5), (1 / (1 + np.exp(-2)) + 0.5) / 2)
    assert np.isclose(week_preferences.accuracy_ceiling(right, left, 0.5), (1 / (1 + np.exp(-2)) + 0.5) / 2)


# ---- week 7 ---------------------------------------------------------------------------------------------------------


def test_best_of_three_is_what_all_triples_give() -> None:
    reference, proxy = np.array([0.1, 0.4, 0.2, 0.3]), np.array([2.0, 1.0, 2.0, 0.0])
    expected = np.zeros(4)
    for triple in product(range(4), repeat=3):
        winners = [text for text in triple if proxy[text] == max(proxy[list(triple)])]
        for text in winners:
            expected[text] += reference[list(triple)].prod() / len(winners)
    assert np.allclose(week_optimisation.best_of_n(reference, proxy, 3), expected)


@pytest.mark.parametrize("n", [1, 2, 16, 1000])
def test_best_of_n_equals_the_library(n: int) -> None:
    rng = RNG(n)
    reference, proxy, gold = rng.dirichlet(np.ones(60)), rng.normal(size=60).round(1), rng.normal(size=60)
    (point,) = week_optimisation.curve(reference, proxy, gold, [n])
    expected = rank(reference, proxy, gold, count=0).best_of(n).values
    assert np.allclose([point.divergence, point.proxy, point.gold], expected)


@pytest.mark.parametrize("temperature", [0.001, 0.1, 3.0])
def test_the_tilted_policy_equals_the_library(temperature: float) -> None:
    rng = RNG(0)
    reference, proxy, gold = rng.dirichlet(np.ones(60)), rng.normal(size=60), rng.normal(size=60)
    policy = week_optimisation.tilted(reference, proxy, temperature)
    found = week_optimisation.divergence(policy, reference), policy @ proxy, policy @ gold
    assert np.allclose(found, rank(reference, proxy, gold, count=0).tilt(1 / temperature).values)
    assert week_optimisation.tilted(np.array([0.0, 1.0]), np.array([9.0, 0.0]), temperature).tolist() == [0.0, 1.0]


def test_the_pessimist_does_not_care_for_scales() -> None:
    rng = RNG(0)
    reference, scores = rng.dirichlet(np.ones(9)), rng.normal(size=(3, 9))
    found = week_optimisation.pessimistic(reference, scores)
    rescaled = week_optimisation.pessimistic(reference, scores * [[1.0], [50.0], [0.1]] + [[0.0], [-3.0], [9.0]])
    assert np.allclose(found, rescaled)
    assert reference @ found < 0


# ---- week 8 ---------------------------------------------------------------------------------------------------------


def test_failed_runs_count_as_random_play() -> None:
    runs: list[week_statistics.Run] = [
        {"task": "a", "seed": 0, "status": "ok", "value": 3.0},
        {"task": "b", "seed": 0, "status": "crashed", "value": None},
        {"task": "a", "seed": 1, "status": "timeout", "value": 99.0},
    ]
    assert week_statistics.scores_of(runs, {"a": (1.0, 5.0), "b": (-1.0, 0.0)}) == {"a": [0.5, 0.0], "b": [0.0]}


def test_each_held_out_prompt_counts_once() -> None:
    episodes: list[week_statistics.Episode] = [
        {"prompt": "p", "split": "test", "value": 1.0},
        {"prompt": "p", "split": "test", "value": 0.0},
        {"prompt": "q", "split": "test", "value": 2.0},
        {"prompt": "r", "split": "train", "value": 50.0},
    ]
    assert week_statistics.prompt_mean(episodes, "test") == 1.25
