"""Behaviours: how an agent is played while it is recorded, and with which probability it chose what it chose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError
from textgym.playing import act_of
from textgym.writers import is_writer

Choice = tuple[NDArray[np.int64], "NDArray[np.float64] | None"]


@dataclass
class Behavior:
    """How an agent is played while it is recorded.

    Attributes:
        agent: An agent with ``act``, or such a function.
        epsilon: Share of tokens that are drawn uniformly among the legal ones instead.
        temperature: Flattens (above 1) or sharpens (below 1) a policy that tells its ``log_probs``.
        deterministic: Greedy play; log-probabilities are not kept then.
        rng: Draws.
    """

    agent: Any
    epsilon: float = 0.0
    temperature: float = 1.0
    deterministic: bool = False
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def __post_init__(self) -> None:
        if is_writer(self.agent):  # it may have act(), too, but that is not how it plays
            raise ConfigurationError(
                f"{type(self.agent).__name__} writes whole texts; recorded are the choices of an agent that plays by "
                "act(), such as the one that it searches with"
            )
        self._act = act_of(self.agent)
        if not _is_number(self.epsilon) or not 0.0 <= self.epsilon <= 1.0:
            raise ConfigurationError(f"epsilon={self.epsilon!r}: expected a number from 0 to 1")
        if not _is_number(self.temperature) or not 0.0 < self.temperature < float("inf"):
            raise ConfigurationError(f"temperature={self.temperature!r}: expected a number above 0")
        if self.temperature != 1.0 and not self.tells:
            why = "greedy play has none" if self.deterministic else "this agent does not tell its log_probs"
            raise ConfigurationError(f"temperature={self.temperature!r}: {why}; use epsilon for data of mixed quality")

    @property
    def tells(self) -> bool:
        """Whether the log-probability of every choice is known."""
        return hasattr(self.agent, "log_probs") and not self.deterministic

    def rest(self, lanes: NDArray[np.bool_]) -> None:
        """Tells an agent that wants to know in which lanes ``(B,)`` nobody reads what it writes."""
        if hasattr(self.agent, "rest"):
            self.agent.rest(lanes)

    def choose(self, observations: Any, masks: NDArray[np.bool_], starts: NDArray[np.bool_]) -> Choice:
        """One token for each of B rows, and ``(B,)`` their log-probabilities where they are known."""
        if self.tells:
            return self._draw(self._log_probs(observations, masks))
        actions = self._act(observations, masks, deterministic=self.deterministic, episode_starts=starts)
        chosen = np.array(actions, dtype=np.int64)
        if chosen.shape != (len(masks),):
            raise ConfigurationError(f"act() returned shape {chosen.shape} for {len(masks)} observations")
        explore = self.rng.random(len(masks)) < self.epsilon
        chosen[explore] = self._draw(_uniform(masks[explore]))[0]
        return chosen, None

    def _log_probs(self, observations: Any, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """``(B, V)`` of the policy that plays: tempered, and mixed with uniform choices."""
        told = np.asarray(self.agent.log_probs(observations, masks), dtype=np.float64) / self.temperature
        if told.shape != masks.shape:
            raise ConfigurationError(f"log_probs() returned shape {told.shape}; expected {masks.shape}")
        told = told - np.logaddexp.reduce(told, axis=1, keepdims=True)
        if not self.epsilon:
            return told
        with np.errstate(divide="ignore"):
            return np.logaddexp(np.log1p(-self.epsilon) + told, np.log(self.epsilon) + _uniform(masks))

    def _draw(self, log_probs: NDArray[np.float64]) -> Choice:
        chosen = (log_probs + self.rng.gumbel(size=log_probs.shape)).argmax(axis=1)  # the Gumbel-max trick
        return chosen, np.take_along_axis(log_probs, chosen[:, None], axis=1)[:, 0]


class UniformPolicy:
    """All legal tokens are equally likely."""

    def act(self, observations: Any, action_masks: Any = None, **_: Any) -> NDArray[np.int64]:
        """Any legal token."""
        return np.asarray(action_masks).argmax(axis=1)

    def log_probs(self, observations: Any, action_masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """``(B, V)``."""
        return _uniform(action_masks)


def _uniform(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.log(masks / masks.sum(axis=1, keepdims=True))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
