"""An environment that the grader serves to a learning submission: metered, watched, and out of its reach."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from textgym.course.wire import Served
from textgym.errors import BudgetSpent
from textgym.factory import EnvFactory
from textgym.task import Task


@dataclass(frozen=True)
class Step:
    """One step that a submission took.

    Attributes:
        state: The observation's bytes before it.
        action: The id.
        legal: Whether it was legal.
        first: Whether it was the first of its episode.
    """

    state: bytes
    action: int
    legal: bool
    first: bool


@dataclass
class MeteredEnv:
    """A Gymnasium environment with a budget of steps, which keeps what was done in it.

    Attributes:
        task: What it is about.
        budget: Steps that may be taken; further ones raise :class:`~textgym.errors.BudgetSpent`.
        seed: Of the first reset.
        steps: What was done.
        returns: The return of each finished episode.
        refused: Steps that were asked for beyond the budget.
    """

    task: Task
    budget: int
    seed: int = 0
    steps: list[Step] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        self._env: gym.Env[Any, Any] = EnvFactory("TextGen-v0", {"task": self.task}).single()
        self._observation, self._mask = self._begin(self._env.reset(seed=self.seed))
        self._fresh = True

    def served(self) -> Served:
        """What the submission gets."""
        size = int(self._mask.size)
        return Served({"reset": self.reset, "step": self.step}, {"num_actions": size})

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[NDArray[np.int32], dict[str, Any]]:
        """Begins an episode; the seed is the grader's, whatever is asked for."""
        if not self._fresh:
            self._observation, self._mask = self._begin(self._env.reset())
        self._fresh = True
        return self._observation, self._info()

    def step(self, action: Any) -> tuple[NDArray[np.int32], float, bool, bool, dict[str, Any]]:
        """A step of the environment.

        Raises:
            BudgetSpent: beyond the budget.
        """
        if len(self.steps) >= self.budget:
            self.refused += 1
            raise BudgetSpent(f"all {self.budget} steps are used up")
        chosen = operator.index(action)
        before, was_legal, first = self._observation.tobytes(), self._is_legal(chosen), self._fresh
        observation, reward, over, _, info = self._env.step(chosen)
        self._fresh = False
        self.steps.append(Step(before, chosen, was_legal, first))
        self._observation, self._mask = self._begin((observation, info))
        if over:
            self.returns.append(float(reward))
        return self._observation, float(reward), bool(over), False, self._info()

    def _begin(self, found: tuple[Any, dict[str, Any]]) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        observation, info = found
        return np.asarray(observation, dtype=np.int32), np.asarray(info["action_mask"])

    def _is_legal(self, action: int) -> bool:
        return 0 <= action < self._mask.size and bool(self._mask[action])

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._mask}

    def counts(self) -> dict[tuple[bytes, int], int]:
        """How often each id was written in each state."""
        found: dict[tuple[bytes, int], int] = {}
        for step in self.steps:
            found[step.state, step.action] = found.get((step.state, step.action), 0) + 1
        return found

    def trace(self) -> Sequence[int]:
        """All ids in order."""
        return [step.action for step in self.steps]
