"""DPO (Rafailov et al. 2023, https://arxiv.org/abs/2305.18290): learning from pairs of texts, without writing any.

The log-probability of the text that was chosen goes up against that of the one that was rejected, both measured from
the reference. Pairs come from a file; without one, the reference writes two texts to a prompt and the environment's
reward says which is better.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from textgym.agents.lm import sft
from textgym.agents.lm.health import describe
from textgym.agents.lm.learner import Learner
from textgym.agents.lm.model import Scored
from textgym.agents.lm.training import Columns, Trainer, TrainingConfig, log_probs_of
from textgym.errors import ConfigurationError, PromptError
from textgym.keys import spawn_seed
from textgym.task import Task

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class DPOConfig(TrainingConfig):
    """Options of DPO."""

    preferences: str | None = None  # a JSONL file with "prompt", "chosen" and "rejected"
    beta: float = 0.1  # what a nat of divergence from the reference costs
    rollouts: int = 8  # of pairs, where there is no file
    steps: int = 300  # of the optimiser
    batch_size: int = 64  # pairs a step
    label_smoothing: float = 0.0  # share of pairs that are taken to be the wrong way round
    learning_rate: float = 5e-4


@dataclass(frozen=True)
class Pairs:
    """N pairs: ``(N, P + T)`` rows of the environment and ``(N, T)`` which of their tokens count."""

    chosen: sft.Texts
    rejected: sft.Texts

    def __len__(self) -> int:
        return len(self.chosen[0])


class DPO(Learner):
    """Direct preference optimisation."""

    config_class = DPOConfig
    config: DPOConfig

    def improve(self, run: Trainer) -> None:
        """Reads or makes the pairs, then takes steps on them."""
        config = self.config
        pairs = read_pairs(run.task, config.preferences) if config.preferences else self._make_pairs(run)
        tokens = np.concatenate([pairs.chosen[0], pairs.rejected[0]])
        wrote = np.concatenate([pairs.chosen[1], pairs.rejected[1]])
        assert run.reference is not None
        referred = log_probs_of(run.reference, tokens, wrote, run.micro_batch(config.texts)).sum(axis=1)
        margins = torch.from_numpy(referred[: len(pairs)] - referred[len(pairs) :]).to(run.policy.device)
        rng = np.random.default_rng(spawn_seed(self.seed, "pairs"))
        for step in range(config.steps):
            rows = rng.integers(len(pairs), size=min(config.batch_size, len(pairs)))

            def loss_of_part(
                part: NDArray[np.int64], rows: NDArray[np.int64] = rows
            ) -> tuple[Tensor, dict[str, Tensor]]:
                both = np.concatenate([rows[part], rows[part] + len(pairs)])
                scored = run.policy.score(tokens[both], wrote[both])
                share = torch.full((len(part),), 1.0 / len(rows), device=run.policy.device)
                return self.loss(scored, {"margins": margins[rows[part]], "share": share})

            metrics = run.step(loss_of_part, len(rows))
            run.update = step
            if step % 20 == 0:
                run.note(metrics)

    def loss(self, scored: Scored, columns: Columns) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of pairs: the first half of the texts were chosen, the second half rejected."""
        chosen, rejected = scored.log_probs.sum(dim=1).chunk(2)
        gaps, share = self.config.beta * (chosen - rejected - columns["margins"]), columns["share"]
        smooth = self.config.label_smoothing
        losses = -(1.0 - smooth) * logsigmoid(gaps) - smooth * logsigmoid(-gaps)
        return (losses * share).sum(), {"accuracy": ((gaps > 0) * share).sum(), "margin": (gaps * share).sum()}

    def _make_pairs(self, run: Trainer) -> Pairs:
        """Two texts of the policy to each prompt, as long as the budget lasts; ties are left out."""
        better: list[sft.Texts] = []
        worse: list[sft.Texts] = []
        for update in run.updates():
            rollout = run.write(per_prompt=2)
            run.note(describe(rollout))
            first, second = rollout.returns[::2], rollout.returns[1::2]
            pairs = np.flatnonzero(first != second)
            winners = 2 * pairs + (second > first)[pairs]
            losers = 2 * pairs + (second < first)[pairs]
            better.append((rollout.tokens[winners], rollout.wrote[winners]))
            worse.append((rollout.tokens[losers], rollout.wrote[losers]))
            if update + 1 == self.config.rollouts:
                break
        pairs_found = Pairs(_join(better), _join(worse))
        if not len(pairs_found):
            raise ConfigurationError("no two texts to a prompt were paid differently, so there is nothing to prefer")
        return pairs_found


def read_pairs(task: Task, path: str) -> Pairs:
    """Pairs of a JSONL file, each line with a prompt of the task, a chosen and a rejected text.

    Raises:
        PromptError: naming the line that cannot be used.
    """
    rows: list[int] = []
    texts: tuple[list[list[int]], list[list[int]]] = ([], [])
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            item: dict[str, Any] = json.loads(line)
            rows.append(task.prompts.index_of(item["prompt"]))
            for name, side in zip(("chosen", "rejected"), texts, strict=True):
                side.append(task.encode_completion(item[name]))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise PromptError(
                f"{path}, line {number}: expected an object with 'prompt', 'chosen' and 'rejected' ({error!r})"
            ) from None
    if not rows:
        raise PromptError(f"{path} has no pairs")
    return Pairs(*(sft.lay_out(task, np.array(rows), side) for side in texts))


def _join(parts: list[sft.Texts]) -> sft.Texts:
    return np.concatenate([tokens for tokens, _ in parts]), np.concatenate([wrote for _, wrote in parts])
