"""What RLlib's env runners step: the native vector environment, with seeds that no other runner has."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import ray
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from ray.tune.registry import _global_registry, register_env

import textgym.registration  # noqa: F401 - ids must be known in worker processes too
from textgym.errors import ConfigurationError
from textgym.vector_wrapper import AnyVectorWrapper

ENV_NAME = "textgym"
"""The name under which RLlib finds the environments; ``env_config`` holds ``env_id`` and the arguments."""
MASK, TOKENS = "action_mask", "tokens"


def make_env(context: Mapping[str, Any]) -> VectorEnv[Any, Any, Any]:
    """The vector environment of an env runner, in NEXT_STEP mode, which RLlib relies on and does not check.

    Args:
        context: ``env_id``, ``num_envs``, and arguments of the environment.

    Raises:
        ConfigurationError: for another autoreset mode.
    """
    kwargs = dict(context)
    env_id, num_envs = kwargs.pop("env_id"), kwargs.pop("num_envs", 1)
    envs = gym.make_vec(env_id, num_envs=num_envs, **kwargs)
    mode = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
    if mode is not AutoresetMode.NEXT_STEP:
        raise ConfigurationError(f"autoreset mode {mode}: RLlib needs 'NextStep', which is the default; leave it out")
    return _OwnSeeds(envs)


class _OwnSeeds(AnyVectorWrapper):
    """RLlib numbers its runners' seeds, an environment those of its lanes: so lanes of two runners would be twins.

    Where whole episodes are sampled, a runner resets with its one seed every time: without the count of these resets
    all training would be on the first texts of the lanes.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self._resets = Counter[int]()

    def reset(self, *, seed: int | list[int | None] | None = None, options: Any = None) -> Any:
        seeds: Any = seed
        if isinstance(seed, int):
            again = (self._resets[seed],) if self._resets[seed] else ()
            self._resets[seed] += 1
            source = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(b"rllib"), *again))
            seeds = source.generate_state(self.num_envs).tolist()
        return self.env.reset(seed=seeds, options=options)


def register() -> None:
    """Makes :data:`ENV_NAME` known to RLlib, which forgets it whenever Ray is shut down.

    RLlib files it under the first job of this process, where the workers of a later connection do not look.
    """
    if ray.is_initialized() and hasattr(_global_registry, "_prefix"):
        _global_registry._prefix = ray.get_runtime_context().get_job_id()
    register_env(ENV_NAME, make_env)


def check_spaces(observations: Any, actions: Any) -> tuple[int, int]:
    """The number of ids in an observation and that of actions.

    Raises:
        ConfigurationError: for spaces that the modules cannot read, such as images or continuous actions.
    """
    if not isinstance(actions, spaces.Discrete):
        raise ConfigurationError(f"actions {actions}: expected a Discrete space, one number for each token")
    if isinstance(observations, spaces.Box) and len(observations.shape) > 1:
        raise ConfigurationError(
            f"observations {observations} look like images: textgym's RLlib modules read token ids; use RLlib's own "
            "modules for images"
        )
    parts = observations.spaces if isinstance(observations, spaces.Dict) else {}
    mask, tokens = parts.get(MASK), parts.get(TOKENS)
    if mask is None or tokens is None or mask.shape != (actions.n,) or len(tokens.shape or ()) != 1:
        raise ConfigurationError(
            f"observations {observations}: expected a Dict with {TOKENS!r} (P + T,) and {MASK!r} (V,); make the "
            "environment with observation='dict'"
        )
    (width,) = tokens.shape or (0,)
    return int(width), int(actions.n)
