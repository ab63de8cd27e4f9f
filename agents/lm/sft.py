"""Supervised fine-tuning: the likelihood of demonstrations goes up. The start of all others, and an agent by itself.

Demonstrations are typical texts of mixed quality and not the best ones: where they end is where reinforcement
learning begins.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textgym.agents.lm.agent import LMAgent
from textgym.agents.lm.building import ModelConfig
from textgym.agents.lm.model import LMPolicy
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, PromptError, TrainingError
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.playing import speak
from textgym.task import Task

Texts = tuple[NDArray[np.int32], NDArray[np.bool_]]
"""``(N, P + T)`` rows of the environment, and ``(N, T)`` which tokens are to be learned."""

DEMONSTRATIONS = 2_000


@dataclass(frozen=True, kw_only=True)
class SFTConfig(ModelConfig):
    """Options of supervised fine-tuning."""

    steps: int = 300  # of the optimiser
    batch_size: int = 64  # texts a step
    learning_rate: float = 2e-3  # step size of AdamW at first; it falls linearly to 0
    texts: str | None = None  # a JSONL file with "prompt" and "completion"; by default the task's demonstrations


class SFT(LMAgent):
    """A language model that has seen demonstrations and no reward."""

    config_class = SFTConfig
    config: SFTConfig

    def train(self, envs: EnvFactory, total_steps: int) -> None:
        """Learns from texts alone; not a token is written in the environment."""
        task = envs.task()
        texts = read_texts(task, self.config.texts) if self.config.texts else demonstrations(task, envs, seed=self.seed)
        losses = fit(
            self.ready_policy,
            texts,
            steps=self.config.steps,
            batch_size=self.config.batch_size,
            learning_rate=self.config.learning_rate,
            seed=self.seed,
        )
        for step in range(0, len(losses), 50):
            self.log.note({"update": step, "steps": 0, "loss": float(np.mean(losses[step : step + 50]))})


def fit(
    policy: LMPolicy, texts: Texts, *, steps: int, batch_size: int = 64, learning_rate: float = 2e-3, seed: int = 0
) -> list[float]:
    """Raises the likelihood of texts, under the masked distribution that the policy writes from.

    Returns:
        The loss of each step, in nats a token.

    Raises:
        TrainingError: for a loss that is no number.
    """
    tokens, wrote = texts
    optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=learning_rate)
    rng = np.random.default_rng(spawn_seed(seed, "sft"))
    losses = []
    for step in range(steps):
        rows = rng.integers(len(tokens), size=min(batch_size, len(tokens)))
        scored = policy.score(tokens[rows], wrote[rows])
        loss = -scored.log_probs.sum() / int(wrote[rows].sum())
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1.0 - step / steps)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            raise TrainingError(
                f"step {step} of supervised fine-tuning: the loss is {losses[-1]}; lower its learning rate"
            )
        optimizer.step()
    return losses


def demonstrations(task: Task, envs: EnvFactory, *, seed: int, count: int = DEMONSTRATIONS) -> Texts:
    """Typical texts for training prompts; in conversations, dialogues in which the oracle speaks.

    Raises:
        ConfigurationError: if the task has none.
    """
    if task.make_demonstration is None:
        raise ConfigurationError(
            f"the task {task.name} has no demonstrations to begin with; pass sft_steps=0, or a file of texts to `sft`"
        )
    rng = np.random.default_rng(spawn_seed(seed, "demonstrations"))
    rows = np.resize(task.prompts.rows(task.default_split), count)
    if task.partner is not None:
        rows = rows[: count // 4]
        free = EnvFactory(envs.env_id, envs.kwargs)  # what is shown is no experience of the agent's
        batch, _ = speak(task.best_turn, free, prompt_indices=rows, seed=spawn_seed(seed, "speaking") % 2**31)
        return _rows_of(batch)
    texts = [task.encode_completion(task.demonstrate(task.prompts.prompts[row], rng)) for row in rows.tolist()]
    return lay_out(task, rows, texts)


def lay_out(task: Task, prompt_indices: NDArray[np.int64], completions: list[list[int]]) -> Texts:
    """Rows of the environment from completions of one writer."""
    prompts = np.asarray(task.prompts.ids[prompt_indices])
    written = np.full((len(completions), task.budget), task.tokenizer.vocab_size, dtype=np.int32)
    for row, ids in enumerate(completions):
        written[row, : len(ids)] = ids
    return np.concatenate([prompts, written], axis=1), written != task.tokenizer.vocab_size


def read_texts(task: Task, path: str) -> Texts:
    """Prompts and completions of a JSONL file; the prompts are the task's.

    Raises:
        PromptError: naming the line that cannot be used.
    """
    rows, completions = [], []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            item: dict[str, Any] = json.loads(line)
            rows.append(task.prompts.index_of(item["prompt"]))
            ids = task.encode_completion(item["completion"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise PromptError(
                f"{path}, line {number}: expected an object with 'prompt' and 'completion' ({error!r})"
            ) from None
        if task.tokenizer.special_ids.intersection(ids):
            raise PromptError(f"{path}, line {number}: the completion has text outside the vocabulary")
        completions.append(ids)
    if not rows:
        raise PromptError(f"{path} has no texts")
    return lay_out(task, np.array(rows), completions)


def _rows_of(batch: EpisodeBatch) -> Texts:
    assert batch.is_agent is not None
    return batch.tokens, batch.is_agent
