"""What a policy has read of the texts that it is writing: keys and values, lengths, and the logits after them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym.agents.lm.lean import LeanGPT2, fits
from textgym.agents.lm.model import LMPolicy
from textgym.agents.lm.slots import Slots


class Writer:
    """Keeps, for B lanes, what a policy has read, and the logits after it.

    Args:
        policy: Who reads; its weights must not change while this writer lives.
        lanes: B.
        prompts: ``(N, P)`` left-padded prompts of the episodes, in the order in which they will begin.
        budget: T.
        lean: The written-out step for models in the shape of GPT-2; by default where it fits.
    """

    def __init__(
        self, policy: LMPolicy, lanes: int, prompts: NDArray[np.int32], budget: int, *, lean: bool | None = None
    ) -> None:
        self.policy, self.lanes, self.prompts = policy, lanes, prompts
        self.slots = Slots(policy.lm, lanes, policy.offset + prompts.shape[1] + budget)
        self._lean = LeanGPT2(policy.lm, lanes) if (fits(policy.lm) if lean is None else lean) else None
        self.lengths = np.zeros(lanes, dtype=np.int64)
        self._ahead: _Ahead | None = None
        self.logits: Tensor = torch.empty(0)
        self.hidden: Tensor = torch.empty(0)

    def read(self, ids: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Reads new tokens in every lane: ``ids`` ``(B, Q)`` right-aligned, ``counts`` ``(B,)`` of them, 0 to Q.

        A lane that reads nothing keeps no logits.
        """
        self.lengths += counts
        reads = counts.nonzero()[0]
        if 2 * len(reads) > self.lanes:
            self.logits, self.hidden = self._read(ids, counts, None, int(self.lengths.max()))
        else:  # towards the end most lanes rest, and the others' keys are worth gathering
            rows = self._tensor(reads)
            logits, hidden = self._read(ids[reads], counts[reads], rows, int(self.lengths[reads].max()))
            self.logits[rows], self.hidden[rows] = logits, hidden

    def _read(
        self, ids: NDArray[np.int64], counts: NDArray[np.int64], rows: Tensor | None, longest: int
    ) -> tuple[Tensor, Tensor]:
        if self._lean is not None and ids.shape[1] == 1:
            alive = torch.from_numpy(counts.astype(bool))
            return self._lean.step(self.slots, torch.from_numpy(ids[:, 0]), alive, longest, rows)
        return self.slots.read(self._tensor(ids), self._tensor(counts), rows, longest=longest)

    def _tensor(self, array: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(self.slots.device)

    def begin(self, rows: NDArray[np.int64], episodes: NDArray[np.int64]) -> None:
        """Begins these episodes in these rows; their prompts are read ahead, as many at a time as there are lanes."""
        for block in np.unique(episodes // self.lanes).tolist():
            if self._ahead is None or self._ahead.block != block:
                self._ahead = _read_ahead(self.policy, self.prompts[block * self.lanes :][: self.lanes], block)
            here = episodes // self.lanes == block
            self._take(self._ahead, rows[here], episodes[here] - block * self.lanes)

    def _take(self, ahead: _Ahead, rows: NDArray[np.int64], sources: NDArray[np.int64]) -> None:
        target, source = self._tensor(rows), self._tensor(sources)
        self.slots.copy_from(ahead.slots, target, source, int(ahead.lengths[sources].max()))
        self.lengths[rows] = ahead.lengths[sources]
        if not self.logits.numel():
            self.logits = ahead.logits.new_zeros((self.lanes, ahead.logits.shape[1]))
            self.hidden = ahead.hidden.new_zeros((self.lanes, ahead.hidden.shape[1]))
        self.logits[target] = ahead.logits[source]
        self.hidden[target] = ahead.hidden[source]


@dataclass(frozen=True)
class _Ahead:
    """Prompts that have been read in one pass: their keys and values, lengths, logits and hidden states."""

    block: int
    slots: Slots
    lengths: NDArray[np.int64]
    logits: Tensor
    hidden: Tensor


def _read_ahead(policy: LMPolicy, prompts: NDArray[np.int32], block: int) -> _Ahead:
    slots, logits, hidden, lengths = _read(policy, prompts, 0)
    return _Ahead(block, slots, lengths, logits, hidden)


def _read(policy: LMPolicy, prompts: NDArray[np.int32], budget: int) -> tuple[Slots, Tensor, Tensor, NDArray[np.int64]]:
    """Reads ``(M, P)`` left-padded prompts in one forward pass, with room for ``budget`` more tokens."""
    ids, lengths = policy.sequences(prompts)
    width = ids.shape[1]
    places = lengths[:, None] + np.arange(-width, 0)
    aligned = np.take_along_axis(ids, np.maximum(places, 0), axis=1)
    slots = Slots(policy.lm, len(ids), width + budget)
    columns = torch.from_numpy(aligned).to(policy.device), torch.from_numpy(lengths).to(policy.device)
    logits, hidden = slots.read(*columns, longest=width)
    return slots, logits, hidden, lengths


def read_prompts(policy: LMPolicy, prompts: NDArray[np.int32], budget: int) -> tuple[Slots, Tensor]:
    """Slots that hold ``(M, P)`` left-padded prompts and have room for ``budget`` tokens, and the logits after them."""
    slots, logits, _, _ = _read(policy, prompts, budget)
    return slots, logits
