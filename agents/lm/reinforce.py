"""REINFORCE (Williams 1992) on whole texts, and RLOO (Ahmadian et al. 2024, https://arxiv.org/abs/2402.14740).

A text's log-probability goes up by how much better it paid than a baseline. RLOO writes several texts to each prompt;
each one's baseline is the mean of the others, which is free of bias and needs no value head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from textgym.agents.lm.health import describe
from textgym.agents.lm.learner import Learner
from textgym.agents.lm.model import Scored
from textgym.agents.lm.training import Columns, Trainer, TrainingConfig, average
from textgym.errors import ConfigurationError

BASELINES = ("none", "mean", "leave_one_out")


@dataclass(frozen=True, kw_only=True)
class ReinforceConfig(TrainingConfig):
    """Options of REINFORCE."""

    baseline: str = "mean"  # what a return is compared with: "none", the update's "mean", or "leave_one_out"
    group: int = 1  # texts to each prompt
    entropy_coefficient: float = 0.0  # bonus for entropy

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.baseline not in BASELINES:
            raise ConfigurationError(f"baseline={self.baseline!r}: expected one of {', '.join(BASELINES)}")
        if self.group < 1 + (self.baseline == "leave_one_out") or self.texts % self.group:
            raise ConfigurationError(
                f"group={self.group}, texts={self.texts}: expected groups that divide the texts, of at least 2 where "
                "one is left out"
            )


@dataclass(frozen=True, kw_only=True)
class RLOOConfig(ReinforceConfig):
    """REINFORCE whose baseline is the mean of the other texts to the same prompt."""

    baseline: str = "leave_one_out"
    group: int = 8


class Reinforce(Learner):
    """REINFORCE with a baseline."""

    config_class = ReinforceConfig
    config: ReinforceConfig

    def improve(self, run: Trainer) -> None:
        """Writes, weighs each text by its advantage, takes a step; again and again."""
        config = self.config
        for _ in run.updates():
            rollout = run.write(per_prompt=config.group)
            divergence = (rollout.log_probs - run.refer(rollout)).sum(axis=1, dtype=np.float64)
            returns = rollout.returns - config.kl_coefficient * divergence
            advantages = subtract_baseline(returns, config.baseline, config.group)
            metrics = []
            for rows in run.minibatches(rollout):
                columns = run.columns(
                    advantages=advantages,
                    share=np.full(len(rollout), 1.0 / len(rows)),
                    token_share=rollout.wrote / rollout.wrote[rows].sum(),
                )
                metrics.append(run.improve(rollout, rows, self.loss, columns))
            row = {**describe(rollout), **average(metrics), "kl": float(divergence.mean())}
            run.note({**row, **run.training_speed(rollout), **count_equal(rollout.returns, config.group)})

    def loss(self, scored: Scored, columns: Columns) -> tuple[Tensor, dict[str, Tensor]]:
        """Minus the advantage times the log-probability of each whole text, averaged over texts."""
        gain = (columns["share"] * columns["advantages"] * scored.log_probs.sum(dim=1)).sum()
        text_entropy = (columns["share"] * scored.entropies.sum(dim=1)).sum()
        entropy = (columns["token_share"] * scored.entropies).sum()
        return -gain - self.config.entropy_coefficient * text_entropy, {"entropy": entropy}


class RLOO(Reinforce):
    """REINFORCE leave-one-out."""

    config_class = RLOOConfig


def count_equal(returns: NDArray[np.float64], group: int) -> dict[str, float]:
    """The share of groups whose texts all earned the same; nothing where there are no groups."""
    groups = returns.reshape(-1, group)
    return {} if group == 1 else {"equal_groups": float((groups == groups[:, :1]).all(axis=1).mean())}


def subtract_baseline(returns: NDArray[np.float64], baseline: str, group: int) -> NDArray[np.float64]:
    """``(N,)`` advantages of texts that stand in groups of one prompt.

    Example:
        >>> subtract_baseline(np.array([1.0, 0.0, 2.0, 2.0]), "leave_one_out", 2).tolist()
        [1.0, -1.0, 0.0, 0.0]
    """
    if baseline == "none":
        return returns
    if baseline == "mean":
        return returns - returns.mean()
    groups = returns.reshape(-1, group)
    others = (groups.sum(axis=1, keepdims=True) - groups) / (group - 1)
    return (groups - others).reshape(-1)
