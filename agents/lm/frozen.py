"""The same language model, frozen: what all others are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from textgym.agents.lm.agent import LMAgent
from textgym.agents.lm.building import ModelConfig
from textgym.factory import EnvFactory


@dataclass(frozen=True, kw_only=True)
class FrozenConfig(ModelConfig):
    """Which model."""


class Frozen(LMAgent):
    """A language model that learns nothing."""

    config_class = FrozenConfig

    def train(self, envs: EnvFactory, total_steps: int) -> None:
        """Leaves the weights as they are."""
