"""Rollouts for TRL: texts that its model writes token by token in the native vector environment."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from trl.models import unwrap_model_for_generation

from textgym.agents.lm.model import LegalTokens, LMPolicy
from textgym.agents.lm.rollout import Rollout, collect
from textgym.agents.lm.support import check_support
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.integrations.model_tokens import compare_tokens, find_begin, same_texts, text_of
from textgym.integrations.replay import unpaid
from textgym.keys import spawn_seed

LANES = 256
SAMPLING = {"top_p": (1.0,), "top_k": (0, None), "min_p": (0.0, None), "repetition_penalty": (1.0,)}
"""Options of TRL's sampling that rollouts do not follow, with the values at which they do nothing."""


class RolloutFunction:
    """See :func:`textgym.integrations.trl.rollout_function`.

    Attributes:
        task: The environment's task.
    """

    def __init__(self, factory: EnvFactory, *, seed: int = 0, lanes: int = LANES) -> None:
        if isinstance(lanes, bool) or not isinstance(lanes, int) or lanes < 1:
            raise ConfigurationError(f"lanes={lanes!r}: expected a whole number of at least 1")
        self._factory = unpaid(factory)  # the reward function asks the real one
        self.task, self._seed, self._lanes = factory.task(), seed, lanes
        self._legal, self._calls, self._checked = LegalTokens.of(self.task), (-1, 0), False
        self._begin: int | None = None
        self._envs: Any = None
        self._same = same_texts(self.task)

    def __call__(self, prompts: Sequence[Any], trainer: Any) -> dict[str, list[Any]]:
        """Writes one completion for each prompt, with the trainer's model and temperature.

        Raises:
            ConfigurationError: for another tokenizer than the environment's, options of sampling that are not
                followed, and models that cannot be read token by token.
        """
        names = self._name_call(trainer)
        rows = np.array([self._row(prompt, names) for prompt in prompts])
        with _model(trainer) as lm:
            if not self._checked:
                self._check(lm, trainer)
            temperature = float(trainer.args.temperature)
            policy = LMPolicy(lm, self._legal, begin_id=self._begin, temperature=temperature)
            rollout = self._write(policy, rows, names)
        return _columns(rollout, policy)

    def _check(self, lm: Any, trainer: Any) -> None:
        for name, idle in SAMPLING.items():
            if getattr(trainer.args, name, idle[0]) not in idle:
                raise ConfigurationError(
                    f"{name}={getattr(trainer.args, name)!r}: rollouts draw from all legal tokens; leave it at "
                    f"{idle[0]}"
                )
        compare_tokens(self.task, trainer.processing_class)
        check_support(lm)
        if not _ignores_padding(lm):
            warnings.warn(
                f"{type(lm).__name__} counts padding as positions, and TRL's loss pads prompts on the left without "
                "saying so: where prompts differ in length, it learns from other numbers than were drawn from; take a "
                "model with rotary positions, such as Llama",
                stacklevel=2,
            )
        self._begin, self._checked = find_begin(self.task, trainer.processing_class), True

    def _name_call(self, trainer: Any) -> tuple[str, ...]:
        """What seeds are made of: the step of training, and how many calls there were in it."""
        step = int(trainer.state.global_step)
        self._calls = (step, self._calls[1] + 1 if self._calls[0] == step else 0)
        return "rollouts", str(step), str(self._calls[1]), str(trainer.accelerator.process_index)

    def _row(self, prompt: Any, names: tuple[str, ...]) -> int:
        """A row with this text. Where several have it, each call takes one: TRL compares texts to the same prompt."""
        text = text_of(prompt)
        rows = self._same.get(text) or [self.task.prompts.index_of(text)]
        return rows[spawn_seed(self._seed, *names[:-1], text) % len(rows)]

    def _write(self, policy: LMPolicy, rows: NDArray[np.int64], names: tuple[str, ...]) -> Rollout:
        lanes = min(self._lanes, len(rows))
        if self._envs is None or self._envs.num_envs != lanes:
            self._envs = self._factory.vector(lanes, autoreset_mode=AutoresetMode.DISABLED, observation="tokens")
        self._envs.reset(seed=spawn_seed(self._seed, *names, "environment"))
        generator = torch.Generator().manual_seed(spawn_seed(self._seed, *names, "draws"))
        return collect(policy, self._envs, rows, generator=generator)


def _ignores_padding(lm: Any) -> bool:
    """Whether a text means the same with hidden padding in front of it and no positions handed in."""
    ids = torch.arange(6, device=lm.device).remainder(lm.get_input_embeddings().weight.shape[0]).view(1, 6)
    shown = torch.ones_like(ids)
    shown[:, :2] = 0
    with torch.inference_mode():
        padded = lm(input_ids=ids, attention_mask=shown, use_cache=False).logits[:, -1]
        alone = lm(input_ids=ids[:, 2:], attention_mask=shown[:, 2:], use_cache=False).logits[:, -1]
    loose = 1e-3 if padded.dtype == torch.float32 else 5e-2
    return bool((padded - alone).abs().max() <= loose * max(float(alone.abs().max()), 1e-3))


@contextmanager
def _model(trainer: Any) -> Iterator[Any]:
    """The trainer's model with all its weights, for writing; as it was afterwards."""
    options: dict[str, Any] = {
        "gather_deepspeed3_params": trainer.args.ds3_gather_for_generation,
        "gradient_checkpointing_kwargs": trainer.args.gradient_checkpointing_kwargs,
    }
    with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator, **options) as lm:
        training = lm.training
        try:
            yield lm.eval()  # dropout would be in the check and in what is written
        finally:
            lm.train(training)


def _columns(rollout: Rollout, policy: LMPolicy) -> dict[str, list[Any]]:
    """What TRL wants of a rollout, a list for each text."""
    width = rollout.tokens.shape[1] - rollout.wrote.shape[1]
    lengths = rollout.episodes.lengths.tolist()
    begin = [] if policy.begin_id is None else [policy.begin_id]
    shown = rollout.tokens[:, :width]
    found: dict[str, list[Any]] = {
        "prompt_ids": [begin + row[row != policy.vocab_size].tolist() for row in shown],
        "completion_ids": [rollout.episodes.ids(row) for row in range(len(rollout))],
        "prompt_index": rollout.prompt_indices.tolist(),
        "episode_key": rollout.episodes.keys.tolist(),
    }
    per_token = {"logprobs": rollout.log_probs, "env_mask": rollout.wrote.astype(int)}
    for name, values in per_token.items():
        found[name] = [row[:length].tolist() for row, length in zip(values, lengths, strict=True)]
    return found
