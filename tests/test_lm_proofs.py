"""What the language-model agents must reach: the bars of the docs page, five seeds or three, minutes each."""

from __future__ import annotations

import numpy as np
import pytest

import textgym
from textgym import EnvFactory
from textgym.agents.lm.agent import LMAgent
from textgym.agents.registry import make_agent
from textgym.playing import play

pytestmark = pytest.mark.slow

SAMPLES = 20  # texts to a held-out prompt


@pytest.mark.filterwarnings("ignore:.*almost no entropy left")  # true at the end, when the best text is known
@pytest.mark.parametrize("name", ["rloo", "grpo", "lm_ppo"])
def test_sampled_texts_of_the_default_task_are_nearly_the_best(name: str) -> None:
    envs = EnvFactory("TextGen-v0", {})
    blind = textgym.normalized_score(envs, envs.task().blind_return)
    scores = []
    for seed in range(5):
        agent = make_agent(name, seed=seed)
        agent.learn(envs, 150_000)
        scores.append(textgym.evaluate(agent, envs, episodes=400, seed=seed, deterministic=False).normalized)
    assert np.mean(scores) >= 0.93, scores
    assert min(scores) >= 0.85, scores
    assert min(scores) > blind, (scores, blind)


@pytest.mark.parametrize("task", ["Translate", "Summarize", "Answer"])
def test_reinforcement_learning_adds_to_fine_tuning_on_held_out_prompts(task: str) -> None:
    """Paired by prompt: the mean over samples and seeds, with and without GRPO."""
    envs = EnvFactory(f"TextGen/{task}-v0", {})
    gains = []
    for seed in range(3):
        agent = make_agent("grpo", seed=seed, sft_steps=600)
        agent.learn(envs, 40_000)
        assert isinstance(agent, LMAgent)
        after = by_prompt(agent, envs, seed)
        agent.policy = agent.reference
        gains.append(after - by_prompt(agent, envs, seed))
    low, high = bootstrap(np.mean(gains, axis=0))
    assert low > 0.0, (low, high)


def by_prompt(agent: LMAgent, envs: EnvFactory, seed: int) -> np.ndarray:
    """``(N,)`` mean reward of each held-out prompt."""
    rows = np.repeat(envs.task().prompts.rows("test"), SAMPLES)
    agent.seed_sampling(seed)
    _, returns = play(
        agent, envs, episodes=len(rows), seed=seed, deterministic=False, prompt_indices=rows, split="test"
    )
    return returns.reshape(-1, SAMPLES).mean(axis=1)


def bootstrap(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean over prompts."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, size=(5_000, len(values))).mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
