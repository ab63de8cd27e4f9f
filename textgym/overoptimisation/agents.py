"""Where trained agents stand beside the curves: their divergence from the reference, their reward and their gold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from textgym.configuration import EnvConfig
from textgym.episodes import Score, lowest
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.overoptimisation.population import ByGroup, Population, leaves, nothing
from textgym.overoptimisation.references import find_reference, sample
from textgym.scoring import Scorer

SAMPLES = 500
"""Texts a prompt, where an agent's divergence is estimated."""


@dataclass(frozen=True)
class Candidate:
    """An agent and what it is shown.

    Attributes:
        policy: The agent.
        observation: The form of observation that it was trained with; None for the environment's.
    """

    policy: Any
    observation: str | None = None


@dataclass(frozen=True, kw_only=True)
class AgentPoint:
    """A trained agent on the axes of the curves; means over prompts.

    Attributes:
        name: What it is called.
        kl: Its divergence from the reference in nats a text; illegal ids are left aside.
        gold: Its mean true score.
        reward: What it earns of the environment's own reward.
        kl_error: Standard error of ``kl``; 0 where it is exact, and likewise the others.
        gold_error: Of ``gold``.
        reward_error: Of ``reward``.
    """

    name: str
    kl: float
    gold: float
    reward: float
    kl_error: float = 0.0
    gold_error: float = 0.0
    reward_error: float = 0.0

    @property
    def distance(self) -> float:
        """The square root of the divergence."""
        return float(np.sqrt(max(self.kl, 0.0)))


def place_agent(
    name: str,
    agent: Any,
    factory: EnvFactory,
    population: Population,
    *,
    truth: Score,
    gold: ByGroup,
    reward: ByGroup,
    reference: Any,
) -> AgentPoint:
    """Measures an agent, exactly where all texts are known, else from samples.

    Args:
        name: What it is called.
        agent: A :class:`Candidate`, or its policy: with ``log_probs``; where all texts are known also anything that
            :func:`textgym.exact.policies.read_policy` takes, such as an agent that acts deterministically.
        factory: The environment.
        population: What the reference writes.
        truth: The true score.
        gold: The true score of the population's texts.
        reward: Their reward.
        reference: What :func:`~textgym.overoptimisation.references.find_reference` takes.

    Raises:
        ConfigurationError: for an agent without ``log_probs`` where samples are needed.
        SolveError: for what is no policy.
    """
    candidate = agent if isinstance(agent, Candidate) else Candidate(agent)
    if population.exact:
        return _place_exactly(name, candidate, population, lowest(truth), gold, reward)
    if not hasattr(candidate.policy, "log_probs"):
        raise ConfigurationError(
            f"the agent {name!r} has no log_probs(observations, action_masks), without which its divergence from the "
            "reference cannot be estimated; leave it out, or take a task that is small enough for exact values"
        )
    return _place_by_samples(name, candidate, factory, population, truth=truth, reference=reference)


def _place_exactly(
    name: str, candidate: Candidate, population: Population, worst: float, gold: ByGroup, reward: ByGroup
) -> AgentPoint:
    assert population.solution is not None
    solution, config = population.solution, _observed(population.solution.config, candidate)
    value = replace(solution, config=config).policy_value(candidate.policy, illegal="pay")
    shares = leaves(solution, value.policy.probabilities)
    illegal = Scorer(population.config.task.reward).illegal_reward
    means = []
    for scores, price in ((gold, worst), (reward, illegal)):
        by_group = [float(p @ score + (1.0 - p.sum()) * price) for p, score in zip(shares, scores, strict=True)]
        means.append(float(population.weights @ np.array(by_group)))
    return AgentPoint(name=name, kl=max(value.kl, 0.0), gold=means[0], reward=means[1])


def _observed(config: EnvConfig, candidate: Candidate) -> EnvConfig:
    return config if candidate.observation is None else replace(config, observation=candidate.observation)


def _place_by_samples(
    name: str, candidate: Candidate, factory: EnvFactory, population: Population, *, truth: Score, reference: Any
) -> AgentPoint:
    config = population.config
    rows = np.repeat(np.concatenate(population.groups), SAMPLES)
    shown = {} if candidate.observation is None else {"observation": candidate.observation}
    bare = EnvFactory(factory.env_id, {**factory.kwargs, "reward": nothing, **shown})
    number = spawn_seed(0, "overopt", "agent", name)
    base = find_reference(reference, config)
    batch, ratios = sample(candidate.policy, bare, rows, seed=number, reference=base)
    scores = [ratios, *(Scorer(score)(batch).values for score in (truth, config.task.reward))]
    by_prompt = [values.reshape(-1, SAMPLES) for values in scores]
    means = [float(values.mean()) for values in by_prompt]
    errors = [float(np.sqrt(values.var(axis=1, ddof=1).mean() / values.size)) for values in by_prompt]
    return AgentPoint(
        name=name,
        kl=max(means[0], 0.0),
        gold=means[1],
        reward=means[2],
        kl_error=errors[0],
        gold_error=errors[1],
        reward_error=errors[2],
    )
