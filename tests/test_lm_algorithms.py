"""The algorithms: their formulas against naive ones, their gradients against the exact one, and that each improves."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_lms import QUICK, TINY, make_policy, write

import textgym
from textgym.agents.lm.exactness import Distribution
from textgym.agents.lm.grpo import GRPO, compare, token_weights
from textgym.agents.lm.ppo import PPO, estimate
from textgym.agents.lm.reinforce import Reinforce, subtract_baseline
from textgym.agents.lm.sft import lay_out
from textgym.agents.lm.training import log_probs_of
from textgym.exact import TreeSolution, solve

NUMBERS = st.floats(-5.0, 5.0, width=32)
GROUPS = st.integers(1, 4).flatmap(lambda n: arrays(np.float64, (n, 4), elements=NUMBERS))
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 7))


# ---- formulas -----------------------------------------------------------------------------------------------------


@given(GROUPS)
def test_leave_one_out_takes_the_mean_of_the_others(groups: Any) -> None:
    naive = [row[i] - np.delete(row, i).mean() for row in groups for i in range(4)]
    assert subtract_baseline(groups.reshape(-1), "leave_one_out", 4) == pytest.approx(np.array(naive), abs=1e-9)


@given(GROUPS)
def test_the_other_baselines(groups: Any) -> None:
    returns = groups.reshape(-1)
    assert subtract_baseline(returns, "mean", 1) == pytest.approx(returns - returns.mean())
    assert np.array_equal(subtract_baseline(returns, "none", 1), returns)


@given(GROUPS, st.sampled_from(["group", "batch", "none"]))
def test_compare_centres_and_scales_groups(groups: Any, scale: str) -> None:
    advantages, equal = compare(groups.reshape(-1), 4, scale)
    centred = groups - groups.mean(axis=1, keepdims=True)
    divisors = {"group": groups.std(axis=1, keepdims=True) + 1e-6, "batch": centred.std() + 1e-6, "none": 1.0}
    assert advantages.reshape(-1, 4) == pytest.approx(centred / divisors[scale])
    assert equal.reshape(-1, 4).all(axis=1).tolist() == [len(set(row)) == 1 for row in groups.tolist()]


@given(SHAPES.flatmap(lambda shape: arrays(bool, shape)), st.data())
def test_token_weights(wrote: Any, data: Any) -> None:
    wrote[:, 0] = True  # every text has a token
    rows = np.array(data.draw(st.lists(st.integers(0, len(wrote) - 1), min_size=1, unique=True)))
    counts, others = wrote[rows].sum(axis=1), np.delete(np.arange(len(wrote)), rows)
    text, token, constant = (token_weights(wrote, rows, length) for length in ("text", "token", "constant"))
    assert text[rows].sum(axis=1) == pytest.approx(np.full(len(rows), 1.0 / len(rows)))
    assert token[wrote & np.isin(np.arange(len(wrote)), rows)[:, None]] == pytest.approx(1.0 / counts.sum())
    assert constant[rows].sum(axis=1) == pytest.approx(counts / len(rows))
    for weights in (text, token, constant):
        assert not weights[others].any()
        assert not weights[~wrote].any()


@given(SHAPES.flatmap(lambda shape: st.tuples(*[arrays(np.float32, shape, elements=NUMBERS)] * 2, arrays(bool, shape))))
def test_advantages_skip_what_a_partner_wrote(columns: Any) -> None:
    rewards, values, wrote = columns
    rewards, values = rewards * wrote, values * wrote
    advantages, targets = estimate(rewards, values, wrote, gamma=0.9, gae_lambda=0.7)
    for row in range(len(rewards)):
        mine = np.flatnonzero(wrote[row])
        errors = [
            rewards[row, t] + 0.9 * (values[row, mine[k + 1]] if k + 1 < len(mine) else 0.0) - values[row, t]
            for k, t in enumerate(mine)
        ]
        naive = [sum((0.9 * 0.7) ** (j - k) * errors[j] for j in range(k, len(mine))) for k in range(len(mine))]
        assert advantages[row, mine] == pytest.approx(np.array(naive), abs=1e-4)
        assert targets[row, mine] == pytest.approx(np.array(naive) + values[row, mine], abs=1e-4)
        assert not advantages[row, ~wrote[row]].any()


# ---- against the exact truth --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference_and_solution() -> tuple[Any, TreeSolution]:
    reference = make_policy(TINY, seed=2)
    solution = solve(TINY, reference=Distribution(reference))
    assert isinstance(solution, TreeSolution)
    return reference, solution


def test_the_sampled_divergence_is_the_exact_one(reference_and_solution: Any) -> None:
    reference, solution = reference_and_solution
    policy = make_policy(TINY, seed=1)
    exact = solution.policy_value(Distribution(policy))
    rollout = write(policy, TINY, 4000, lanes=500)
    gaps = (rollout.log_probs - log_probs_of(reference, rollout.tokens, rollout.wrote, 1000)).sum(axis=1, dtype=float)
    assert exact.kl > 0.1
    assert abs(gaps.mean() - exact.kl) < 3 * gaps.std() / np.sqrt(4000)
    assert abs(rollout.returns.mean() - exact.mean_return) < 3 * rollout.returns.std() / np.sqrt(4000)
    with torch.no_grad():
        scored = policy.score(rollout.tokens, rollout.wrote, reference=reference)
    assert scored.divergences is not None
    analytic = scored.divergences.sum(dim=1).numpy()
    assert abs(analytic.mean() - exact.kl) < 3 * analytic.std() / np.sqrt(4000)
    assert analytic.min() >= 0.0
    assert analytic.std() < gaps.std()


def test_the_divergence_of_the_same_policy_is_nothing(reference_and_solution: Any) -> None:
    reference, solution = reference_and_solution
    assert solution.policy_value(Distribution(reference)).kl == pytest.approx(0.0, abs=1e-9)
    rollout = write(reference, TINY, 100)
    assert np.abs(rollout.log_probs - log_probs_of(reference, rollout.tokens, rollout.wrote, 100)).max() < 1e-5


def every_text() -> tuple[Any, Any, Any]:
    """Rows, ``wrote`` and rewards of all texts of tiny with at most two tokens."""
    task = SHORT.task()
    legal = np.flatnonzero(SHORT.vector(1).unwrapped.action_masks()[0]).tolist()  # type: ignore[attr-defined]
    ends = set(task.tokenizer.eos_ids)
    texts = [[a] for a in legal if a in ends] + [[a, b] for a, b in itertools.product(legal, legal) if a not in ends]
    rewards = textgym.score(SHORT, [task.prompts.texts[0]] * len(texts), texts)
    tokens, wrote = lay_out(task, np.zeros(len(texts), dtype=np.int64), texts)
    return tokens, wrote, torch.from_numpy(rewards).float()


SHORT = textgym.EnvFactory("TextGen-v0", {"level": "tiny", "max_new_tokens": 2})


def direction(policy: Any) -> torch.Tensor:
    return torch.cat([p.grad.reshape(-1) for p in policy.parameters() if p.grad is not None])


@pytest.mark.parametrize("baseline", ["none", "mean", "leave_one_out"])
def test_the_gradient_is_that_of_the_expected_return(baseline: str) -> None:
    policy = make_policy(SHORT, seed=1)
    tokens, wrote, rewards = every_text()
    probabilities = policy.score(tokens, wrote).log_probs.sum(dim=1).exp()
    assert float(probabilities.detach().sum()) == pytest.approx(1.0, abs=1e-5)
    torch.autograd.backward(-(probabilities * rewards).sum())
    exact = direction(policy)

    rollout = write(policy, SHORT, 8000, lanes=500)
    agent = Reinforce(baseline=baseline, group=1 if baseline != "leave_one_out" else 4, **QUICK)
    advantages = torch.from_numpy(subtract_baseline(rollout.returns, baseline, 4)).float()
    halves = []
    for rows in np.split(np.arange(8000), 8):
        policy.zero_grad()
        share, none = torch.full((1000,), 1 / 1000), torch.zeros(1000, 1)
        loss, _ = agent.loss(
            policy.score(rollout.tokens[rows], rollout.wrote[rows]),
            {"advantages": advantages[rows], "share": share, "token_share": none},
        )
        torch.autograd.backward(loss)
        halves.append(direction(policy))
    sampled = torch.stack(halves)
    along = (sampled @ exact) / exact.norm() ** 2  # each is 1 but for the sampling error
    assert abs(float(along.mean()) - 1.0) < 3 * float(along.std()) / np.sqrt(8)
    assert float(torch.cosine_similarity(sampled.mean(dim=0), exact, dim=0)) > 0.95


def test_the_first_step_of_grpo_and_ppo_follows_the_same_gradient() -> None:
    """With a ratio of 1 nothing is clipped, so the gradient is that of REINFORCE with these advantages."""
    policy = make_policy(SHORT, seed=1, value_head=True)
    rollout = write(policy, SHORT, 64)
    advantages = torch.from_numpy(rollout.returns).float()[:, None]
    wrote = torch.from_numpy(rollout.wrote).float()
    old, weights = torch.from_numpy(rollout.log_probs), wrote / 64
    columns = {"old": old, "advantages": advantages, "weights": weights, "reference": old, "share": weights}
    columns |= {"targets": torch.zeros_like(wrote), "values": torch.zeros_like(wrote)}
    columns["token_share"] = weights
    found = []
    for agent in (GRPO(**QUICK), PPO(value_coefficient=0.0, **QUICK), Reinforce(**QUICK)):
        policy.zero_grad()
        own = {**columns, "share": torch.full((64,), 1 / 64)} if isinstance(agent, Reinforce) else columns
        own = {**own, "advantages": advantages[:, 0]} if isinstance(agent, Reinforce) else own
        loss, metrics = agent.loss(policy.score(rollout.tokens, rollout.wrote), own)
        torch.autograd.backward(loss)
        assert float(metrics.get("clip_fraction", torch.zeros(()))) == 0.0
        found.append(torch.cat([p.grad.reshape(-1) for p in policy.lm.parameters() if p.grad is not None]))
    assert torch.allclose(found[0], found[2], atol=1e-5)
    assert torch.allclose(found[1], found[2], atol=1e-5)
