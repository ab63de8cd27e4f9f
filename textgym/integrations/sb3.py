"""Stable-Baselines3: a VecEnv over the native vector environment, and an embedding for tokens.

Plain SB3 needs none of this (``DQN("MlpPolicy", gym.make("TextGen-v0"))`` trains); it is for speed.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from textgym.errors import ConfigurationError

LARGE_ACTION_SPACE = 2_000
_NOTHING: dict[str, Any] = {}  # one shared empty info for all rows that go on; SB3 only reads it


class NativeVecEnv(VecEnv):
    """An SB3 VecEnv that steps a native vector environment with one call.

    It keeps the episode records that SB3's Monitor would (``info["episode"]``), hands over the last
    observation of ended texts, and answers ``env_method("action_masks")``.

    Args:
        envs: A vector environment in SAME_STEP mode, such as
            ``gym.make_vec("TextGen-v0", num_envs=256, autoreset_mode="SameStep")``.

    Raises:
        ConfigurationError: for another autoreset mode, which SB3 could not follow.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        mode = envs.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ConfigurationError(
                f"autoreset mode {mode}: stable-baselines3 expects the next text's first observation in the step that "
                "ends a text; make the environment with autoreset_mode='SameStep'"
            )
        actions = int(envs.single_action_space.n)  # type: ignore[attr-defined]
        if actions > LARGE_ACTION_SPACE:
            warnings.warn(
                f"{actions} actions: stable-baselines3 is slow and hungry above {LARGE_ACTION_SPACE} (a DQN makes "
                "15 steps a second at 50,000); use a smaller vocabulary, or wrappers.vector.CandidateActions",
                stacklevel=2,
            )
        self.envs = envs
        self._actions: NDArray[Any] = np.zeros(0, dtype=np.int64)
        self._start = time.perf_counter()
        self._returns = np.zeros(envs.num_envs)
        self._lengths = np.zeros(envs.num_envs, dtype=np.int64)
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> Any:
        """Resets all lanes, with the seeds of :meth:`seed` and the options of ``set_options``."""
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        observations, _ = self.envs.reset(seed=seeds, options=self._merged_options())  # type: ignore[arg-type]
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        self._lengths[:] = 0
        return observations

    def _merged_options(self) -> dict[str, Any] | None:
        names = {name for options in self._options for name in options}
        if not names:
            return None
        if names != {"prompt_index"} or not all(self._options):
            raise ConfigurationError(f"options {sorted(names)}: expected prompt_index, for every lane")
        return {"prompt_index": np.array([options["prompt_index"] for options in self._options])}

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keeps the actions for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Steps all lanes; infos of lanes that go on are one shared empty dict."""
        observations, rewards, terminations, truncations, infos = self.envs.step(self._actions)
        self._returns += rewards
        self._lengths += 1
        dones = terminations | truncations
        records: list[dict[str, Any]] = [_NOTHING] * self.num_envs
        for row in dones.nonzero()[0].tolist():
            records[row] = self._record(row, infos, bool(truncations[row] and not terminations[row]))
        return observations, rewards.astype(np.float32), dones, records

    def _record(self, row: int, infos: dict[str, Any], truncated: bool) -> dict[str, Any]:
        now = time.perf_counter() - self._start
        episode = {"r": float(self._returns[row]), "l": int(self._lengths[row]), "t": round(now, 6)}
        self._returns[row] = 0.0
        self._lengths[row] = 0
        info = {name: values[row] for name, values in infos["final_info"].items() if isinstance(values, np.ndarray)}
        kept = {name: value for name, value in info.items() if not name.startswith("_")}
        return {
            **kept,
            "terminal_observation": infos["final_obs"][row],
            "TimeLimit.truncated": truncated,
            "episode": episode,
        }

    def close(self) -> None:
        """Closes the environment below."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute once for each lane.

        Raises:
            AttributeError: if there is none, which is how SB3 finds out.
        """
        base = self.envs if hasattr(self.envs, attr_name) else self.envs.unwrapped
        return [getattr(base, attr_name)] * len(self._rows(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute of the whole environment; lanes share it."""
        if indices is not None:
            raise ConfigurationError("the lanes of a native vector environment share their attributes; set all at once")
        setattr(self.envs.unwrapped, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Calls a batched method such as ``action_masks`` once and hands out its rows."""
        rows = self._rows(indices)
        base = self.envs if hasattr(self.envs, method_name) else self.envs.unwrapped
        result = getattr(base, method_name)(*method_args, **method_kwargs)
        return [None if result is None else result[row] for row in rows]

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Any = None) -> list[bool]:
        """True for Monitor, whose records this class keeps itself; no other single-env wrapper can be here."""
        return [wrapper_class.__name__ == "Monitor"] * len(self._rows(indices))

    def _rows(self, indices: Any) -> Sequence[int]:
        return list(self._get_indices(indices))


class TokenEmbedding(BaseFeaturesExtractor):
    """Learned vectors for token ids, one after another: for observations of kind "dict".

    Use it with ``MultiInputPolicy`` and ``policy_kwargs={"features_extractor_class": TokenEmbedding}``.

    Args:
        observation_space: A Dict with the Box ``tokens``, ``(P + T,)``.
        dim: Size of a token's vector; features are ``(P + T) * dim``.
    """

    def __init__(self, observation_space: spaces.Dict, dim: int = 16) -> None:
        tokens = observation_space["tokens"] if isinstance(observation_space, spaces.Dict) else None
        if not isinstance(tokens, spaces.Box):
            raise ConfigurationError(
                "TokenEmbedding reads the 'tokens' of a dict; make the environment with observation='dict', "
                f"not {observation_space}"
            )
        super().__init__(observation_space, tokens.shape[0] * dim)
        self.embedding = torch.nn.Embedding(int(tokens.high.max()) + 1, dim)

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """``{"tokens": (B, P + T)}`` (floats, as SB3 hands them over) to ``(B, (P + T) * dim)``."""
        return self.embedding(observations["tokens"].long()).flatten(1)
