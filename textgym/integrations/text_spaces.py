"""Spaces of text: one of which only the length is known, and what token actions ask of the spaces of others."""

from __future__ import annotations

import string
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from textgym.errors import ConfigurationError
from textgym.tokenizers import Tokenizer

PRINTABLE = "".join(sorted(string.digits + string.ascii_letters + string.punctuation + " \n"))


class AnyText(spaces.Text):
    """Any text up to a length: games print boards, accents and emoji that nobody can list as a charset.

    Samples are made of printable ASCII characters.

    Args:
        max_length: The most characters.

    Example:
        >>> "żółw 🐢" in AnyText(10), "żółw 🐢" in AnyText(3)
        (True, False)
    """

    def __init__(self, max_length: int) -> None:
        super().__init__(max_length, min_length=0, charset=PRINTABLE)

    def contains(self, x: Any) -> bool:
        """Whether it is a text that is not too long."""
        return isinstance(x, str) and len(x) <= self.max_length


def allows_characters(space: spaces.Text, text: str) -> bool:
    """Whether every character may stand in a text of the space."""
    return isinstance(space, AnyText) or all(character in space.character_set for character in text)


def check_text_env(env: Any) -> gym.Env[str, str]:
    """Refuses what is no environment whose actions and observations are text, naming the space."""
    if not isinstance(env, gym.Env):
        raise ConfigurationError(
            f"{env!r} is no gymnasium.Env; TextArena, TextWorld and GEM have adapters in textgym.integrations"
        )
    for kind, space, hint in (
        ("actions", env.action_space, "an agent that writes needs an environment that reads"),
        ("observations", env.observation_space, "describe what is seen in words, in a gymnasium.ObservationWrapper"),
    ):
        if not isinstance(space, spaces.Text):
            what = " (images)" if isinstance(space, spaces.Box) and len(space.shape) >= 2 else ""
            raise ConfigurationError(
                f"{env} has {kind} {space}{what}: TokenizedEnv expected gymnasium.spaces.Text; {hint}"
            )
    return env


def writable_ids(tokenizer: Tokenizer, space: spaces.Text) -> NDArray[np.bool_]:
    """``(V,)`` True for ids whose characters may stand in a text of the space, end ids included.

    Raises:
        ConfigurationError: if no text could be written at all.
    """
    mask = np.ones(tokenizer.vocab_size, dtype=bool)
    mask[list(tokenizer.special_ids)] = False
    mask[list(tokenizer.eos_ids)] = False
    for token in np.flatnonzero(mask).tolist():
        text = tokenizer.decode([token])  # U+FFFD: part of a character, which others may complete
        mask[token] = "\ufffd" in text or allows_characters(space, text)
    if not mask.any():
        raise ConfigurationError(
            f"no token of {tokenizer!r} can be written into {space}; build the tokenizer of its characters"
        )
    mask[list(tokenizer.eos_ids)] = True
    return mask
