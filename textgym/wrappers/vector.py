"""The twins of :mod:`textgym.wrappers.observation` for vector environments, in every autoreset mode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from textgym.observations import (
    last_tokens,
    last_tokens_space,
    one_hot,
    one_hot_space,
    prefix_index,
    prefix_space,
    task_of,
    text_space,
    texts,
)


class _TokenView(VectorWrapper[Any, Any, Any, Any, Any], ABC):
    """Applies a pure function to token observations, final observations of SAME_STEP included."""

    def __init__(self, env: VectorEnv[Any, Any, Any], space: spaces.Space[Any]) -> None:
        super().__init__(env)
        self._task = task_of(env)
        self._base: Any = env.unwrapped
        self.single_observation_space = space
        self.observation_space = batch_space(space, env.num_envs)

    @abstractmethod
    def view(self, tokens: NDArray[np.int32], prompt_indices: NDArray[np.int64]) -> Any:
        """Turns ``(B, P + T)`` ids into a batch of observations."""

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets the environment below."""
        tokens, infos = self.env.reset(seed=seed, options=options)
        return self.view(tokens, self._base.prompt_indices), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Steps the environment below."""
        tokens, rewards, terminations, truncations, infos = self.env.step(actions)
        if "final_obs" in infos:
            self._view_final(infos)
        return self.view(tokens, self._base.prompt_indices), rewards, terminations, truncations, infos

    def _view_final(self, infos: dict[str, Any]) -> None:
        ended = self._base.last_episodes
        last = self.view(np.stack(list(infos["final_obs"][infos["_final_obs"]])), ended.prompt_indices)
        for row, observation in zip(self._base.last_rows.tolist(), last, strict=True):
            infos["final_obs"][row] = observation


class OneHotTokens(_TokenView):
    """Tokens as flat float vectors of zeros and ones, ``(N, (P + T) * (V + 1))``."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env, one_hot_space(task_of(env)))

    def view(self, tokens: NDArray[np.int32], prompt_indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """One float per position and id."""
        return one_hot(tokens, self._task.tokenizer.vocab_size)


class LastTokens(_TokenView):
    """Only the newest ``n`` tokens of prompt and text, ``(N, n)``."""

    def __init__(self, env: VectorEnv[Any, Any, Any], n: int) -> None:
        self._n = n
        super().__init__(env, last_tokens_space(n, task_of(env)))

    def view(self, tokens: NDArray[np.int32], prompt_indices: NDArray[np.int64]) -> NDArray[np.int32]:
        """The windows, left-padded with V."""
        width, size = self._task.prompts.width, self._task.tokenizer.vocab_size
        return last_tokens(tokens, self._n, prompt_width=width, vocab_size=size)


class TextObservation(_TokenView):
    """Prompts and completions so far as strings, a tuple of N."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env, text_space(task_of(env)))

    def view(self, tokens: NDArray[np.int32], prompt_indices: NDArray[np.int64]) -> tuple[str, ...]:
        """``prompt + " " + completion`` for each lane."""
        return texts(tokens, prompt_indices, self._task)


class PrefixState(_TokenView):
    """The numbers of the (prompt, prefix) pairs, ``(N,)``: Discrete states for tabular agents."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env, prefix_space(task_of(env)))

    def view(self, tokens: NDArray[np.int32], prompt_indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Whole numbers; equal exactly for equal prompts and prefixes."""
        return prefix_index(tokens, prompt_indices, self._task)
