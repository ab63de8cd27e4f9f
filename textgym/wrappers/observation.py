"""Other views of the token observation, for single environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
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


class OneHotTokens(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Tokens as a flat float vector of zeros and ones, ``((P + T) * (V + 1),)``.

    Example:
        >>> import textgym
        >>> env = OneHotTokens(gym.make("TextGen-v0", level="tiny"))
        >>> env.reset(seed=0)[0].sum() == env.unwrapped.observation_space.shape[0]
        np.True_
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._vocab_size = task_of(env).tokenizer.vocab_size
        self.observation_space = one_hot_space(task_of(env))

    def observation(self, observation: NDArray[np.int32]) -> NDArray[np.float32]:
        """One float per position and id."""
        return one_hot(observation[None], self._vocab_size)[0]


class LastTokens(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Only the newest ``n`` tokens of prompt and text, ``(n,)``: a partially observed problem.

    Args:
        env: An environment with token observations.
        n: Size of the window.
    """

    def __init__(self, env: gym.Env[Any, Any], n: int) -> None:
        RecordConstructorArgs.__init__(self, n=n)
        super().__init__(env)
        self._n, self._task = n, task_of(env)
        self.observation_space = last_tokens_space(n, self._task)

    def observation(self, observation: NDArray[np.int32]) -> NDArray[np.int32]:
        """The window, left-padded with V."""
        width, size = self._task.prompts.width, self._task.tokenizer.vocab_size
        return last_tokens(observation[None], self._n, prompt_width=width, vocab_size=size)[0]


class TextObservation(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """The prompt and the completion so far as one string."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._task = task_of(env)
        self.observation_space = text_space(self._task)

    def observation(self, observation: NDArray[np.int32]) -> str:
        """``prompt + " " + completion``."""
        return texts(observation[None], _prompt(self.env), self._task)[0]


class PrefixState(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """The number of the (prompt, prefix): a Discrete state for tabular agents."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._task = task_of(env)
        self.observation_space = prefix_space(self._task)

    def observation(self, observation: NDArray[np.int32]) -> np.int64:
        """A whole number; equal exactly for equal prompts and prefixes."""
        return np.int64(prefix_index(observation[None], _prompt(self.env), self._task)[0])


def _prompt(env: gym.Env[Any, Any]) -> NDArray[np.int64]:
    return np.array([env.get_wrapper_attr("prompt_index")])
