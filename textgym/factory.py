"""EnvFactory: what to make environments of, as a value that can be handed around and sent to other processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym

import textgym.registration  # noqa: F401 - ids must be known in worker processes too
from textgym.errors import ConfigurationError
from textgym.task import Task


@dataclass(frozen=True)
class EnvFactory:
    """Makes environments of one kind: wherever an env id is accepted, so is a factory.

    Attributes:
        env_id: A registered id.
        kwargs: Arguments for ``gym.make``.

    Example:
        >>> envs = EnvFactory("TextGen-v0", {"level": "tiny"}).vector(4)
        >>> envs.num_envs
        4
    """

    env_id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def single(self, **extra: Any) -> gym.Env[Any, Any]:
        """One environment; ``extra`` overrides ``kwargs``."""
        return gym.make(self.env_id, **{**self.kwargs, **extra})

    def vector(self, num_envs: int, **extra: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
        """A native vector environment; ``extra`` overrides ``kwargs``."""
        return gym.make_vec(self.env_id, num_envs=num_envs, **{**self.kwargs, **extra})

    def task(self) -> Task:
        """The task with all overrides.

        Raises:
            ConfigurationError: for an id that is not one of textgym's.
        """
        task = getattr(self.single().unwrapped, "task", None)
        if not isinstance(task, Task):
            raise ConfigurationError(f"{self.env_id!r} is not a textgym environment; `textgym list` shows which are")
        return task


def as_factory(env: str | EnvFactory, **kwargs: Any) -> EnvFactory:
    """Turns an env id or a factory, with further arguments, into a factory."""
    if isinstance(env, str):
        return EnvFactory(env, kwargs)
    if not hasattr(env, "vector") or not hasattr(env, "kwargs"):
        raise ConfigurationError(f"{env!r}: expected an env id such as 'TextGen-v0', or an EnvFactory")
    return replace(env, kwargs={**env.kwargs, **kwargs}) if kwargs else env
