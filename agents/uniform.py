"""The agent that knows nothing: every legal token is equally likely. Scores are counted from here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from textgym.agents.base import count_rollouts, make_config, read_card, sample_uniform, write_card
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed


@dataclass(frozen=True)
class UniformConfig:
    """There is nothing to configure."""


class Uniform:
    """Draws among the legal tokens; greedy play draws too, since no token is better than another."""

    def __init__(self, seed: int = 0, **config: Any) -> None:
        self.seed = seed
        self.config = make_config(UniformConfig, config)
        self._rng = np.random.default_rng(seed)

    def learn(self, envs: EnvFactory, total_steps: int, *, lanes: int = 64) -> None:
        """Plays ``total_steps`` tokens, so that there is a curve to compare with; learns nothing."""
        rounds = count_rollouts(total_steps, lanes)
        vector = envs.vector(lanes, autoreset_mode="SameStep")
        base: Any = vector.unwrapped
        vector.reset(seed=spawn_seed(self.seed, "uniform"))
        for _ in range(rounds):
            vector.step(sample_uniform(base.action_masks(), self._rng))

    def act(
        self,
        observations: Any,
        action_masks: NDArray[np.bool_] | None = None,
        *,
        deterministic: bool = True,
        episode_starts: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """One legal token for each row."""
        if action_masks is None:
            raise ConfigurationError("the uniform agent needs action_masks to know how many tokens there are")
        return sample_uniform(action_masks, self._rng)

    def seed_sampling(self, seed: int) -> None:
        """Starts the random numbers of :meth:`act` anew."""
        self._rng = np.random.default_rng(seed)

    def log_probs(self, observations: Any, action_masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """``(B, V)`` log-probabilities; minus infinity for illegal tokens."""
        with np.errstate(divide="ignore"):
            return np.log(action_masks / action_masks.sum(axis=1, keepdims=True))

    def save(self, path: Path) -> None:
        """Writes the card; there is no more to it."""
        write_card(path, self)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads the card."""
        return cls(seed=read_card(path)["seed"])
