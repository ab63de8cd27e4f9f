"""Supervised fine-tuning: the likelihood of demonstrations goes up. The start of all others, and an agent by itself.

Demonstrations are typical texts of mixed quality and not the best ones: where they end is where reinforcement
learning begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from textgym.agents.lm.agent import TEXTS, LMAgent
from textgym.agents.lm.building import ModelConfig
from textgym.agents.lm.memory import explain_memory
from textgym.agents.lm.model import LegalTokens, LMPolicy
from textgym.errors import ConfigurationError, PromptError, TrainingError
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.playing import speak
from textgym.reading import read_file
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
    write_on: bool = True  # afterwards, write as much as the budget allows, so that there is a curve to compare with


class SFT(LMAgent):
    """A language model that has seen demonstrations and no reward."""

    config_class = SFTConfig
    config: SFTConfig

    def train(self, envs: EnvFactory, total_steps: int) -> None:
        """Learns from texts alone; what it writes in the environment afterwards teaches it nothing."""
        if self.config.write_on:
            self.check_steps(envs, total_steps, TEXTS)
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
        if self.config.write_on:
            self.write_on(envs, total_steps)


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
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1.0 - step / steps)
        optimizer.zero_grad(set_to_none=True)
        with explain_memory(f"learning from {len(rows)} demonstrations at a time", "lower batch_size"):
            scored = policy.score(tokens[rows], wrote[rows])
            loss = -scored.log_probs.sum() / int(wrote[rows].sum())
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
    """Typical texts for training prompts; in conversations, a quarter as many dialogues in which the oracle speaks.

    Raises:
        ConfigurationError: if the task has none, or none that may be written.
    """
    rows = np.resize(task.prompts.rows(envs.kwargs.get("split") or task.default_split), count)
    if task.partner is not None and task.make_oracle is not None:
        free = EnvFactory(envs.env_id, envs.kwargs)  # what is shown is no experience of the agent's
        batch, _ = speak(
            task.best_turn, free, prompt_indices=rows[: count // 4], seed=spawn_seed(seed, "speaking") % 2**31
        )
        assert batch.is_agent is not None
        return _may_be_written(task, (batch.tokens, batch.is_agent))
    if task.make_demonstration is None:
        raise ConfigurationError(
            f"the task {task.name} has no demonstrations to begin with; pass sft_steps=0, or a file of texts to `sft`"
        )
    rng = np.random.default_rng(spawn_seed(seed, "demonstrations"))
    texts = [task.encode_completion(task.demonstrate(task.prompts.prompts[row], rng)) for row in rows.tolist()]
    return _may_be_written(task, lay_out(task, rows, texts))


def _may_be_written(task: Task, texts: Texts) -> Texts:
    """Those texts that are legal throughout: an agent can never write the others."""
    kept = legal_texts(LegalTokens.of(task), texts)
    if not kept.any():
        raise ConfigurationError(
            f"every demonstration of the task {task.name} has a token that may not be written; pass sft_steps=0, or "
            "other constraints"
        )
    return texts[0][kept], texts[1][kept]


def legal_texts(legal: LegalTokens, texts: Texts) -> NDArray[np.bool_]:
    """``(N,)`` whether all that is to be learned of a text may be written where it stands."""
    tokens, wrote = texts
    completions = tokens[:, -wrote.shape[1] :]
    rows, places = wrote.nonzero()
    masks = np.broadcast_to(legal.at(completions[rows], places), (len(rows), legal.vocab_size))
    bad = rows[~masks[np.arange(len(rows)), completions[rows, places]]]
    return ~np.isin(np.arange(len(tokens)), bad)


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
    return read_columns(task, path, ("completion",))[0]


def read_columns(task: Task, path: str, columns: tuple[str, ...]) -> list[Texts]:
    """Reads a JSONL file in which each line has one of the task's prompts and, in each column, a text to it.

    Raises:
        ConfigurationError: for a conversation, whose texts have two writers.
        PromptError: naming the line that cannot be used, and why.
    """
    if task.partner is not None:
        raise ConfigurationError(f"{task.name} is a conversation: a file of texts cannot say who wrote what")
    lines: list[str] = []
    rows: list[int] = []
    texts: dict[str, list[list[int]]] = {column: [] for column in columns}
    for record, where in read_file(Path(path)).read():
        if not isinstance(record, dict):
            raise PromptError(f"{where}: expected an object with {', '.join(('prompt', *columns))}, got {record!r}")
        for name in ("prompt", *columns):
            if not isinstance(record.get(name), str):
                raise PromptError(f"{where}: expected a text under {name!r}, got {record.get(name)!r}")
        try:
            rows.append(task.prompts.index_of(record["prompt"]))
        except PromptError as error:
            raise PromptError(f"{where}: {error}") from None
        for column in columns:
            texts[column].append(_encode(task, record[column], f"{where}, {column}"))
        lines.append(where)
    if not rows:
        raise PromptError(f"{path} has no texts")
    found = [lay_out(task, np.array(rows), side) for side in texts.values()]
    for side in found:
        bad = np.flatnonzero(~legal_texts(LegalTokens.of(task), side))
        if bad.size:
            raise PromptError(f"{lines[int(bad[0])]}: the rules of the task {task.name} forbid a token of this text")
    return found


def _encode(task: Task, text: str, where: str) -> list[int]:
    ids = task.tokenizer.encode(text)
    if task.tokenizer.special_ids.intersection(ids):
        raise PromptError(f"{where}: {text!r} has text outside the vocabulary")
    if len(ids) > task.budget:
        raise PromptError(f"{where}: {text!r} has {len(ids)} tokens, the budget is {task.budget}")
    return task.encode_completion(text)
