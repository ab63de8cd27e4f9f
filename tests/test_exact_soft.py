"""The soft optimum: the closed form over whole texts, and that nothing beats it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from brute import Scrambled
from numpy.typing import NDArray
from toys import constant, toy

from textgym.exact import TreePolicy, TreeSolution, solve

SCRAMBLED = replace(toy(prompts=["praise", "pan"], budget=3), make_reward=constant(Scrambled(7)))


class Leaning:
    """A reference that likes small ids, and never writes id 4."""

    def log_probs(self, tokens: NDArray[np.int32], masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        weights = np.where(masks, 1.0 / (1.0 + np.arange(masks.shape[1])), 0.0)
        weights[:, 4] = 0.0
        with np.errstate(divide="ignore"):
            return np.log(weights / weights.sum(axis=1, keepdims=True))


def texts(solution: TreeSolution, policy: Any, group: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability and reward of every text, from the products along its path."""
    chances, rewards = [], []
    reached = [np.ones(1)]
    for depth, level in enumerate(solution.tree.levels):
        p = reached[-1][:, None] * policy[depth][group]
        ends = level.legal & (level.child < 0)
        chances.append(p[ends])
        rewards.append(level.rewards[group][ends])
        below = np.zeros(int(level.child.max()) + 1)
        below[level.child[level.child >= 0]] = p[level.child >= 0]
        reached.append(below)
    return np.concatenate(chances), np.concatenate(rewards)


@pytest.mark.parametrize("reference", [None, Leaning()])
@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
def test_is_the_reference_tilted_by_the_reward(reference: Any, temperature: float) -> None:
    solution = solve(SCRAMBLED, temperature=temperature, reference=reference)
    assert solution.soft is not None
    returns, divergences = [], []
    for group in range(2):
        base, rewards = texts(solution, solution.reference, group)
        tilted = base * np.exp(rewards / temperature)
        tilted /= tilted.sum()
        found, _ = texts(solution, solution.soft.policy.probabilities, group)
        assert found == pytest.approx(tilted, abs=1e-12)
        returns.append((tilted * rewards).sum())
        some = tilted > 0
        divergences.append((tilted[some] * np.log(tilted[some] / base[some])).sum())
    assert solution.soft.mean_return == pytest.approx(np.mean(returns), abs=1e-9)
    assert solution.soft.kl == pytest.approx(np.mean(divergences), abs=1e-9)
    value = solution.policy_value(solution.soft.policy)
    assert value.mean_return == pytest.approx(solution.soft.mean_return, abs=1e-9)
    assert value.kl == pytest.approx(solution.soft.kl, abs=1e-9)


def test_no_perturbation_beats_it() -> None:
    solution = solve("TextGen-v0", level="tiny", temperature=0.7)
    assert solution.soft is not None
    rng, best = np.random.default_rng(0), solution.soft.objective
    close = 0
    for trial in range(1000):
        size = 10.0 ** rng.uniform(-4, 0.5)
        changed = TreePolicy(tuple(perturb(p, size, rng) for p in solution.soft.policy.probabilities))
        value = solution.policy_value(changed)
        objective = value.mean_return - 0.7 * value.kl
        assert objective <= best + 1e-12, trial
        close += objective > best - 1e-3
    assert close > 50  # some stay near: they would find an optimum that is a little off


def perturb(p: NDArray[np.float64], size: float, rng: np.random.Generator) -> NDArray[np.float64]:
    changed = p * np.exp(size * rng.standard_normal(p.shape))
    return changed / changed.sum(axis=2, keepdims=True)


def test_goes_from_the_reference_to_the_optimum() -> None:
    cold, warm, hot = (solve(SCRAMBLED, temperature=t).soft for t in (1e-3, 0.3, 1e6))
    solution = solve(SCRAMBLED)
    assert cold.mean_return == pytest.approx(solution.optimal_return, abs=1e-3)
    assert hot.mean_return == pytest.approx(solution.returns.random, abs=1e-5)
    assert hot.kl < 1e-9 < warm.kl < cold.kl
    assert solution.soft is None


class Elsewhere:
    """A reference that would only write what may not be written."""

    def log_probs(self, tokens: NDArray[np.int32], masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            return np.log(~masks / (~masks).sum(axis=1, keepdims=True))


def test_a_reference_without_legal_ids_is_uniform() -> None:
    for one, other in zip(solve(SCRAMBLED, reference=Elsewhere()).reference, solve(SCRAMBLED).reference, strict=True):
        assert np.array_equal(one, other)


def test_step_rewards_have_the_same_soft_optimum() -> None:
    ends, steps = (solve(SCRAMBLED, temperature=0.4, reward_timing=timing).soft for timing in ("end", "step"))
    assert ends.mean_return == pytest.approx(steps.mean_return)
    for one, other in zip(ends.policy.probabilities, steps.policy.probabilities, strict=True):
        assert one == pytest.approx(other)
