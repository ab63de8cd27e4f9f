"""The soft optimum: the best policy when it costs something to move away from a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from textgym.exact.policies import TreePolicy
from textgym.exact.tree import Floats, Levels, PrefixTree


@dataclass(frozen=True, eq=False)
class SoftOptimum:
    """The policy proportional to ``reference * exp(reward / temperature)`` over whole texts.

    It maximises the mean return minus temperature times the Kullback-Leibler divergence from the reference (Levine
    2018, https://arxiv.org/abs/1805.00909; for language models Rafailov et al. 2023, https://arxiv.org/abs/2305.18290).

    Attributes:
        temperature: What a nat of divergence costs.
        policy: The optimal policy.
        values: ``(G, N)`` of each level: the best mean return minus costs from there on.
        q_values: ``(G, N, K)`` the same after writing an id.
        mean_return: The policy's mean return, averaged over prompts.
        kl: Its divergence from the reference in nats a text, averaged over prompts.
    """

    temperature: float
    policy: TreePolicy
    values: Levels
    q_values: Levels
    mean_return: float
    kl: float

    @property
    def objective(self) -> float:
        """The mean return minus temperature times the divergence: what no other policy exceeds."""
        return self.mean_return - self.temperature * self.kl


def soften(tree: PrefixTree, reference: Sequence[Floats], temperature: float, weights: Floats) -> SoftOptimum:
    """Backward induction with ``v = temperature * log sum_a reference(a) exp(q(a) / temperature)``.

    Args:
        tree: The prefixes and their rewards.
        reference: ``(G, N, K)`` probabilities of each level.
        temperature: Above 0.
        weights: ``(G,)`` share of each group of prompts.
    """

    def log_mean_exp(q: Floats, legal: object, level: int) -> Floats:
        scaled = np.where(reference[level] > 0, q / temperature, -np.inf)
        top = scaled.max(axis=2)
        return temperature * (top + np.log((reference[level] * np.exp(scaled - top[:, :, None])).sum(axis=2)))

    values, q_values = tree.back_up(1.0, log_mean_exp)
    policy = tuple(
        np.where(ref > 0, ref * np.exp((q - v[:, :, None]) / temperature), 0.0)
        for ref, q, v in zip(reference, q_values, values, strict=True)
    )
    divergence = weights @ diverge(tree, policy, reference)
    objective = float(weights @ values[0][:, 0])
    mean_return = objective + temperature * float(divergence)
    return SoftOptimum(temperature, TreePolicy(policy), values, q_values, mean_return, float(divergence))


def diverge(tree: PrefixTree, policy: Sequence[Floats], reference: Sequence[Floats]) -> Floats:
    """``(G,)`` the Kullback-Leibler divergence of whole texts in nats: each prefix's, times how often it is reached."""
    total = np.zeros(len(policy[0]))
    for reached, p, q in zip(tree.pass_down(policy), policy, reference, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(p > 0, p * np.log(p / q), 0.0)
            total += np.where(reached > 0, reached * terms.sum(axis=2), 0.0).sum(axis=1)  # 0 * inf is nothing here
    return total
