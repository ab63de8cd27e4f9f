"""GRPO (Shao et al. 2024, https://arxiv.org/abs/2402.03300), with the choices of Dr. GRPO and DAPO as named options.

Several texts answer each prompt; a text's advantage is how much better it paid than its group. No value head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym.agents.lm.health import describe
from textgym.agents.lm.learner import Learner
from textgym.agents.lm.model import Scored
from textgym.agents.lm.training import Columns, Trainer, TrainingConfig, average
from textgym.errors import ConfigurationError

SCALES = ("group", "batch", "none")
LENGTHS = ("text", "token", "constant")


@dataclass(frozen=True, kw_only=True)
class GRPOConfig(TrainingConfig):
    """Options of GRPO; the defaults are Dr. GRPO's (Liu et al. 2025, https://arxiv.org/abs/2503.20783)."""

    group: int = 8  # texts to each prompt
    scale: str = "none"  # advantages are divided by the deviation of their "group" (GRPO), of the "batch", or "none"
    length: str = "constant"  # tokens are averaged in each "text" first (GRPO), over all "token"s (DAPO), or "constant"
    clip_low: float = 0.2  # how far a probability ratio may fall
    clip_high: float = 0.2  # how far it may rise; DAPO's 0.28 keeps entropy (Yu et al. 2025, arXiv 2503.14476)
    kl_in: str = "reward"  # divergence from the reference is taken off the "reward", or added to the "loss" (GRPO)
    entropy_coefficient: float = 0.0  # bonus for entropy
    skip_equal: bool = (
        False  # leave out groups whose texts all paid the same (DAPO's dynamic sampling, without redrawing)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("scale", SCALES), ("length", LENGTHS), ("kl_in", ("reward", "loss"))):
            if getattr(self, name) not in known:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected one of {', '.join(known)}")
        if self.group < 2 or self.texts % self.group:
            raise ConfigurationError(
                f"group={self.group}, texts={self.texts}: expected groups of at least 2 that divide the texts"
            )


class GRPO(Learner):
    """Group-relative policy optimisation."""

    config_class = GRPOConfig
    config: GRPOConfig

    def improve(self, run: Trainer) -> None:
        """Writes groups, compares each text with its group, takes clipped steps; again and again."""
        config = self.config
        for _ in run.updates():
            rollout = run.write(per_prompt=config.group)
            referred = run.refer(rollout)
            divergence = (rollout.log_probs - referred).sum(axis=1, dtype=np.float64)
            in_reward = config.kl_coefficient if config.kl_in == "reward" else 0.0
            advantages, _ = compare(rollout.returns - in_reward * divergence, config.group, config.scale)
            _, equal = compare(rollout.returns, config.group, config.scale)  # by what they earned
            metrics = []
            for rows in run.minibatches(rollout):
                kept = rows[~equal[rows]] if config.skip_equal else rows
                if len(kept):
                    weights = token_weights(rollout.wrote, kept, config.length)
                    columns = run.columns(
                        old=rollout.log_probs,
                        reference=referred,
                        advantages=advantages[:, None],
                        weights=weights,
                        share=weights / weights.sum(),
                    )
                    metrics.append(run.improve(rollout, kept, self.loss, columns))
            row = {**describe(rollout), **average(metrics), "kl": float(divergence.mean())}
            run.note({**row, **run.training_speed(rollout), "equal_groups": float(equal.mean())})

    def loss(self, scored: Scored, columns: Columns) -> tuple[Tensor, dict[str, Tensor]]:
        """The clipped objective on tokens."""
        config, advantages, weights = self.config, columns["advantages"], columns["weights"]
        ratio = (scored.log_probs - columns["old"]).exp()
        clipped = ratio.clamp(1.0 - config.clip_low, 1.0 + config.clip_high)
        gain = (torch.minimum(ratio * advantages, clipped * advantages) * weights).sum()
        loss = -gain - config.entropy_coefficient * (scored.entropies * weights).sum()
        if config.kl_in == "loss":  # Schulman's k3, http://joschu.net/blog/kl-approx.html: never negative
            gap = columns["reference"] - scored.log_probs
            loss = loss + config.kl_coefficient * ((gap.exp() - gap - 1.0) * weights).sum()
        share = columns["share"]
        entropy, outside = (scored.entropies * share).sum(), ((ratio != clipped) * share).sum()
        return loss, {"entropy": entropy, "clip_fraction": outside}


def compare(returns: NDArray[np.float64], group: int, scale: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """``(N,)`` advantages within groups, and which texts belong to a group that all paid the same.

    Example:
        >>> compare(np.array([1.0, 0.0, 2.0, 2.0]), 2, "group")[0].round(3).tolist()
        [1.0, -1.0, 0.0, 0.0]
    """
    groups = returns.reshape(-1, group)
    centred = groups - groups.mean(axis=1, keepdims=True)
    deviation = groups.std(axis=1, keepdims=True) if scale == "group" else centred.std() if scale == "batch" else 1.0
    advantages = centred / (deviation + (1e-6 if scale != "none" else 0.0))
    equal = np.repeat((groups == groups[:, :1]).all(axis=1), group)
    return advantages.reshape(-1), equal


def token_weights(wrote: NDArray[np.bool_], rows: NDArray[np.int64], length: str) -> NDArray[np.float32]:
    """``(N, T)`` what each token of the minibatch's texts counts; 0 for the others.

    ``"text"``: every text counts the same, so tokens of long texts count less. ``"token"``: every token counts the
    same. ``"constant"``: the sum over a text's tokens, averaged over texts: the true gradient.
    """
    weights = np.zeros(wrote.shape, dtype=np.float32)
    mine = wrote[rows]
    if length == "text":
        weights[rows] = mine / np.maximum(mine.sum(axis=1, keepdims=True), 1) / len(rows)
    elif length == "token":
        weights[rows] = mine / mine.sum()
    else:
        weights[rows] = mine / np.float32(len(rows))
    return weights
