"""Suites as data: which agents meet which environments, and what each of them may spend there.

A step is one token written by the agent, so that a budget in steps is one in tokens too; what the reward model
scores has a budget of its own. Training ends when the first of them is spent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from textgym import tasks
from textgym.agents.registry import AGENTS
from textgym.errors import ConfigurationError, unknown_name

from .records import RunSpec


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One agent on one environment.

    Attributes:
        agent: A registered agent, or one's own as "module:Class".
        steps: Tokens that it may write in training.
        env_id: The environment.
        env: Arguments of the environment.
        config: Arguments of the agent.
        label: What the report calls it; the agent's name by default. Two entries on the same environment
            need different labels.
        reward_calls: Texts that the reward model may score for it in training; None for no limit.
        tuning: With which budget the config was found; empty if nobody searched.
    """

    agent: str
    steps: int
    env_id: str = "TextGen-v0"
    env: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    reward_calls: int | None = None
    tuning: Mapping[str, Any] = field(default_factory=dict)

    @property
    def environment(self) -> tuple[str, str]:
        """Tells environments apart: the id and its arguments."""
        return self.env_id, str(sorted(self.env.items()))


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A comparison as data.

    Attributes:
        name: Short name, also that of the run folder.
        title: Headline of the report.
        entries: What is compared.
        seeds: Seeds of each entry, unless others are asked for.
        episodes: Texts of each evaluation.
        held_out: Whether agents are also evaluated on held-out prompts.
    """

    name: str
    title: str
    entries: tuple[Entry, ...]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    episodes: int = 200
    held_out: bool = True

    def specs(
        self, *, seeds: Sequence[int] | None = None, budget: float = 1.0, agents: Sequence[str] | None = None
    ) -> list[RunSpec]:
        """All runs of the suite, those of one seed together.

        An agent that is not part of the suite, such as one of your own, is run in each environment of the suite,
        with the largest budget that an agent of the suite has there.

        Args:
            seeds: Instead of the suite's own.
            budget: Multiplies every number of steps and of reward calls.
            agents: Only these: by the name or label they have in the suite, any registered agent, or "module:Class".

        Raises:
            ConfigurationError: for a budget or seeds that cannot work, or two entries that cannot be told apart.
            UnknownNameError: for an agent that is neither part of the suite nor registered.

        Example:
            >>> specs = get_suite("core").specs(agents=["mylab.agent:Agent"], seeds=[0], budget=0.05)
            >>> len(specs), specs[0].env_id, specs[0].steps
            (12, 'TextGen/Reviews-v0', 5000)
        """
        chosen = self.seeds if seeds is None else tuple(seeds)
        if not 0 < budget < math.inf:
            raise ConfigurationError(f"budget={budget!r}: expected a factor above 0, such as 0.1")
        if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
            raise ConfigurationError(f"seeds={list(chosen)!r}: expected different whole numbers from 0 on")
        entries = self._chosen(agents)
        specs = [self._spec(entry, seed, budget) for seed in chosen for entry in entries]
        if len({(entry.label or entry.agent, *entry.environment) for entry in entries}) < len(entries):
            raise ConfigurationError(f"the suite {self.name} has two entries with one label; give each its own")
        return specs

    def environments(self) -> list[Entry]:
        """One entry for each environment, in their order: of those with the most steps, the first."""
        largest: dict[tuple[str, str], Entry] = {}
        for entry in self.entries:
            known = largest.setdefault(entry.environment, entry)
            if entry.steps > known.steps:
                largest[entry.environment] = entry
        return list(largest.values())

    def _chosen(self, agents: Sequence[str] | None) -> list[Entry]:
        if agents is None:
            return list(self.entries)
        known = {entry.agent for entry in self.entries} | {entry.label for entry in self.entries if entry.label}
        wanted = dict.fromkeys(agents)
        entries = [entry for entry in self.entries if {entry.agent, entry.label} & wanted.keys()]
        for name in wanted:
            if name not in known and name not in AGENTS and ":" not in name:
                raise unknown_name(f"agent of the suite {self.name}", name, known | {*AGENTS, "module:Class"})
        guests = [name for name in wanted if name not in known]
        return entries + [
            replace(e, agent=name, config={}, label="", tuning={}) for e in self.environments() for name in guests
        ]

    def _spec(self, entry: Entry, seed: int, budget: float) -> RunSpec:
        return RunSpec(
            agent=entry.agent,
            env_id=entry.env_id,
            steps=max(1, round(entry.steps * budget)),
            reward_calls=None if entry.reward_calls is None else max(1, round(entry.reward_calls * budget)),
            seed=seed,
            config=entry.config,
            env=entry.env,
            episodes=self.episodes,
            label=entry.label,
            held_out=self.held_out,
            tuning=entry.tuning,
        )


LEARNERS = ("uniform", "q_learning", "dqn", "ppo", "maskable_ppo", "a2c")
LANGUAGE_MODELS = ("frozen_lm", "sft", "best_of_n", "rloo", "grpo", "lm_ppo", "dpo")
STEPS, LANGUAGE_MODEL_STEPS = 100_000, 50_000

LANGUAGE = ("Reviews", "Entail", "Translate", "Summarize")
PUZZLES = ("Sort", "Add", "Brackets")
CONVERSATIONS = ("Dialogue", "GuessNumber")
WEAKNESSES = ("Needle", "Delay", "Proxy")
CORE = LANGUAGE + PUZZLES + CONVERSATIONS + WEAKNESSES
"""The twelve tasks of the suite ``core``: of each family those on which the reference agents differ most."""

DIAGNOSTICS = tuple(name for name, listing in tasks.TASKS.items() if "diagnostic" in listing.tags)
EVERYTHING = tuple((name, level) for name, listing in tasks.TASKS.items() for level in listing.levels)


def _grid(agents: Iterable[str], places: Iterable[tuple[str, str]], steps: int) -> tuple[Entry, ...]:
    """Every agent at every place, a task with its level, with equal budgets and untuned defaults."""
    return tuple(
        Entry(agent=agent, steps=steps, reward_calls=steps, env_id=f"TextGen/{task}-v0", env={"level": level})
        for task, level in places
        for agent in agents
    )


def _at(level: str, names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, level) for name in names]


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
        Suite(
            name="core",
            title="Twelve tasks: language, puzzles, conversations, weaknesses",
            entries=_grid(LEARNERS, _at("easy", CORE), STEPS),
        ),
        Suite(
            name="language",
            title="Language models on four language tasks",
            entries=_grid(LANGUAGE_MODELS, _at("easy", LANGUAGE), LANGUAGE_MODEL_STEPS),
            seeds=(0, 1, 2),
        ),
        Suite(
            name="diagnostics",
            title="One weakness a task, for the radar",
            entries=_grid(LEARNERS, _at("easy", DIAGNOSTICS), STEPS),
        ),
        Suite(
            name="full",
            title="Every agent on every task at every level",
            entries=_grid(LEARNERS, EVERYTHING, STEPS),
        ),
        Suite(
            name="matrix",
            title="Every agent on every task at level easy",
            entries=_grid(LEARNERS, _at("easy", tasks.names()), STEPS),
            seeds=(0, 1, 2),
        ),
        Suite(
            name="hard",
            title="Every agent on every task at level hard",
            entries=_grid(LEARNERS, _at("hard", tasks.names()), STEPS),
            seeds=(0, 1, 2),
        ),
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
