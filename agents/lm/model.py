"""LMPolicy: a causal language model with a value head, read by a vector environment's token ids.

A token id of the environment is a token id of the model. A text is read as ``[begin, prompt, completion]`` from
position 0 on, whatever padding stands around it in an observation; the state after token t gives the distribution
over token t + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from textgym.agents.lm.sampling import masked_log_probs, top_p_mask
from textgym.legality import masks_after, read_rules
from textgym.task import Task

CHUNK_ELEMENTS = 2**24
"""Logits that are float32 at one time: 64 MB, whatever the batch and the vocabulary."""


@dataclass(frozen=True)
class Scored:
    """What a policy says of texts; all ``(N, T)``, 0 where the agent did not write.

    Attributes:
        log_probs: Of the tokens that were written, under the masked, tempered distribution.
        entropies: Of that distribution.
        values: Of the value head, for the state before the token; zeros where there is no head.
        divergences: KL divergence of that distribution from the reference's; None where none is given.
    """

    log_probs: Tensor
    entropies: Tensor
    values: Tensor
    divergences: Tensor | None = None


class LegalTokens:
    """Which tokens may be written where, recomputed from the texts and never stored as ``(N, T, V)``.

    Args:
        fixed: ``(V,)`` what may be written as far as it does not depend on the text.
        task: Its rules that depend on the text; without it there are none.
    """

    def __init__(self, fixed: NDArray[np.bool_], task: Task | None = None) -> None:
        self.fixed, self.vocab_size = fixed, len(fixed)
        self._tokenizer = None if task is None else task.tokenizer
        self._rules = None if task is None else read_rules(task)
        self.dynamic = () if self._rules is None else self._rules.dynamic

    @classmethod
    def of(cls, task: Task) -> LegalTokens:
        """The rules of a task."""
        return cls(read_rules(task).fixed_mask, task)

    def at(self, completions: NDArray[np.int32], places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``(V,)`` or ``(M, V)`` what may be written at place ``places[m]`` of row m of ``completions`` ``(M, T)``."""
        if not self.dynamic or self._rules is None or self._tokenizer is None:
            return self.fixed
        later = np.arange(completions.shape[1]) >= places[:, None]
        before = np.where(later, np.int32(self.vocab_size), completions)
        return masks_after(self._rules, self._tokenizer, before, places)


