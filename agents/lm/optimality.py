"""How much of the exact soft optimum an agent has reached: no sampling, no proxy, the true objective.

With a price on divergence from the reference, the best policy is known exactly wherever all texts can be tried
(:class:`textgym.exact.soft.SoftOptimum`). What an agent's policy is worth under the same objective is computed just as
exactly, so that the share of the way from the reference to the optimum is a number without error bars; only the seeds
differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from textgym.agents.base import TextGenerationAgent
from textgym.agents.lm.agent import LMAgent
from textgym.agents.lm.exactness import Distribution
from textgym.agents.registry import make_agent
from textgym.errors import ConfigurationError
from textgym.exact import TreeSolution, solve
from textgym.factory import EnvFactory

AGENTS = ("rloo", "grpo", "lm_ppo")


@dataclass(frozen=True)
class SoftShare:
    """Objectives: mean return minus temperature times divergence from the reference.

    Attributes:
        agent: The agent's.
        reference: The reference's, which is its mean return.
        optimum: The best that any policy can have.
        kl: The agent's divergence in nats a text.
        optimal_kl: The optimum's.
    """

    agent: float
    reference: float
    optimum: float
    kl: float
    optimal_kl: float

    @property
    def share(self) -> float:
        """0 for the reference, 1 for the optimum."""
        return (self.agent - self.reference) / (self.optimum - self.reference)


def soft_share(agent: TextGenerationAgent, envs: EnvFactory, *, temperature: float) -> SoftShare:
    """Measures an agent that was trained with ``kl_coefficient=temperature``.

    Args:
        agent: A language-model agent with a reference.
        envs: Environments that are small enough to be solved.
        temperature: What a nat of divergence costs.

    Raises:
        ConfigurationError: for an agent without a reference.
        SolveError: for environments without an exact solution.
    """
    if not isinstance(agent, LMAgent) or agent.reference is None:
        raise ConfigurationError(
            f"{type(agent).__name__} has no reference; expected rloo, grpo or lm_ppo after learn()"
        )
    reference = Distribution(agent.reference)
    solution = solve(envs, temperature=temperature, reference=reference)
    if not isinstance(solution, TreeSolution) or solution.soft is None:
        raise ConfigurationError("conversations have no soft optimum here; take a task of single texts")
    mine, start = solution.policy_value(Distribution(agent.ready_policy)), solution.policy_value(reference)
    return SoftShare(
        mean_objective(mine.mean_return, mine.kl, temperature),
        mean_objective(start.mean_return, start.kl, temperature),
        solution.soft.objective,
        mine.kl,
        solution.soft.kl,
    )


def mean_objective(mean_return: float, kl: float, temperature: float) -> float:
    """What is maximised."""
    return mean_return - temperature * kl


def report(
    envs: EnvFactory, *, agents: Iterable[str] = AGENTS, seeds: int = 5, steps: int = 60_000, temperature: float = 0.2
) -> Iterator[str]:
    """Yields a Markdown table: every agent with every seed, a row as soon as it is trained."""
    yield "| agent | seed | reference | agent's objective | exact optimum | share | KL, optimal |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name in agents:
        for seed in range(seeds):
            agent = make_agent(name, seed=seed, kl_coefficient=temperature)
            agent.learn(envs, steps)
            found = soft_share(agent, envs, temperature=temperature)
            numbers = f"{found.reference:.3f} | {found.agent:.3f} | {found.optimum:.3f} | {found.share:.3f}"
            yield f"| {name} | {seed} | {numbers} | {found.kl:.2f}, {found.optimal_kl:.2f} |"
