"""The same language model, frozen: what all others are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from textgym.agents.lm.agent import TEXTS, LMAgent
from textgym.agents.lm.building import ModelConfig
from textgym.factory import EnvFactory


@dataclass(frozen=True, kw_only=True)
class FrozenConfig(ModelConfig):
    """Which model."""

    write_on: bool = True  # write as much as the budget allows, so that there is a curve to compare with


class Frozen(LMAgent):
    """A language model that learns nothing."""

    config_class = FrozenConfig
    config: FrozenConfig

    def train(self, envs: EnvFactory, total_steps: int) -> None:
        """Leaves the weights as they are."""
        if self.config.write_on:
            self.check_steps(envs, total_steps, TEXTS)
            self.write_on(envs, total_steps)
