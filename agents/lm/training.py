"""What every algorithm's training loop stands on: rollouts, minibatches, the optimiser, the log, checkpoints.

All randomness of update u is a pure function of (seed, u), so that a run that goes on from a checkpoint goes
exactly the way of one that was never interrupted.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym.agents.lm.building import ModelConfig
from textgym.agents.lm.checkpoints import (
    check_options,
    checkpoint_modules,
    find_checkpoint,
    options_of,
    read_checkpoint,
    write_checkpoint,
)
from textgym.agents.lm.exactness import ExactTruth
from textgym.agents.lm.health import Log
from textgym.agents.lm.memory import explain_memory
from textgym.agents.lm.model import LMPolicy, Scored
from textgym.agents.lm.rollout import Rollout, collect
from textgym.errors import ConfigurationError, TrainingError
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed

LOWER = "lower micro_batch_size (0 takes a whole minibatch at a time), or set gradient_checkpointing=True"

Columns = dict[str, Tensor]
"""What belongs to the texts of a rollout: name -> ``(N, ...)``."""

Loss = Callable[[Scored, Columns], tuple[Tensor, Mapping[str, Tensor]]]
"""``(what the policy says of some texts, their columns) -> (loss, metrics)``; both are sums that have been divided by
what belongs to the whole minibatch, so that they add up over micro-batches."""

PartLoss = Callable[[NDArray[np.int64]], tuple[Tensor, Mapping[str, Tensor]]]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(ModelConfig):
    """What the algorithms that write and learn share."""

    texts: int = 256  # written between two updates
    lanes: int = 128  # written at the same time
    sft_steps: int | None = None  # steps on demonstrations first; by default 300 for a model from scratch, else none
    learning_rate: float = 1e-3  # step size of Adam at first; it falls linearly to a tenth
    epochs: int = 1  # passes over each rollout
    minibatches: int = 1  # updates in one pass
    micro_batch_size: int = 0  # texts in one forward pass of an update; 0 takes a whole minibatch
    max_grad_norm: float = 1.0  # gradients are clipped to this norm
    kl_coefficient: float = 0.0  # what a nat of divergence from the reference costs
    checkpoint_every: int = 10  # updates between two checkpoints, where the run has a folder
    tensorboard: bool = False  # also write TensorBoard files into the run folder
    kl_bound: float = 100.0  # an alarm sounds above this divergence from the reference, in nats a text
    exact_every: int = 0  # after so many updates, the exact return and divergence too, where the task is solvable

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("texts", "lanes", "epochs", "minibatches", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected a whole number of at least 1")
        for name in ("micro_batch_size", "kl_coefficient", "exact_every"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected a number of at least 0")
        if self.texts % self.minibatches:
            raise ConfigurationError(f"texts={self.texts} cannot be split into {self.minibatches} equal minibatches")
        for name in ("learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected a number above 0")


class Trainer:
    """One run of an algorithm in environments.

    Args:
        policy: Who learns.
        reference: What it is compared with; None where nothing asks.
        envs: Makes the environments; may be metered.
        config: The algorithm's options.
        seed: Of all that is random.
        log: Where every update is noted.
        total_steps: Tokens that may be written.

    Attributes:
        update: Number of the present update, from 0 on.
        steps: Tokens written so far.
        modules: Name -> what has weights that a checkpoint must keep.
        state: Name -> number that a checkpoint must keep.
        tensors: Name -> tensor that a checkpoint must keep.
    """

    def __init__(
        self,
        policy: LMPolicy,
        reference: LMPolicy | None,
        envs: EnvFactory,
        *,
        config: TrainingConfig,
        seed: int,
        log: Log,
        total_steps: int,
    ) -> None:
        self.policy, self.reference, self.config, self.seed, self.log = policy, reference, config, seed, log
        self.lanes = min(config.lanes, config.texts)
        self.envs: Any = envs.vector(self.lanes, autoreset_mode="Disabled", observation="tokens")
        base: Any = self.envs.unwrapped
        self.task = base.task
        self.rows: NDArray[np.int64] = self.task.prompts.rows(base.config.split)
        self.total_steps, self.update, self.steps = total_steps, 0, 0
        self.optimizer = torch.optim.Adam([p for p in policy.parameters() if p.requires_grad], lr=config.learning_rate)
        self.modules: dict[str, torch.nn.Module] = {"policy": policy}
        if reference is not None and next(reference.parameters(), None) is not None:
            self.modules["reference"] = reference
        self.state: dict[str, float] = {}
        self.tensors: dict[str, Tensor] = {}
        self.options = options_of(config, envs, seed=seed, total_steps=total_steps)
        ends = policy.legal.fixed[list(self.task.tokenizer.eos_ids)].any()
        log.known = {"kl_bound": config.kl_bound, "may_end": bool(ends) and self.task.partner is None}
        self._exact = ExactTruth(envs, reference, every=config.exact_every)
        self._noted: dict[str, float] = {}
        self._wrote_at = perf_counter()

    @property
    def most_steps(self) -> int:
        """The most tokens of one rollout."""
        return self.config.texts * self.task.turns * self.task.turn_tokens

    def updates(self) -> Iterator[int]:
        """The numbers of the updates, while the budget has room for a whole rollout."""
        while self.steps + self.most_steps <= self.total_steps:
            self.set_learning_rate(self.steps / self.total_steps)
            yield self.update
            self.finish_update()

    def set_learning_rate(self, done: float) -> None:
        """The step size when this share of the run is done: it falls linearly to a tenth."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * (1.0 - 0.9 * done)

    def finish_update(self) -> None:
        """Goes on to the next update, with a checkpoint where it is time for one."""
        self.update += 1
        if self.update % self.config.checkpoint_every == 0:
            self.keep()

    def keep(self) -> None:
        """Writes a checkpoint into the run folder, where there is one."""
        if self.log.folder is not None:
            state = {"update": self.update, "steps": self.steps, "state": self.state, "options": self.options}
            self.log.checkpoint = write_checkpoint(
                self.log.folder, self.modules, self.optimizer, state, tensors=self.tensors
            )

    def resume(self) -> None:
        """Goes on from the checkpoint in the run folder.

        Raises:
            ConfigurationError: for a checkpoint that is damaged, or of a run with other options.
        """
        assert self.log.folder is not None
        check_options(self.log.folder, self.options)
        for name in checkpoint_modules(self.log.folder):
            if name not in self.modules:
                self.modules[name] = copy.deepcopy(self.policy).eval().requires_grad_(False)
        state, self.tensors = read_checkpoint(self.log.folder, self.modules, self.optimizer)
        self.update, self.steps, self.state = state["update"], state["steps"], state["state"]
        self.log.checkpoint = find_checkpoint(self.log.folder)
        self.log.rewind(self.update)

    def write(self, *, per_prompt: int = 1, mask_policy: LMPolicy | None = None, top_p: float = 1.0) -> Rollout:
        """Lets the policy write this update's texts, ``per_prompt`` of them to each prompt and next to each other."""
        self._noted = self._exact.measure(self.policy, self.update, mask_policy=mask_policy, top_p=top_p)
        rng = np.random.default_rng(spawn_seed(self.seed, "prompts", str(self.update)))
        wanted = np.repeat(np.resize(rng.permutation(self.rows), self.config.texts // per_prompt), per_prompt)
        self.envs.reset(seed=spawn_seed(self.seed, "lanes", str(self.update)) % 2**31)
        generator = torch.Generator().manual_seed(spawn_seed(self.seed, "draws", str(self.update)))
        with explain_memory(f"writing {self.lanes} texts at a time", "lower lanes or max_new_tokens"):
            rollout = collect(self.policy, self.envs, wanted, generator=generator, mask_policy=mask_policy, top_p=top_p)
        self.steps += rollout.steps
        self._wrote_at = perf_counter()
        return rollout

    def refer(self, rollout: Rollout) -> NDArray[np.float32]:
        """``(N, T)`` log-probabilities of what was written under the reference."""
        assert self.reference is not None
        size = self.micro_batch(len(rollout))
        with explain_memory(f"reading {size} texts at a time", LOWER):
            return log_probs_of(self.reference, rollout.tokens, rollout.wrote, size)

    def micro_batch(self, size: int) -> int:
        """Texts in one forward pass of an update."""
        return min(size, self.config.micro_batch_size or size)

    def minibatches(self, rollout: Rollout) -> Iterator[NDArray[np.int64]]:
        """Rows of the rollout: every epoch in a new order."""
        rng = np.random.default_rng(spawn_seed(self.seed, "minibatches", str(self.update)))
        for _ in range(self.config.epochs):
            yield from np.split(rng.permutation(len(rollout)), self.config.minibatches)

    def improve(
        self, rollout: Rollout, rows: NDArray[np.int64], loss: Loss, columns: Columns, **scoring: Any
    ) -> dict[str, float]:
        """One step of the optimiser on some texts of a rollout; see :meth:`step`.

        Args:
            rollout: The texts.
            rows: The minibatch.
            loss: Called for each micro-batch.
            columns: What it is handed besides what the policy says.
            **scoring: Further arguments of :meth:`LMPolicy.score`.
        """

        def loss_of_part(part: NDArray[np.int64]) -> tuple[Tensor, Mapping[str, Tensor]]:
            chosen = rows[part]
            scored = self.policy.score(rollout.tokens[chosen], rollout.wrote[chosen], **scoring)
            return loss(scored, {name: column[chosen] for name, column in columns.items()})

        return self.step(loss_of_part, len(rows))

    def columns(self, **arrays: NDArray[Any]) -> Columns:
        """Arrays ``(N, ...)`` as float32 tensors beside the policy."""
        return {
            name: torch.from_numpy(array.astype(np.float32)).to(self.policy.device) for name, array in arrays.items()
        }

    def step(self, loss_of_part: PartLoss, size: int) -> dict[str, float]:
        """One step of the optimiser, some texts at a time.

        Args:
            loss_of_part: ``places -> (loss, metrics)`` of some of the minibatch's texts.
            size: Texts of the minibatch.

        Returns:
            The metrics, and the norm of the gradient.

        Raises:
            TrainingError: for a loss that is no number, or too little memory; the weights are those of the step before.
        """
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for part in np.split(np.arange(size), range(self.micro_batch(size), size, self.micro_batch(size))):
            with explain_memory(f"learning from {len(part)} of a minibatch's {size} texts at a time", LOWER):
                with torch.autocast(self.policy.device.type, torch.bfloat16, enabled=self.config.autocast):
                    loss, metrics = loss_of_part(part)
                torch.autograd.backward(loss)
            for name, value in {"loss": loss, **metrics}.items():
                sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm)
        values = {name: float(value) for name, value in {**sums, "gradient_norm": norm}.items()}
        if not np.isfinite([values["loss"], values["gradient_norm"]]).all():
            raise TrainingError(
                f"update {self.update}: the loss is {values['loss']} and the norm of its gradient "
                f"{values['gradient_norm']}; {self.log.last_good()}. Lower the learning rate, or look for rewards or "
                "log-probabilities that are not finite"
            )
        self.optimizer.step()
        return values

    def note(self, row: Mapping[str, Any]) -> None:
        """Writes a row into the log."""
        self.log.note({"update": self.update, "steps": self.steps, **row, **self._noted})
        self._noted = {}

    def training_speed(self, rollout: Rollout) -> dict[str, float]:
        """How many tokens a second were learned from, since the rollout ended."""
        tokens = rollout.steps * self.config.epochs
        return {"training_tokens_per_second": tokens / max(perf_counter() - self._wrote_at, 1e-9)}

    def close(self) -> None:
        """Closes the environments."""
        self.envs.close()


@torch.no_grad()
def log_probs_of(
    policy: LMPolicy, tokens: NDArray[np.int32], wrote: NDArray[np.bool_], micro_batch: int
) -> NDArray[np.float32]:
    """``(N, T)`` log-probabilities of given texts under any policy, some texts at a time."""
    parts = []
    for start in range(0, len(tokens), micro_batch):
        rows = slice(start, start + micro_batch)
        parts.append(policy.score(tokens[rows], wrote[rows]).log_probs.cpu().numpy())
    return np.concatenate(parts)


def average(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each number over minibatches."""
    return {name: float(np.mean([row[name] for row in metrics])) for name in (metrics[0] if metrics else {})}
