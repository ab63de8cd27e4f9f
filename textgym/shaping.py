"""What reward wrappers add to a step, as functions of the texts before and after it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, RewardError
from textgym.rewards import resolve_reward

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def check_number(name: str, value: object, *, least: float = -math.inf, greatest: float = math.inf) -> float:
    """A finite number within limits.

    Raises:
        ConfigurationError: for anything else.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not least <= value <= greatest:  # type: ignore[arg-type, operator]
        limits = "" if math.isinf(least) else f" from {least:g} to {greatest:g}"
        raise ConfigurationError(f"{name}={value!r}: expected a finite number{limits}")
    return float(value)  # type: ignore[arg-type]


class Potential:
    """The potential of texts that go on, 0 of those that have ended; texts it has just seen are not asked again.

    Args:
        potential: A function of texts, in any form that ``gym.make`` takes as ``reward=``.
        level: The task's level, for rewards that ship one model a level.

    Raises:
        ConfigurationError: for what is no function of texts, and for a stochastic one: by chance, it would not
            leave the optimal policy as it is.
    """

    def __init__(self, potential: Any, level: str | None) -> None:
        self.score = resolve_reward(potential, level=level)
        if getattr(self.score, "stochastic", False):
            raise ConfigurationError(f"the potential {self.score!r} is stochastic; expected a function of the text")
        self._tokens = np.zeros((0, 0), dtype=np.int32)
        self._prompts, self._values = np.zeros(0, dtype=np.int64), np.zeros(0)
        self._known = np.zeros(0, dtype=bool)

    def __call__(self, texts: EpisodeBatch, going: Mask) -> Floats:
        """Values of a batch of texts, always of the same size.

        Args:
            texts: B texts.
            going: ``(B,)`` which of them have not ended.

        Returns:
            ``(B,)`` potentials.

        Raises:
            RewardError: unless the potential returns one finite number a text.
        """
        values = np.zeros(len(texts))
        known = going & self._remembered(texts)
        values[known] = self._values[known] if known.any() else 0.0
        asked = np.flatnonzero(going & ~known)
        if asked.size:
            values[asked] = self._ask(texts.take(asked))
        self._tokens, self._prompts = texts.tokens, texts.prompt_indices
        self._values, self._known = values.copy(), going.copy()
        return values

    def _remembered(self, texts: EpisodeBatch) -> Mask:
        if self._tokens.shape != texts.tokens.shape:
            return np.zeros(len(texts), dtype=bool)
        same: Mask = (self._tokens == texts.tokens).all(axis=1) & (self._prompts == texts.prompt_indices)
        return same & self._known

    def _ask(self, texts: EpisodeBatch) -> Floats:
        values = np.asarray(self.score(texts), dtype=np.float64)
        if values.shape != (len(texts),):
            raise RewardError(
                f"the potential returned shape {values.shape} for {len(texts)} texts; expected ({len(texts)},)"
            )
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            row = int(wrong[0])
            raise RewardError(
                f"the potential returned {values[row]} for the prompt {texts.prompt_texts[row]!r} and the text so far "
                f"{texts.completions[row]!r}; expected a finite number for every text that goes on, the empty one too"
            )
        return values


def shaped(rewards: Floats, before: Floats, after: Floats, *, discount: float) -> Floats:
    """``(B,)`` rewards plus ``discount * after - before``.

    Ng, Harada and Russell (1999), "Policy invariance under reward transformations".
    """
    return rewards + (discount * after - before)
