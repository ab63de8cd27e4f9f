"""Who writes the texts that are to be compared: an agent, or one of three policies that need none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.degenerate import FollowPlans, Plan
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, unknown_name
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.playing import LANES, act_of, concatenate, play, random_act
from textgym.task import Task
from textgym.writers import is_writer

POLICIES = ("uniform", "demonstrations", "mixed")
"""Random play; the task's typical texts; a third each of those, of those with changed tokens, and of random texts."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TextSource:
    """Somebody who writes texts to given prompts.

    Attributes:
        name: Goes into each pair.
        policy: An agent, or one of :data:`POLICIES`.
        envs: Where the texts are written.
        task: The task there, as it was before the reward was taken out.
    """

    name: str
    policy: Any
    envs: EnvFactory
    task: Task

    @classmethod
    def of(cls, policy: Any, envs: EnvFactory) -> TextSource:
        """The source of a policy's texts, checked. The reward is not asked, but by agents that ask it themselves.

        Raises:
            UnknownNameError: for a name that is none of :data:`POLICIES`.
            ConfigurationError: for what is no agent, and where demonstrations are asked for that there are not.
        """
        task = envs.task()
        if isinstance(policy, str):
            _check_name(policy, task)
            return cls(policy, policy, _unpaid(envs), task)
        name = str(getattr(policy, "name", "") or getattr(policy, "__name__", "") or type(policy).__name__)
        if is_writer(policy):
            return cls(name, policy, envs, task)
        act_of(policy)
        return cls(name, policy, _unpaid(envs), task)

    def write(self, rows: Rows, seed: int) -> EpisodeBatch:
        """One text to each prompt, whose rows these are."""
        if not isinstance(self.policy, str):
            return self._play(self.policy, rows, seed)
        rng = np.random.default_rng(spawn_seed(seed, "texts"))
        if self.policy == "uniform":
            return self._play(random_act(int(rng.integers(2**32))), rows, seed)
        plans = [self._demonstrate(row, rng) for row in rows.tolist()]
        plans = plans if self.policy == "demonstrations" else self._mix(plans, rng)
        parts = []
        for start in range(0, len(rows), LANES):
            follow = FollowPlans(plans[start : start + LANES], self.task.tokenizer.eos_ids)
            parts.append(self._play(follow, rows[start : start + LANES], seed + start))
        return concatenate(parts)

    def _demonstrate(self, row: int, rng: np.random.Generator) -> Plan:
        return self.task.encode_completion(self.task.demonstrate(self.task.prompts.prompts[row], rng))

    def _mix(self, plans: list[Plan], rng: np.random.Generator) -> list[Plan]:
        mask: NDArray[np.bool_] = self.envs.single().unwrapped.action_masks()  # type: ignore[attr-defined]
        legal, ends = np.flatnonzero(mask), self.task.tokenizer.eos_ids
        words = legal[~np.isin(legal, ends)] if not np.isin(legal, ends).all() else legal
        kinds = rng.integers(3, size=len(plans)).tolist()
        changed = [_change(plan, words, rng) if kind == 1 else plan for plan, kind in zip(plans, kinds, strict=True)]
        return [
            rng.choice(legal, size=self.task.budget).tolist() if kind == 2 else plan
            for plan, kind in zip(changed, kinds, strict=True)
        ]

    def _play(self, agent: Any, rows: Rows, seed: int) -> EpisodeBatch:
        batch, _ = play(agent, self.envs, episodes=len(rows), seed=seed, deterministic=False, prompt_indices=rows)
        return batch


def _check_name(policy: str, task: Task) -> None:
    if policy not in POLICIES:
        raise unknown_name("policy", policy, POLICIES)
    if policy != "uniform" and task.make_demonstration is None:
        raise ConfigurationError(
            f"policy={policy!r}: the task {task.name} has no demonstrations; use 'uniform', or an agent"
        )


def _unpaid(envs: EnvFactory) -> EnvFactory:
    return EnvFactory(envs.env_id, {**envs.kwargs, "reward": _nothing})


def _nothing(batch: EpisodeBatch) -> NDArray[np.float64]:
    return np.zeros(len(batch))


def _change(plan: Plan, words: Rows, rng: np.random.Generator) -> Plan:
    """The text with one or two of its tokens, but the last, replaced by any."""
    changed = list(plan)
    for _ in range(rng.integers(1, 3)):
        changed[int(rng.integers(max(len(plan) - 1, 1)))] = int(rng.choice(words))
    return changed
