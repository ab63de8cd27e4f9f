"""RLModules of RLlib's new API stack that honour masks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from ray.rllib.algorithms.dqn.dqn_learner import QF_NEXT_PREDS, QF_PREDS, QF_TARGET_NEXT_PREDS
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, QNetAPI, TargetNetworkAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.schedules.scheduler import Scheduler
from torch import nn

from textgym.errors import ConfigurationError
from textgym.integrations.rllib.environments import MASK, TOKENS, check_spaces

Batch = dict[str, Any]
_LOWEST = torch.finfo(torch.float32).min  # a probability of exactly 0, without the NaN that -inf makes of an entropy


def _network(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class _TokenModule(TorchRLModule, InferenceOnlyAPI):  # type: ignore[misc]
    """Networks over one-hot tokens; ``model_config`` may hold ``hidden``, the widths of their layers."""

    def setup(self) -> None:
        width, self.actions = check_spaces(self.observation_space, self.action_space)
        hidden = self.model_config.get("hidden", (128, 128))
        self.inputs = width * (self.actions + 1), *hidden

    def features(self, batch: Batch) -> torch.Tensor:
        """``(B, (P + T)(V + 1))`` zeros and ones."""
        tokens = batch[Columns.OBS][TOKENS].long()
        return nn.functional.one_hot(tokens, self.actions + 1).flatten(-2).float()

    def legal(self, batch: Batch) -> torch.Tensor:
        """``(B, V)`` True where a token may be written."""
        return batch[Columns.OBS][MASK] > 0


class MaskedPPO(_TokenModule, ValueFunctionAPI):  # type: ignore[misc]
    """A policy in which illegal tokens have probability 0 (when sampling, when playing and in the loss), and values."""

    def setup(self) -> None:
        """Builds the networks, each with layers of its own."""
        super().setup()
        self.policy = _network([*self.inputs, self.actions])
        self.value = _network([*self.inputs, 1])

    def get_non_inference_attributes(self) -> list[str]:
        """What env runners need no copy of."""
        return ["value"]

    def _forward(self, batch: Batch, **kwargs: Any) -> Batch:
        logits = self.policy(self.features(batch)).masked_fill(~self.legal(batch), _LOWEST)
        return {Columns.ACTION_DIST_INPUTS: logits}

    def compute_values(self, batch: Batch, embeddings: Any = None) -> torch.Tensor:
        """``(B,)`` what the rest of each text is expected to earn."""
        return self.value(self.features(batch)).squeeze(-1)


class MaskedDQN(_TokenModule, QNetAPI, TargetNetworkAPI):  # type: ignore[misc]
    """Values of tokens, minus infinity for illegal ones: no choice, greedy or random, and no target looks at those."""

    def setup(self) -> None:
        """Builds the network.

        Raises:
            ConfigurationError: for a distributional or a dueling DQN, which this module is not.
        """
        super().setup()
        if self.model_config.get("num_atoms", 1) != 1 or self.model_config.get("dueling"):
            raise ConfigurationError("MaskedDQN has one value for a token: set training(num_atoms=1, dueling=False)")
        self.double_q = bool(self.model_config.get("double_q", True))
        self.epsilon = Scheduler(self.model_config.get("epsilon", 0.05), framework="torch")
        self.network = _network([*self.inputs, self.actions])

    def get_non_inference_attributes(self) -> list[str]:
        """What env runners need no copy of."""
        return ["target"]

    def make_target_networks(self) -> None:
        """Copies the network."""
        self.target = make_target_network(self.network)

    def get_target_network_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The network and its slow copy."""
        return [(self.network, self.target)]

    def _values(self, batch: Batch, network: nn.Module) -> Batch:
        return {QF_PREDS: network(self.features(batch)).masked_fill(~self.legal(batch), -torch.inf)}

    def compute_q_values(self, batch: Batch) -> Batch:
        """``qf_preds``, ``(B, V)``."""
        return self._values(batch, self.network)

    def forward_target(self, batch: Batch) -> Batch:
        """The same from the slow copy."""
        return self._values(batch, self.target)

    def compute_advantage_distribution(self, batch: Batch) -> Batch:
        """Not for this module, whose values are no distributions."""
        raise ConfigurationError("MaskedDQN has no distributions of values: set training(num_atoms=1)")

    def _forward_inference(self, batch: Batch, **kwargs: Any) -> Batch:
        with torch.no_grad():
            return {Columns.ACTIONS: self.compute_q_values(batch)[QF_PREDS].argmax(-1)}

    def _forward_exploration(self, batch: Batch, t: int = 0, **kwargs: Any) -> Batch:
        best = self._forward_inference(batch)[Columns.ACTIONS]
        self.epsilon.update(t)
        chance = torch.multinomial(self.legal(batch).float(), 1).squeeze(-1)
        explore = torch.rand(best.shape, device=best.device) < self.epsilon.get_current_value()
        return {Columns.ACTIONS: torch.where(explore, chance, best)}

    def _forward_train(self, batch: Batch, **kwargs: Any) -> Batch:
        following = {Columns.OBS: batch[Columns.NEXT_OBS]}
        found = {**self.compute_q_values(batch), QF_TARGET_NEXT_PREDS: self.forward_target(following)[QF_PREDS]}
        if self.double_q:
            found[QF_NEXT_PREDS] = self.compute_q_values(following)[QF_PREDS]
        return found
