"""PPO (Schulman et al. 2017) on tokens, as in RLHF (Ziegler et al. 2019, https://arxiv.org/abs/1909.08593).

A value head says what the rest of a text is worth. With ``top_p`` below 1, tokens are only drawn from those that a copy
of the policy, renewed now and then, finds likely: that is NLPO (Ramamurthy et al. 2022, arXiv 2210.01241).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym.agents.lm.health import describe
from textgym.agents.lm.learner import Learner
from textgym.agents.lm.model import Scored
from textgym.agents.lm.training import Columns, Trainer, TrainingConfig, average
from textgym.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class PPOConfig(TrainingConfig):
    """Options of PPO."""

    epochs: int = 2
    minibatches: int = 2
    gamma: float = 1.0  # discount: texts are short and paid at the end
    gae_lambda: float = 0.95  # bias against variance of the advantages
    clip: float = 0.2  # how far a probability ratio may move from 1
    value_clip: float = 0.0  # how far a value may move in one update; 0 does not clip
    value_coefficient: float = 0.5  # weight of the value loss
    entropy_coefficient: float = 0.0  # bonus for entropy
    normalize_advantage: bool = True  # scale the advantages of an update to variance 1
    kl_in: str = "reward"  # divergence from the reference is taken off each token's "reward", or added to the "loss"
    kl_target: float = 0.0  # above 0, kl_coefficient follows this divergence in nats a text (Ziegler et al.)
    top_p: float = 1.0  # below 1: NLPO
    mask_every: int = 20  # NLPO's copy is renewed after so many updates

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kl_in not in ("reward", "loss"):
            raise ConfigurationError(f"kl_in={self.kl_in!r}: expected reward, loss")
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigurationError(f"top_p={self.top_p!r}: expected a number above 0, at most 1")
        if self.kl_target and not self.kl_coefficient > 0:
            raise ConfigurationError(
                f"kl_target={self.kl_target}: expected a kl_coefficient above 0 to begin with, since it is multiplied"
            )
        for name in ("gamma", "gae_lambda"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected a number from 0 to 1")
        if not self.clip > 0 or self.mask_every < 1:
            raise ConfigurationError(
                f"clip={self.clip!r}, mask_every={self.mask_every!r}: expected a number above 0, and at least 1"
            )


class PPO(Learner):
    """Proximal policy optimisation with a value head."""

    config_class = PPOConfig
    config: PPOConfig
    value_head = True

    def improve(self, run: Trainer) -> None:
        """Writes, values, takes clipped steps for the policy and the value head; again and again."""
        config = self.config
        for update in run.updates():
            coefficient = run.state.setdefault("kl_coefficient", config.kl_coefficient)
            if config.top_p < 1.0 and update % config.mask_every == 0:
                run.modules["masker"] = copy.deepcopy(run.policy).eval().requires_grad_(False)
            masker: Any = run.modules.get("masker")
            rollout = run.write(mask_policy=masker, top_p=config.top_p)
            gaps = rollout.log_probs - run.refer(rollout)
            rewards = rollout.rewards - coefficient * gaps if config.kl_in == "reward" else rollout.rewards
            advantages, targets = estimate(
                rewards, rollout.values, rollout.wrote, gamma=config.gamma, gae_lambda=config.gae_lambda
            )
            explained = _explained_variance(rollout.values[rollout.wrote], targets[rollout.wrote])
            if config.normalize_advantage:
                inside = advantages[rollout.wrote]
                advantages = (advantages - inside.mean()) / (inside.std() + 1e-6)
            scoring: dict[str, Any] = {"reference": run.reference} if config.kl_in == "loss" else {}
            if masker is not None:
                scoring |= {"mask_policy": masker, "top_p": config.top_p}
            metrics = []
            for rows in run.minibatches(rollout):
                columns = run.columns(
                    old=rollout.log_probs,
                    advantages=advantages,
                    targets=targets,
                    values=rollout.values,
                    weights=rollout.wrote / rollout.wrote[rows].sum(),
                    kl_coefficient=np.full(rollout.wrote.shape, coefficient),
                )
                metrics.append(run.improve(rollout, rows, self.loss, columns, **scoring))
            kl = float(gaps.sum(axis=1).mean())
            row = {**describe(rollout), **average(metrics), "kl": kl, "kl_coefficient": coefficient}
            run.note({**row, **run.training_speed(rollout), "explained_variance": explained})
            if config.kl_target:
                surprise = float(np.clip(kl / config.kl_target - 1.0, -0.2, 0.2))
                run.state["kl_coefficient"] = coefficient * (1.0 + 0.1 * surprise)

    def loss(self, scored: Scored, columns: Columns) -> tuple[Tensor, dict[str, Tensor]]:
        """The clipped objective, the value error and the bonus for entropy, averaged over tokens."""
        config, advantages, weights = self.config, columns["advantages"], columns["weights"]
        ratio = (scored.log_probs - columns["old"]).exp()
        clipped = ratio.clamp(1.0 - config.clip, 1.0 + config.clip)
        gain = torch.minimum(ratio * advantages, clipped * advantages)
        error = (scored.values - columns["targets"]) ** 2
        if config.value_clip:
            moved = (scored.values - columns["values"]).clamp(-config.value_clip, config.value_clip)
            error = torch.maximum(error, (columns["values"] + moved - columns["targets"]) ** 2)
        terms = -gain + 0.5 * config.value_coefficient * error - config.entropy_coefficient * scored.entropies
        if scored.divergences is not None:
            terms = terms + columns["kl_coefficient"] * scored.divergences
        entropy, outside = (scored.entropies * weights).sum(), ((ratio != clipped) * weights).sum()
        return (terms * weights).sum(), {"entropy": entropy, "clip_fraction": outside}


def estimate(
    rewards: NDArray[np.float32],
    values: NDArray[np.float32],
    wrote: NDArray[np.bool_],
    *,
    gamma: float,
    gae_lambda: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Generalised advantage estimation (Schulman et al. 2016), from each token that the agent wrote to its next.

    What a partner writes lies between two of the agent's tokens and counts as part of the environment. A text's end is
    an end: there is no value behind it.

    Args:
        rewards: ``(N, T)``.
        values: ``(N, T)`` of the states before the tokens.
        wrote: ``(N, T)`` which tokens the agent wrote.
        gamma: Discount a token.
        gae_lambda: 1 takes whole returns, 0 trusts the values.

    Returns:
        ``(N, T)`` advantages and value targets, 0 where the agent did not write.
    """
    advantages = np.zeros(rewards.shape)
    following, value = np.zeros(len(rewards)), np.zeros(len(rewards))
    for t in range(rewards.shape[1] - 1, -1, -1):
        mine = wrote[:, t]
        error = rewards[:, t] + gamma * value - values[:, t]
        following = np.where(mine, error + gamma * gae_lambda * following, following)
        value = np.where(mine, values[:, t], value)
        advantages[:, t] = np.where(mine, following, 0.0)
    return advantages, np.where(wrote, advantages + values, 0.0)


def _explained_variance(values: NDArray[np.float32], targets: NDArray[np.float64]) -> float:
    spread = float(targets.var())
    return 1.0 - float((targets - values).var()) / spread if spread > 0 else 0.0