class LMPolicy(nn.Module):
    """A causal language model of ``transformers``, its value head, and what it knows of the environment.

    Args:
        lm: The model; its first V output rows are the environment's tokens.
        legal: What may be written.
        begin_id: The id that stands before every text; None where the prompt brings its own.
        value_head: Whether states are valued, as PPO needs.
        temperature: Divides the logits wherever a distribution is meant.
    """

    def __init__(
        self, lm: Any, legal: LegalTokens, *, begin_id: int | None, value_head: bool = False, temperature: float = 1.0
    ) -> None:
        super().__init__()
        self.lm = lm
        self.legal, self.vocab_size, self.begin_id, self.temperature = legal, legal.vocab_size, begin_id, temperature
        width = lm.config.get_text_config().hidden_size
        self.value_head = nn.Linear(width, 1) if value_head else None
        if self.value_head is not None:  # values start at 0: the first advantages are the returns
            nn.init.zeros_(self.value_head.weight)
            nn.init.zeros_(self.value_head.bias)
            self.value_head.to(device=lm.device, dtype=torch.float32)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.lm.device
        return device

    @property
    def offset(self) -> int:
        """Tokens that stand before the prompt: 1, or 0 where the prompt brings its own begin token."""
        return int(self.begin_id is not None)

    def sequences(self, tokens: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Turns rows of the environment into what the model reads.

        Args:
            tokens: ``(N, W)`` ids with the private pad id V anywhere.

        Returns:
            ``(N, L)`` ids from the begin token on, with zeros behind the text, and ``(N,)`` their lengths.
        """
        real = tokens != self.vocab_size
        lengths = real.sum(axis=1) + self.offset
        ids = np.zeros((len(tokens), int(lengths.max())), dtype=np.int64)
        if self.begin_id is not None:
            ids[:, 0] = self.begin_id
        rows, _ = real.nonzero()
        ids[rows, (real.cumsum(axis=1) - 1 + self.offset)[real]] = tokens[real]
        return ids, lengths

    def hidden(self, ids: Tensor) -> Tensor:
        """``(N, L, d)`` the states below the output head. What stands behind a text is not seen by it."""
        with _recomputing(self.lm):
            outputs = self.lm(
                input_ids=ids,
                attention_mask=_nothing_hidden(ids),
                use_cache=False,
                logits_to_keep=1,
                output_hidden_states=True,
            )
        last: Tensor = outputs.hidden_states[-1]
        return last

    def logits(self, hidden: Tensor) -> Tensor:
        """``(..., V)`` float32 logits of states; rows of the head beyond the environment's vocabulary are cut off."""
        scores: Tensor = self.lm.get_output_embeddings()(hidden)
        return scores[..., : self.vocab_size].float()

    def values(self, hidden: Tensor) -> Tensor:
        """``(...)`` values of states; zeros where there is no head."""
        if self.value_head is None:
            return torch.zeros(hidden.shape[:-1], device=hidden.device)
        valued: Tensor = self.value_head(hidden.float())[..., 0]
        return valued

    def next_log_probs(self, tokens: NDArray[np.int32], masks: NDArray[np.bool_] | None = None) -> Tensor:
        """``(N, V)`` log-probabilities of the next token, by a full forward pass over ``(N, W)`` rows.

        Args:
            tokens: Rows of the environment.
            masks: ``(V,)`` or ``(N, V)``; the environment's fixed mask by default.
        """
        ids, lengths = self.sequences(tokens)
        hidden = self.hidden(self._tensor(ids))
        last = hidden[torch.arange(len(ids), device=self.device), self._tensor(lengths - 1)]
        return masked_log_probs(
            self.logits(last), self._tensor(self.legal.fixed if masks is None else masks), self.temperature
        )

    def score(
        self,
        tokens: NDArray[np.int32],
        wrote: NDArray[np.bool_],
        *,
        reference: LMPolicy | None = None,
        mask_policy: LMPolicy | None = None,
        top_p: float = 1.0,
    ) -> Scored:
        """What this policy says of texts, with gradients if they are on.

        Args:
            tokens: ``(N, P + T)`` rows of the environment.
            wrote: ``(N, T)`` which tokens of the completions the agent wrote.
            reference: Also the divergence of every distribution from this policy's.
            mask_policy: Only its likeliest tokens, which together have ``top_p``, could be written.
            top_p: See ``mask_policy``.
        """
        completions = tokens[:, -wrote.shape[1] :]
        ids, _ = self.sequences(tokens)
        rows, places = wrote.nonzero()
        begins = self.offset + (tokens[:, : -wrote.shape[1]] != self.vocab_size).sum(axis=1)
        spots = self._tensor(rows), self._tensor(begins[rows] + places - 1)
        hidden = self.hidden(self._tensor(ids))[spots]
        chosen = self._tensor(completions[rows, places].astype(np.int64))
        with torch.no_grad():
            referred = None if reference is None else reference.hidden(self._tensor(ids))[spots]
            masked = None if mask_policy is None else mask_policy.hidden(self._tensor(ids))[spots]

        def compute(hidden: Tensor, chunk: slice) -> tuple[Tensor, Tensor, Tensor]:
            """Everything of size (M, V) is made here, so that none of it is kept for the gradient."""
            legal = self._tensor(self.legal.at(completions[rows[chunk]], places[chunk]))
            other = None
            with torch.no_grad():
                if mask_policy is not None and masked is not None:
                    likely = masked_log_probs(mask_policy.logits(masked[chunk]), legal, self.temperature)
                    legal = top_p_mask(likely, top_p).scatter(-1, chosen[chunk, None], True)  # what was drawn was kept
                if reference is not None and referred is not None:
                    other = masked_log_probs(reference.logits(referred[chunk]), legal, self.temperature)
            return _describe(
                masked_log_probs(self.logits(hidden), legal, self.temperature), legal, chosen[chunk], other
            )

        size = max(1, CHUNK_ELEMENTS // self.vocab_size)
        chunks = [slice(start, start + size) for start in range(0, len(rows), size)]
        parts = [_forget_between(compute, hidden[chunk], chunk, self.vocab_size) for chunk in chunks]
        columns = [torch.cat(part) for part in zip(*parts, strict=True)] or [hidden.new_zeros(0)] * 3
        log_probs, entropies, divergences = (self._spread(column, wrote) for column in columns)
        values = self._spread(self.values(hidden), wrote)
        return Scored(log_probs, entropies, values, None if reference is None else divergences)

    def _spread(self, values: Tensor, wrote: NDArray[np.bool_]) -> Tensor:
        """Puts M values at the places ``(N, T)`` that the agent wrote."""
        spread = torch.zeros(wrote.shape, device=values.device, dtype=torch.float32)
        return spread.masked_scatter(self._tensor(wrote), values.float())

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


Described = tuple[Tensor, Tensor, Tensor]


def _describe(log_probs: Tensor, legal: Tensor, chosen: Tensor, other: Tensor | None) -> Described:
    """``(M,)`` log-probabilities of what was chosen, entropies, and divergences from the other distributions."""
    probs, finite = log_probs.exp(), log_probs.masked_fill(~legal, 0.0)
    entropy = -(probs * finite).sum(dim=-1)
    divergence = torch.zeros_like(entropy)
    if other is not None:
        divergence = (probs * (finite - other.masked_fill(~legal, 0.0))).sum(dim=-1)
    return log_probs.gather(-1, chosen[:, None])[:, 0], entropy, divergence


def _forget_between(
    compute: Callable[[Tensor, slice], Described], hidden: Tensor, chunk: slice, width: int
) -> Described:
    """``compute`` of a chunk; a large one is computed again for the gradient and not kept."""
    if torch.is_grad_enabled() and len(hidden) * width > CHUNK_ELEMENTS // 8:
        computed: Described = checkpoint(compute, hidden, chunk, use_reentrant=False, preserve_rng_state=False)
        return computed
    return compute(hidden, chunk)


def _nothing_hidden(ids: Tensor) -> Tensor:
    """The attention mask of texts that are read whole: ``(N, L)``."""
    if ids.device.type != "meta":
        return torch.ones_like(ids)
    size = ids.shape[1]  # written out, because ``transformers`` would look whether a plain one is all True
    return torch.ones((len(ids), 1, size, size), dtype=torch.bool, device=ids.device).tril()


@contextmanager
def _recomputing(lm: Any) -> Iterator[None]:
    """Switches gradient checkpointing on where it is asked for: ``transformers`` does so in training mode alone.

    Training mode itself would switch on dropout too, and what is learned from would not be what was sampled from.
    """
    modules = lm.modules() if torch.is_grad_enabled() else ()
    layers = [module for module in modules if getattr(module, "gradient_checkpointing", False)]
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


class Unadapted:
    """A model with its low-rank adapters switched off: the reference of a policy that trains only them.

    Args:
        lm: A model of ``peft``.
    """

    def __init__(self, lm: Any) -> None:
        self._lm = lm
        self.config = lm.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._lm.device
        return device

    def __call__(self, **inputs: Any) -> Any:
        """The model's outputs."""
        with self._lm.disable_adapter():
            return self._lm(**inputs)

    def get_output_embeddings(self) -> Any:
        """The output head, which has no adapter."""
        return self._lm.get_output_embeddings()
