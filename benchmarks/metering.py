"""Metered environments: every environment of a :class:`MeteredFactory` draws on one meter.

Agents never report their own returns. The harness hands them a metered factory, so that all learning curves
mean the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from textgym.episodes import ILLEGAL, STOP_REASONS
from textgym.factory import EnvFactory
from textgym.vector_wrapper import AnyVectorWrapper

from .meter import Meter

_CODES = {reason: code for code, reason in enumerate(STOP_REASONS)}


class MeteredEnv(gym.Wrapper[Any, Any, Any, Any]):
    """A single environment whose steps and episodes go through a meter."""

    def __init__(self, env: gym.Env[Any, Any], meter: Meter) -> None:
        super().__init__(env)
        self._meter = meter
        self._return = 0.0
        base: Any = env.unwrapped
        self._base = base
        self._pays_early = base.config.reward_timing != "end"
        self._last_episodes = lambda: base.last_episodes

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode; resets are free."""
        self._return = 0.0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Steps the environment.

        Raises:
            BudgetSpent: if the budget has no step left.
        """
        self._meter.spend(1)
        before = self._base.reward_calls
        result = self.env.step(action)
        self._return += float(result[1])
        if result[2]:
            info = result[4]
            self._meter.record_one(self._last_episodes, self._return, _CODES[info["stop_reason"]])
        elif self._pays_early:
            self._meter.scored_apart += self._base.reward_calls - before
        return result


class MeteredVectorEnv(AnyVectorWrapper):
    """A native vector environment whose steps and episodes go through a meter.

    In NEXT_STEP mode the step that resets a lane is free for that lane, in DISABLED mode one in which a lane rests.
    Attributes that this class does not have, such as ``action_masks`` or ``eos_id``, are the environment's.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], meter: Meter) -> None:
        super().__init__(env)
        self._meter = meter
        base: Any = env.unwrapped
        self._base = base
        self._pays_early = base.config.reward_timing != "end"
        self._all_write = env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        self._lanes = env.num_envs

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Steps all lanes.

        Raises:
            BudgetSpent: if the budget has not a step left for every lane that would write a token.
        """
        meter, base = self._meter, self._base
        writing = self._lanes if self._all_write else base.count_writing(actions)
        spent = meter.steps + writing
        if spent < meter.free_until:  # at most steps, and a call would cost as much as the rest
            meter.steps = spent
        else:
            meter.spend(writing)
        before = base.reward_calls if self._pays_early else 0
        result = self.env.step(actions)
        ended = base.last_episodes
        if self._pays_early:
            legal = 0 if ended is None else np.count_nonzero(ended.stop_codes != ILLEGAL)
            meter.scored_apart += base.reward_calls - before - legal
        if ended is not None:
            meter.record(ended, base.last_returns)
        return result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "env":
            raise AttributeError(name)
        return getattr(self.env, name)


@dataclass(frozen=True)
class MeteredFactory(EnvFactory):
    """A factory whose environments all draw on one meter.

    Attributes:
        meter: Counts and records for all of them.

    Example:
        >>> envs = MeteredFactory.around(EnvFactory("TextGen-v0", {"level": "tiny"}), Meter(100))
        >>> envs.meter.steps
        0
    """

    meter: Meter = field(default_factory=Meter, compare=False)

    @classmethod
    def around(cls, factory: EnvFactory, meter: Meter) -> MeteredFactory:
        """Meters another factory's environments."""
        return cls(factory.env_id, factory.kwargs, meter=meter)

    def single(self, **extra: Any) -> gym.Env[Any, Any]:
        """One metered environment; ``extra`` goes over the factory's own arguments."""
        return MeteredEnv(super().single(**extra), self.meter)

    def vector(self, num_envs: int, **extra: Any) -> VectorEnv[Any, Any, Any]:
        """A metered vector environment; ``extra`` goes over the factory's own arguments."""
        return MeteredVectorEnv(super().vector(num_envs, **extra), self.meter)
