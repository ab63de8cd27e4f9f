"""Training runs: each algorithm improves, every named option runs, and what cannot work is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from small_lms import QUICK, SMALL, TINY, make_policy

import textgym
from textgym.agents.lm.exactness import Distribution, ExactTruth
from textgym.agents.lm.grpo import GRPO
from textgym.agents.lm.health import HealthWarning
from textgym.agents.lm.ppo import PPO
from textgym.agents.lm.reinforce import Reinforce
from textgym.agents.registry import make_agent
from textgym.errors import ConfigurationError
from textgym.exact import solve

LEARNERS = {
    "reinforce": {},
    "rloo": {"group": 4},
    "grpo": {"group": 4},
    "lm_ppo": {},
    "dpo": {"steps": 60, "rollouts": 4},
}


@pytest.mark.filterwarnings("ignore::textgym.agents.lm.health.HealthWarning")  # in the end they write one text
@pytest.mark.parametrize("name", LEARNERS)
def test_each_algorithm_improves_on_tiny(name: str) -> None:
    agent: Any = make_agent(
        name, seed=0, **SMALL, texts=64, lanes=64, sft_steps=0, learning_rate=1e-2, **LEARNERS[name]
    )
    before = textgym.evaluate(make_agent("uniform"), TINY, episodes=200).mean_return
    agent.learn(TINY, 6000)
    after = textgym.evaluate(agent, TINY, episodes=200, deterministic=False).mean_return
    assert after > before + 0.7
    assert [row["update"] for row in agent.log.rows] == sorted({row["update"] for row in agent.log.rows})


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("reinforce", {"baseline": "none", "entropy_coefficient": 0.01, "kl_coefficient": 0.1}),
    ("reinforce", {"minibatches": 2, "micro_batch_size": 5, "epochs": 2}),
    ("rloo", {"group": 4, "temperature": 0.7}),
    ("grpo", {"group": 4, "scale": "group", "length": "text", "kl_in": "loss", "kl_coefficient": 0.1}),
    ("grpo", {"group": 4, "scale": "batch", "length": "token", "clip_high": 0.28, "skip_equal": True}),
    ("grpo", {"group": 4, "architecture": "llama", "entropy_coefficient": 0.01, "gradient_checkpointing": True}),
    ("lm_ppo", {"kl_in": "loss", "kl_coefficient": 0.1, "value_clip": 0.2, "entropy_coefficient": 0.01}),
    ("lm_ppo", {"kl_coefficient": 0.1, "kl_target": 0.5, "gamma": 0.9, "normalize_advantage": False}),
    ("lm_ppo", {"top_p": 0.9, "mask_every": 2, "exact_every": 2}),
    ("lm_ppo", {"autocast": True, "minibatches": 4}),
    ("dpo", {"label_smoothing": 0.1, "beta": 0.5, "steps": 3, "rollouts": 2}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=lambda value: value if isinstance(value, str) else "")
def test_all_named_options_run(name: str, options: dict[str, Any]) -> None:
    agent: Any = make_agent(name, **{**QUICK, **options})
    agent.learn(TINY, 600)
    rows = agent.log.rows
    assert len(rows) > 1
    for row in rows:
        assert np.isfinite([value for value in row.values() if isinstance(value, float)]).all()
    if name == "dpo":
        return
    assert {"reward", "gold", "kl", "entropy", "length", "training_tokens_per_second"} <= set(rows[0])
    assert rows[0]["kl"] == pytest.approx(0.0, abs=1e-5) or "top_p" in options
    assert rows[-1]["kl"] != rows[0]["kl"]


def test_the_adaptive_coefficient_follows_the_divergence() -> None:
    agent = PPO(kl_coefficient=0.1, kl_target=5.0, **QUICK)
    agent.learn(TINY, 800)
    coefficients = [row["kl_coefficient"] for row in agent.log.rows]
    assert coefficients[1] == pytest.approx(0.1 * (1 - 0.1 * 0.2))  # far below the target: down, by at most 2 %
    assert coefficients == sorted(coefficients, reverse=True)
    hasty = PPO(kl_coefficient=0.1, kl_target=1e-6, learning_rate=1e-2, **{**QUICK, "sft_steps": 0})
    hasty.learn(TINY, 800)
    assert hasty.log.rows[-1]["kl_coefficient"] > 0.1


def test_groups_that_earned_the_same_teach_nothing() -> None:
    flat = textgym.EnvFactory("TextGen-v0", {"level": "tiny", "reward": flat_reward})
    agent = GRPO(group=4, skip_equal=True, **QUICK)
    with pytest.warns(HealthWarning, match="all 32 texts"):
        agent.learn(flat, 300)
    assert agent.reference is not None
    mine, theirs = agent.ready_policy.state_dict(), agent.reference.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert agent.log.rows[0]["equal_groups"] == 1.0


def flat_reward(batch: Any) -> Any:
    return np.ones(len(batch))


def test_an_nlpo_agent_writes_only_what_it_was_trained_to_write() -> None:
    agent = PPO(top_p=0.6, **QUICK)
    agent.learn(TINY, 600)
    vector: Any = TINY.vector(300)
    observations, _ = vector.reset(seed=0)
    masks = vector.unwrapped.action_masks()
    log_probs = agent.log_probs(observations, masks)
    assert np.exp(log_probs).sum(axis=1) == pytest.approx(np.ones(300), abs=1e-5)
    kept = np.isfinite(log_probs[0])
    assert kept.sum() < masks[0].sum()
    drawn = agent.act(observations, masks, deterministic=False)
    assert kept[drawn].all()
    assert len(set(drawn.tolist())) == kept.sum()


def test_exact_numbers_stand_in_the_log_where_the_task_is_solvable() -> None:
    agent = Reinforce(exact_every=2, texts=256, lanes=256, sft_steps=0, **SMALL)
    agent.learn(TINY, 4000)
    rows = agent.log.rows
    assert ["exact_kl" in row for row in rows] == [row["update"] % 2 == 0 for row in rows]
    assert rows[0]["exact_kl"] == pytest.approx(0.0, abs=1e-9)
    for row in rows[::2]:
        assert abs(row["reward"] - row["exact_reward"]) < 4 * row["reward_deviation"] / np.sqrt(256)
    truth = solve(TINY, reference=Distribution(agent.reference)).policy_value(agent)  # type: ignore[arg-type,union-attr]
    assert truth.kl > 0


def test_what_cannot_be_solved_is_said_once_and_training_goes_on() -> None:
    noisy = textgym.EnvFactory("TextGen/GuessNumber-v0")
    truth = ExactTruth(noisy, None, every=1)
    policy = make_policy(noisy)
    with pytest.warns(HealthWarning, match="not solved exactly"):
        assert truth.measure(policy, 0) == {}
    assert truth.measure(policy, 1) == {}


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("grpo", {"scale": "no"}),
    ("grpo", {"group": 1}),
    ("grpo", {"group": 5}),
    ("rloo", {"baseline": "median"}),
    ("lm_ppo", {"kl_in": "nowhere"}),
    ("lm_ppo", {"top_p": 0.0}),
    ("lm_ppo", {"kl_target": 1.0}),
    ("lm_ppo", {"gamma": 1.5}),
    ("dpo", {"beta": 0.0}),
    ("dpo", {"texts": 33}),
    ("reinforce", {"minibatches": 3}),
    ("reinforce", {"kl_coefficient": -1.0}),
    ("reinforce", {"learning_rate": 0.0}),
]


@pytest.mark.parametrize(("name", "options"), WRONG)
def test_options_that_cannot_work_are_named(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        make_agent(name, **{**QUICK, **options})
