"""Behaviour cloning: the policy under which the recorded tokens are likely (Pomerleau 1988)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from textgym.agents.offline.agent import Batch, OfflineAgent, OfflineConfig, PrefixNetwork, check_range
from textgym.errors import ConfigurationError
from textgym.recordings import PROMPT_INDEX, Recording, Transitions


@dataclass(frozen=True, kw_only=True)
class BCConfig(OfflineConfig):
    """Options of behaviour cloning."""

    best: float = 1.0  # share of the texts to each prompt that is imitated, the best-paid ones; 1.0 looks at no reward

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "best", 0.0, 1.0)


class BC(OfflineAgent):
    """Behaviour cloning. Greedy, it writes what was written most often after each prefix."""

    config_class = BCConfig
    config: BCConfig

    def select(self, recording: Recording) -> Transitions:
        """The steps of the best texts, without tokens that were illegal: those cannot be written again."""
        kept = best_episodes(recording, self.config.best)
        steps = replace(recording, episodes=[recording.episodes[row] for row in kept]).transitions()
        legal = steps.masks[np.arange(len(steps)), steps.actions]
        if not legal.any():
            raise ConfigurationError(f"{recording.name} has no legal token that could be imitated")
        return steps.take(legal)

    def loss(self, network: PrefixNetwork, batch: Batch, update: int) -> Tensor:
        """Minus the log-probability of the recorded tokens under the masked policy, in nats a token."""
        logits = network(batch.tokens).masked_fill(~batch.masks, -torch.inf)
        return torch.nn.functional.cross_entropy(logits, batch.actions)

    def logits(self, outputs: Tensor) -> Tensor:
        """What the network returns."""
        return outputs


def best_episodes(recording: Recording, share: float) -> list[int]:
    """The rows of the best-paid episodes to each prompt, at least one of each; earlier ones win ties.

    Example:
        >>> from textgym.agents.registry import make_agent
        >>> from textgym.recorder import record
        >>> recording = record(make_agent("uniform"), "TextGen-v0", episodes=10, level="tiny")
        >>> best_episodes(recording, 0.1) == [int(recording.returns.argmax())]
        True
    """
    groups: dict[int, list[int]] = {}
    for row, episode in enumerate(recording.episodes):
        prompt = int(episode.infos[PROMPT_INDEX][0]) if PROMPT_INDEX in episode.infos else 0
        groups.setdefault(prompt, []).append(row)
    returns = recording.returns
    kept = [sorted(rows, key=lambda row: -returns[row])[: max(1, round(share * len(rows)))] for rows in groups.values()]
    return sorted(row for rows in kept for row in rows)
