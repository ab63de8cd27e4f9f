"""Suites as data: which agents meet which environments, with how many steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from textgym import tasks
from textgym.errors import ConfigurationError, unknown_name

from .records import RunSpec


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One agent on one environment.

    Attributes:
        agent: A registered agent.
        steps: Tokens that it may write in training.
        env_id: The environment.
        env: Arguments of the environment.
        config: Arguments of the agent.
        label: What the report calls it; the agent's name by default. Two entries on the same environment
            need different labels.
    """

    agent: str
    steps: int
    env_id: str = "TextGen-v0"
    env: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A comparison as data.

    Attributes:
        name: Short name, also that of the run folder.
        title: Headline of the report.
        entries: What is compared.
        seeds: Seeds of each entry, unless others are asked for.
        episodes: Texts of each evaluation.
    """

    name: str
    title: str
    entries: tuple[Entry, ...]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    episodes: int = 200

    def specs(
        self, *, seeds: Sequence[int] | None = None, budget: float = 1.0, agents: Sequence[str] | None = None
    ) -> list[RunSpec]:
        """All runs of the suite, those of one seed together.

        Args:
            seeds: Instead of the suite's own.
            budget: Multiplies every number of steps.
            agents: Only these, by agent name or label.

        Raises:
            ConfigurationError: for a budget or seeds that cannot work, or two entries that cannot be told apart.
            UnknownNameError: for an agent that is not part of the suite.
        """
        chosen = self.seeds if seeds is None else tuple(seeds)
        if not budget > 0:
            raise ConfigurationError(f"budget={budget!r}: expected a factor above 0, such as 0.1")
        if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
            raise ConfigurationError(f"seeds={list(chosen)!r}: expected different whole numbers from 0 on")
        specs = [self._spec(entry, seed, budget) for seed in chosen for entry in self._chosen(agents)]
        if len({(spec.label, spec.env_id, str(spec.env), spec.seed) for spec in specs}) < len(specs):
            raise ConfigurationError(f"the suite {self.name} has two entries with one label; give each its own")
        return specs

    def _chosen(self, agents: Sequence[str] | None) -> list[Entry]:
        known = {entry.agent for entry in self.entries} | {entry.label for entry in self.entries if entry.label}
        for name in agents or ():
            if name not in known:
                raise unknown_name(f"agent of the suite {self.name}", name, known)
        return [entry for entry in self.entries if agents is None or {entry.agent, entry.label} & set(agents)]

    def _spec(self, entry: Entry, seed: int, budget: float) -> RunSpec:
        return RunSpec(
            agent=entry.agent,
            env_id=entry.env_id,
            steps=max(1, round(entry.steps * budget)),
            seed=seed,
            config=entry.config,
            env=entry.env,
            episodes=self.episodes,
            label=entry.label,
        )


LEARNERS = ("uniform", "q_learning", "dqn", "ppo", "maskable_ppo", "a2c")
MATRIX_STEPS = 100_000


def _matrix(name: str, level: str) -> Suite:
    """Every agent on every task at one level, with equal budgets and untuned defaults."""
    return Suite(
        name=name,
        title=f"Every agent on every task at level {level}",
        entries=tuple(
            Entry(agent=agent, steps=MATRIX_STEPS, env_id=f"TextGen/{task}-v0", env={"level": level})
            for task in tasks.names()
            for agent in LEARNERS
        ),
        seeds=(0, 1, 2),
    )


SUITES: Mapping[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            name="demo",
            title="Agents learn to write reviews",
            entries=(
                Entry(agent="uniform", steps=20_000),
                Entry(agent="q_learning", steps=500_000),
                Entry(agent="dqn", steps=150_000),
                Entry(agent="ppo", steps=300_000),
            ),
        ),
        _matrix("matrix", "easy"),
        _matrix("hard", "hard"),
    )
}


def get_suite(name: str) -> Suite:
    """A suite by its name.

    Raises:
        UnknownNameError: naming the suites that there are.
    """
    if name not in SUITES:
        raise unknown_name("suite", name, SUITES)
    return SUITES[name]
