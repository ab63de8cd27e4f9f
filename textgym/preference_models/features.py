"""What networks read of a batch: bags of n-grams, and sequences of ids. NumPy, one pass over whole arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch

Integers = NDArray[np.int64]

SYMBOLS = 3
"""Ids behind those of the vocabulary: padding, the end of the prompt, the end of the text."""


def read_sequences(batch: EpisodeBatch) -> Integers:
    """Prompt, a sign, completion and another sign as ``(B, L)`` ids, right-padded.

    Every row is independent of the others and of the width of the prompt table. A text that was cut by its budget reads
    like one that ended.
    """
    padding = batch.tokenizer.vocab_size
    prompts, width = batch.tokens[:, : batch.prompts.width], batch.prompts.width
    bodies, stops = _read_bodies(batch)
    whole = np.concatenate([prompts, np.full((len(batch), 1), padding + 1), bodies], axis=1)
    starts = (prompts == padding).sum(axis=1)
    lengths = width - starts + stops + 2
    places = np.arange(max(1, int(lengths.max(initial=1))))
    found = np.take_along_axis(whole, np.minimum(starts[:, None] + places, whole.shape[1] - 1), axis=1)
    return np.where(places < lengths[:, None], found, padding)


def _read_bodies(batch: EpisodeBatch) -> tuple[Integers, Integers]:
    """``(B, T + 1)`` completions with the sign of the end, and its place in each."""
    padding, ids = batch.tokenizer.vocab_size, batch.completion_ids
    rows, lengths = np.arange(len(batch)), batch.lengths
    last = ids[rows, np.maximum(lengths - 1, 0)]
    stops = lengths - ((lengths > 0) & np.isin(last, batch.tokenizer.eos_ids))
    bodies = np.full((len(batch), ids.shape[1] + 1), padding, dtype=np.int64)
    bodies[:, :-1] = ids
    bodies[np.arange(bodies.shape[1]) >= stops[:, None]] = padding
    bodies[rows, stops] = padding + 2
    return bodies, stops


@dataclass(frozen=True, eq=False)
class Bag:
    """The n-grams that have a place of their own: words of the prompt, words of the text, and pairs of neighbours.

    Attributes:
        vocab_size: V, the number of ids.
        keys: ``(F,)`` the n-grams as sorted numbers.
    """

    vocab_size: int
    keys: Integers

    @classmethod
    def of(cls, batch: EpisodeBatch, *, minimum_count: int) -> Bag:
        """All n-grams that stand in at least so many texts of the batch, or as often in few of them."""
        keys = _count_keys(batch)
        known, counts = np.unique(keys[keys >= 0], return_counts=True)
        return cls(batch.tokenizer.vocab_size, known[counts >= minimum_count])

    @property
    def size(self) -> int:
        """How many places there are: one a key, one for every other n-gram, and the padding, which is the last."""
        return len(self.keys) + 2

    def read(self, batch: EpisodeBatch) -> Integers:
        """``(B, W)`` places of each text's n-grams."""
        keys = _count_keys(batch)
        if not len(self.keys):
            return np.where(keys < 0, 1, 0)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        places = np.where(self.keys[places] == keys, places, len(self.keys))
        return np.where(keys < 0, len(self.keys) + 1, places)


def _count_keys(batch: EpisodeBatch) -> Integers:
    """``(B, P + 2 T + 2)`` every n-gram as a number; -1 where there is none."""
    size = batch.tokenizer.vocab_size + SYMBOLS
    padding = batch.tokenizer.vocab_size
    bodies, _ = _read_bodies(batch)
    before = np.concatenate([np.full((len(batch), 1), padding + 1), bodies[:, :-1]], axis=1)
    prompts = batch.tokens[:, : batch.prompts.width].astype(np.int64)
    groups = (
        np.where(prompts == padding, -1, prompts),
        np.where(bodies == padding, -1, size + bodies),
        np.where(bodies == padding, -1, 2 * size + before * size + bodies),
    )
    return np.concatenate(groups, axis=1)
