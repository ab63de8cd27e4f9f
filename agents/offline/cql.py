"""Conservative Q-learning for discrete actions (Kumar et al. 2020): Q-learning that distrusts what it has not seen."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from textgym.agents.offline.agent import Batch, OfflineAgent, OfflineConfig, PrefixNetwork, check_count, check_range


@dataclass(frozen=True, kw_only=True)
class CQLConfig(OfflineConfig):
    """Options of conservative Q-learning."""

    alpha: float = 0.05  # weight of the penalty on tokens that the data do not have; more stays nearer to the data
    discount: float = 1.0  # gamma: texts are short and paid at the end, so later is not worth less
    target_update: int = 100  # steps between copies of the network that the targets come from
    temperature: float = 0.1  # of the softmax over Q values that is sampled from; greedy play knows none

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "alpha", -1e-9, 1e6)
        check_range(self, "discount", -1e-9, 1.0)
        check_count(self, "target_update")
        check_range(self, "temperature", 0.0, 1e6)


class CQL(OfflineAgent):
    """Conservative Q-learning. Greedy, it writes the legal token with the highest value."""

    config_class = CQLConfig
    config: CQLConfig
    _target: nn.Module

    def loss(self, network: PrefixNetwork, batch: Batch, update: int) -> Tensor:
        """The error of the Bellman equation, plus alpha times how far others are preferred to the recorded token."""
        if update % self.config.target_update == 0:
            self._target = copy.deepcopy(network).requires_grad_(False)
        values = network(batch.tokens)
        recorded = values.gather(1, batch.actions[:, None])[:, 0]
        error = nn.functional.smooth_l1_loss(recorded, self._targets(network, batch))
        # The recorded token counts as one of the choices even where it was illegal: the penalty is never negative then.
        choices = batch.masks.scatter(1, batch.actions[:, None], torch.ones_like(batch.ended)[:, None])
        penalty = values.masked_fill(~choices, -torch.inf).logsumexp(dim=1) - recorded
        return error + self.config.alpha * penalty.mean()

    @torch.no_grad()
    def _targets(self, network: PrefixNetwork, batch: Batch) -> Tensor:
        """``r + gamma * Q(s', a')``: the network chooses a legal a', the copy says its value (double Q-learning)."""
        choice = network(batch.next_tokens).masked_fill(~batch.next_masks, -torch.inf).argmax(dim=1, keepdim=True)
        following = self._target(batch.next_tokens).gather(1, choice)[:, 0]
        return batch.rewards + self.config.discount * following * ~batch.ended

    def q_values(self, observations: object) -> Tensor:
        """``(B, V)`` what the network expects to earn after writing each id, legal or not."""
        return self._outputs(observations, None)

    def logits(self, outputs: Tensor) -> Tensor:
        """Q values over the temperature."""
        return outputs / self.config.temperature
