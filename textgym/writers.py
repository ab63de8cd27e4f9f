"""Agents that write whole texts: what they return is checked, stepped through the environment, and its cost counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.vector_wrapper import AnyVectorWrapper


@dataclass
class Spending:
    """What an agent spends while it writes.

    Attributes:
        steps: Tokens.
        reward_calls: Texts that the reward model scored for it.
    """

    steps: int = 0
    reward_calls: int = 0

    def spend(self, steps: int) -> None:
        """Adds tokens."""
        self.steps += steps

    @property
    def scored_apart(self) -> int:
        """The reward calls, by the name that :func:`textgym.score` adds to."""
        return self.reward_calls

    @scored_apart.setter
    def scored_apart(self, calls: int) -> None:
        self.reward_calls = calls


class _CountedVectorEnv(AnyVectorWrapper):
    """A native vector environment that adds up what it costs."""

    def __init__(self, env: VectorEnv[Any, Any, Any], meter: Spending) -> None:
        super().__init__(env)
        self._meter = meter
        self._base: Any = env.unwrapped

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        writing, before = self._base.count_writing(actions), self._base.reward_calls
        result = self.env.step(actions)
        self._meter.spend(writing)
        self._meter.reward_calls += self._base.reward_calls - before
        return result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "env":
            raise AttributeError(name)
        return getattr(self.env, name)


class _CountedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """A single environment that adds up what it costs."""

    def __init__(self, env: gym.Env[Any, Any], meter: Spending) -> None:
        super().__init__(env)
        self._meter = meter
        self._base: Any = env.unwrapped

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        before = self._base.reward_calls
        result = self.env.step(action)
        self._meter.spend(1)
        self._meter.reward_calls += self._base.reward_calls - before
        return result


@dataclass(frozen=True)
class CountedFactory(EnvFactory):
    """A factory whose environments add up what is spent in them.

    Attributes:
        meter: The sums.

    Example:
        >>> envs = CountedFactory("TextGen-v0", {"level": "tiny"})
        >>> lanes = envs.vector(3)
        >>> observations, _ = lanes.reset(seed=0)
        >>> _ = lanes.step(np.full(3, lanes.unwrapped.eos_id))
        >>> envs.meter
        Spending(steps=3, reward_calls=3)
    """

    meter: Spending = field(default_factory=Spending, compare=False)

    def single(self, **extra: Any) -> gym.Env[Any, Any]:
        """One environment; ``extra`` overrides ``kwargs``."""
        return _CountedEnv(super().single(**extra), self.meter)

    def vector(self, num_envs: int, **extra: Any) -> VectorEnv[Any, Any, Any]:
        """A native vector environment; ``extra`` overrides ``kwargs``."""
        return _CountedVectorEnv(super().vector(num_envs, **extra), self.meter)


def is_writer(agent: Any) -> bool:
    """Whether an agent writes whole texts: ``write(envs, prompt_indices) -> token ids of each``."""
    return not isinstance(agent, type | str) and callable(getattr(agent, "write", None))


def ask(agent: Any, envs: EnvFactory, prompt_indices: NDArray[np.int64]) -> list[list[int]]:
    """What a writer writes to these prompts.

    Raises:
        ConfigurationError: for what is no list of token ids for each prompt.
    """
    texts = agent.write(envs, prompt_indices)
    if not isinstance(texts, Sequence) or isinstance(texts, str) or len(texts) != len(prompt_indices):
        count = len(texts) if hasattr(texts, "__len__") else "no"
        raise ConfigurationError(
            f"write() returned {type(texts).__name__} with {count} texts for {len(prompt_indices)} prompts; expected a "
            "list of token ids for each"
        )
    return [_ids(text) for text in texts]


def _ids(text: Any) -> list[int]:
    array = np.asarray(text)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ConfigurationError(f"write() returned {text!r} as a text; expected a list of token ids, the end id last")
    ids: list[int] = array.tolist()
    return ids


def next_actions(texts: Sequence[Sequence[int]], places: NDArray[np.int64], waiting: NDArray[np.bool_]) -> list[int]:
    """The next id of each text, 0 where its lane waits for nothing any more.

    Raises:
        ConfigurationError: for a text that has no more ids although it has not ended.
    """
    actions = []
    for text, place, waits in zip(texts, places.tolist(), waiting.tolist(), strict=True):
        if waits and place >= len(text):
            raise ConfigurationError(
                f"write() returned {list(text)}, which does not end: expected an end id, or as many ids as the budget "
                "allows"
            )
        actions.append(int(text[place]) if waits else 0)
    return actions
