"""Reading observations: logits for rows that mostly grow by one token a call."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym.agents.lm.model import LMPolicy
from textgym.agents.lm.slots import Slots


class Reader:
    """Keeps the keys and values of B rows and reads only what each observation adds.

    Args:
        policy: Its weights must not change while this reader lives.
        shape: ``(B, P + T)`` of the observations.
    """

    def __init__(self, policy: LMPolicy, shape: tuple[int, ...]) -> None:
        self.policy, self.shape = policy, shape
        self.slots = Slots(policy.lm, shape[0], shape[1] + policy.offset)
        self.seen = np.zeros((shape[0], shape[1] + policy.offset), dtype=np.int64)
        self.lengths = np.zeros(shape[0], dtype=np.int64)

    def read(self, tokens: NDArray[np.int32]) -> Tensor:
        """``(B, head)`` logits after each row of ``(B, P + T)`` ids."""
        ids, lengths = self.policy.sequences(tokens)
        ids = np.pad(ids, ((0, 0), (0, self.seen.shape[1] - ids.shape[1])))
        columns = np.arange(ids.shape[1])
        differs = (ids != self.seen) & (columns < self.lengths[:, None])
        # At least the last token is read again, for its logits; from the first difference on, all are.
        kept = np.where(differs.any(axis=1), differs.argmax(axis=1), self.lengths)
        kept = np.minimum(kept, lengths - 1)
        logits: Tensor | None = None
        for rows in _alike(lengths - kept):
            new = lengths[rows] - kept[rows]
            width = int(new.max())
            places = lengths[rows][:, None] + np.arange(-width, 0)
            right = np.take_along_axis(ids[rows], np.maximum(places, 0), axis=1)
            index = torch.from_numpy(rows).to(self.policy.device)
            self.slots.lengths[index] = torch.from_numpy(kept[rows]).to(self.policy.device)
            part, _ = self.slots.read(
                torch.from_numpy(right).to(self.policy.device),
                torch.from_numpy(new).to(self.policy.device),
                None if len(rows) == len(tokens) else index,
                longest=int(lengths[rows].max()),
            )
            logits = part.new_empty((len(tokens), part.shape[1])) if logits is None else logits
            logits[index] = part
        self.seen, self.lengths = ids, lengths
        assert logits is not None
        return logits


def _alike(counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows that read one token, and the others."""
    one = counts == 1
    return [rows for rows in (np.flatnonzero(one), np.flatnonzero(~one)) if len(rows)]
