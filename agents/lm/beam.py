"""Beam search: the likeliest text of a language model, as far as a few candidates at a time can find it.

It asks the model and never the reward, so it says how good the model's own favourite texts are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from textgym.agents.lm.model import LMPolicy
from textgym.agents.lm.sampling import masked_log_probs
from textgym.agents.lm.sft import SFT, SFTConfig
from textgym.agents.lm.writer import read_prompts
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.task import Task


@dataclass(frozen=True, kw_only=True)
class BeamConfig(SFTConfig):
    """Options of beam search; those of its warm start included."""

    beams: int = 4  # candidates that are kept
    length_penalty: float = 0.0  # log-probabilities are divided by length to this power; 0 compares them as they are

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beams < 1:
            raise ConfigurationError(f"beams={self.beams}: expected a whole number of at least 1")


class Beam(SFT):
    """Writes the likeliest text that beam search finds."""

    config_class = BeamConfig
    config: BeamConfig

    def write(self, envs: EnvFactory, prompt_indices: Sequence[int] | NDArray[np.int64]) -> list[list[int]]:
        """The ids of the best candidate to each prompt."""
        task = envs.task()
        if task.partner is not None:
            raise ConfigurationError("beam search writes whole texts; a conversation cannot be taken back")
        return search(
            self.ready_policy, task, np.asarray(prompt_indices), self.config.beams, self.config.length_penalty
        )


@torch.inference_mode()
def search(
    policy: LMPolicy, task: Task, prompt_indices: NDArray[np.int64], beams: int, length_penalty: float = 0.0
) -> list[list[int]]:
    """Beam search for N prompts at once, through the model's cache.

    Args:
        policy: Whose likeliest texts are looked for.
        task: Its prompts, end ids and rules.
        prompt_indices: ``(N,)`` rows of the prompt table.
        beams: K candidates a prompt.
        length_penalty: See :class:`BeamConfig`.
    """
    n, budget = len(prompt_indices), task.budget
    ends = torch.zeros(policy.vocab_size, dtype=torch.bool, device=policy.device)
    ends[list(task.tokenizer.eos_ids)] = True
    slots, logits = read_prompts(policy, np.repeat(task.prompts.ids[prompt_indices], beams, axis=0), budget)
    texts = np.full((n * beams, budget), policy.vocab_size, dtype=np.int32)
    totals = torch.full((n, beams), -torch.inf, device=policy.device)
    totals[:, 0] = 0.0  # the candidates begin alike, so only one of them may branch
    over = torch.zeros(n * beams, dtype=torch.bool, device=policy.device)
    lengths = torch.zeros(n, beams, device=policy.device)
    for t in range(budget):
        legal = torch.from_numpy(policy.legal.at(texts, np.full(len(texts), t))).to(policy.device)
        steps = masked_log_probs(logits, legal, policy.temperature)
        steps[over] = -torch.inf
        steps[over, 0] = 0.0  # a text that has ended is kept as it is, once
        sums = totals[..., None] + steps.view(n, beams, -1)
        longer = (lengths + (~over).view(n, beams))[..., None].clamp_min(1.0)
        _, best = (sums / longer**length_penalty).view(n, -1).topk(beams, dim=1)
        source = best // policy.vocab_size
        chosen = (best % policy.vocab_size).view(-1)
        rows = (torch.arange(n, device=policy.device)[:, None] * beams + source).view(-1)
        totals = sums.view(n, -1).gather(1, best)
        slots.reorder(rows)
        texts, over, lengths = texts[rows.cpu().numpy()], over[rows], lengths.gather(1, source)
        writes = ~over
        texts[writes.cpu().numpy(), t] = chosen[writes].cpu().numpy()
        lengths += writes.view(n, beams)
        over = over | ends[chosen] & writes
        if over.all() or t + 1 == budget:
            break
        logits, _ = slots.read(chosen[:, None], writes.long())
    winners = (totals / lengths.clamp_min(1.0) ** length_penalty).argmax(dim=1).cpu().numpy() + np.arange(n) * beams
    return [[int(index) for index in texts[row] if index != policy.vocab_size] for row in winners]
