"""Best of n: a frozen language model writes n texts to a prompt, and the one that the reward likes best is kept.

No learning beyond demonstrations, but n reward calls for every answer, which the meter counts. The divergence from the
model is at most log n - (n - 1) / n nats (Beirami et al. 2024, https://arxiv.org/abs/2401.01879).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.agents.lm.rollout import collect
from textgym.agents.lm.sft import SFT, SFTConfig
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory


@dataclass(frozen=True, kw_only=True)
class BestOfNConfig(SFTConfig):
    """Options of best-of-n; those of its warm start included."""

    n: int = 8  # texts to choose from
    lanes: int = 128  # written at the same time

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.n, self.lanes) < 1:
            raise ConfigurationError(f"n={self.n}, lanes={self.lanes}: expected whole numbers of at least 1")


class BestOfN(SFT):
    """Writes n texts to each prompt and keeps the one that pays most."""

    config_class = BestOfNConfig
    config: BestOfNConfig

    def write(self, envs: EnvFactory, prompt_indices: Sequence[int] | NDArray[np.int64]) -> list[list[int]]:
        """The ids of the best text to each prompt, by the environment's own reward.

        Args:
            envs: May be metered: every token and reward call counts.
            prompt_indices: ``(N,)`` rows of the prompt table.
        """
        wanted = np.repeat(np.asarray(prompt_indices, dtype=np.int64), self.config.n)
        lanes: Any = envs.vector(min(self.config.lanes, len(wanted)), autoreset_mode="Disabled", observation="tokens")
        try:
            lanes.reset(seed=int(self._generator.initial_seed() % 2**31))
            rollout = collect(self.ready_policy, lanes, wanted, generator=self._generator)
        finally:
            lanes.close()
        if rollout.episodes.is_agent is not None:
            raise ConfigurationError("best-of-n chooses between whole texts; a conversation cannot be taken back")
        best = (
            rollout.returns.reshape(-1, self.config.n).argmax(axis=1) + np.arange(len(prompt_indices)) * self.config.n
        )
        return [rollout.episodes.ids(row) for row in best.tolist()]


def kl_bound(n: int) -> float:
    """The most that best-of-n can diverge from its model, in nats a text.

    Example:
        >>> round(kl_bound(4), 3)
        0.636
    """
    return math.log(n) - (n - 1) / n
