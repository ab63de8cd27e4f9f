"""DPO (Rafailov et al. 2023, https://arxiv.org/abs/2305.18290): learning from pairs of texts, without writing any.

The log-probability of the text that was chosen goes up against that of the one that was rejected, both measured from
the reference. Pairs come from a file; without one, the reference writes two texts to a prompt and the environment's
reward says which is better.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from textgym.errors import ConfigurationError
from textgym.keys import spawn_seed
from textgym.task import Task

NOTE_EVERY = 20  # steps between two rows of the log


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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.texts % 2 or min(self.rollouts, self.steps, self.batch_size) < 1:
            raise ConfigurationError(
                f"texts={self.texts}, rollouts={self.rollouts}, steps={self.steps}, batch_size={self.batch_size}: "
                "expected whole numbers of at least 1, the texts even"
            )
        if not self.beta > 0 or not 0.0 <= self.label_smoothing < 0.5:
            raise ConfigurationError(
                f"beta={self.beta}, label_smoothing={self.label_smoothing}: expected a beta above 0 and a smoothing "
                "from 0 to below 0.5"
            )


@dataclass(frozen=True)
class Pairs:
    """N pairs: ``(N, P + T)`` rows of the environment and ``(N, T)`` which of their tokens count."""

    chosen: sft.Texts
    rejected: sft.Texts

    def __len__(self) -> int:
        return len(self.chosen[0])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """``(2N, P + T)`` tokens and ``(2N, T)`` what was written: first all that were chosen."""
        (better, by_better), (worse, by_worse) = self.chosen, self.rejected
        return {"tokens": np.concatenate([better, worse]), "wrote": np.concatenate([by_better, by_worse])}


class DPO(Learner):
    """Direct preference optimisation."""

    config_class = DPOConfig
    config: DPOConfig

    def improve(self, run: Trainer) -> None:
        """Reads or makes the pairs, then takes steps on them."""
        config = self.config
        if not run.tensors:
            pairs = read_pairs(run.task, config.preferences) if config.preferences else self._make_pairs(run)
            run.tensors = {name: torch.from_numpy(array) for name, array in pairs.arrays().items()}
            run.state["first"] = run.update
            run.keep()  # the pairs cost texts, and are written only once
        tokens, wrote = run.tensors["tokens"].numpy(), run.tensors["wrote"].numpy()
        half = len(tokens) // 2
        assert run.reference is not None
        referred = log_probs_of(run.reference, tokens, wrote, run.micro_batch(config.texts)).sum(axis=1)
        margins = torch.from_numpy(referred[:half] - referred[half:]).to(run.policy.device)

        for step in range(run.update - int(run.state["first"]), config.steps):
            run.set_learning_rate(step / config.steps)
            rng = np.random.default_rng(spawn_seed(self.seed, "pairs", str(step)))
            rows = rng.integers(half, size=min(config.batch_size, half))

            def loss_of_part(
                part: NDArray[np.int64], rows: NDArray[np.int64] = rows
            ) -> tuple[Tensor, dict[str, Tensor]]:
                both = np.concatenate([rows[part], rows[part] + half])
                scored = run.policy.score(tokens[both], wrote[both])
                share = torch.full((len(part),), 1.0 / len(rows), device=run.policy.device)
                return self.loss(scored, {"margins": margins[rows[part]], "share": share})

            metrics = run.step(loss_of_part, len(rows))
            if step % NOTE_EVERY == 0:
                run.note(metrics)
            run.finish_update()

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
        while len(better) < self.config.rollouts and run.steps + run.most_steps <= run.total_steps:
            rollout = run.write(per_prompt=2)
            run.note(describe(rollout))
            first, second = rollout.returns[::2], rollout.returns[1::2]
            pairs = np.flatnonzero(first != second)
            winners = 2 * pairs + (second > first)[pairs]
            losers = 2 * pairs + (second < first)[pairs]
            better.append((rollout.tokens[winners], rollout.wrote[winners]))
            worse.append((rollout.tokens[losers], rollout.wrote[losers]))
            run.update += 1
        pairs_found = Pairs(_join(better), _join(worse))
        if not len(pairs_found):
            raise ConfigurationError("no two texts to a prompt were paid differently, so there is nothing to prefer")
        return pairs_found


def read_pairs(task: Task, path: str) -> Pairs:
    """Pairs of a JSONL file, each line with a prompt of the task, a chosen and a rejected text.

    Raises:
        PromptError: naming the line that cannot be used.
    """
    return Pairs(*sft.read_columns(task, path, ("chosen", "rejected")))


def _join(parts: list[sft.Texts]) -> sft.Texts:
    return np.concatenate([tokens for tokens, _ in parts]), np.concatenate([wrote for _, wrote in parts])
