"""How little a text repeats itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError


@dataclass(frozen=True)
class Diversity:
    """Distinct-n of a text: its different n-grams divided by its number of tokens, end ids left out.

    Li et al. (2016), "A Diversity-Promoting Objective Function for Neural Conversation Models". It says nothing of
    how texts differ from each other; :func:`textgym.metrics.distinct` does. A text without a token gets 0. In a
    conversation only the agent's tokens count, and no n-gram reaches from one of its turns into the next.

    Args:
        n: Size of the n-grams; 1 counts different tokens.

    Raises:
        ConfigurationError: unless n is a whole number of at least 1.

    Example:
        >>> from textgym.prompts import PromptTable, load_prompts
        >>> from textgym.tokenizers import CharTokenizer
        >>> letters = CharTokenizer("ab")
        >>> prompts = PromptTable(load_prompts(["a"]), letters)
        >>> batch = EpisodeBatch.from_ids(prompts, letters, [0, 0], [[0, 1, 0, 1], [0, 1]])
        >>> Diversity(1)(batch).tolist(), Diversity(2)(batch).tolist()
        ([0.5, 1.0], [0.5, 0.5])
    """

    n: int = 1
    range = (0.0, 1.0)

    def __post_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise ConfigurationError(f"n={self.n!r}: expected a whole number of at least 1")

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Returns ``(B,)`` float64 in [0, 1]."""
        ids, turns, lengths = _without_ends(batch)
        if ids.shape[1] < self.n or not len(ids):
            return np.zeros(len(batch))
        grams = _number_ngrams(ids, self.n, batch.tokenizer.vocab_size + 1)
        grams[np.arange(grams.shape[1]) > (lengths - self.n)[:, None]] = -1  # those that reach into the padding
        grams[turns[:, : grams.shape[1]] != turns[:, self.n - 1 :]] = -1
        grams.sort(axis=1)
        new = grams[:, 1:] != grams[:, :-1]
        different = (new & (grams[:, 1:] >= 0)).sum(axis=1) + (grams[:, 0] >= 0)
        return different / np.maximum(lengths, 1)


def _without_ends(batch: EpisodeBatch) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """``(B, T)`` the agent's ids pushed together to the left without end ids, in which turn each is, and how many."""
    ids = batch.completion_ids.astype(np.int64)
    kept = np.arange(ids.shape[1]) < batch.lengths[:, None]
    kept &= ~np.isin(ids, batch.tokenizer.eos_ids)
    turns = np.zeros_like(ids)
    if batch.is_agent is not None:
        kept &= batch.is_agent
        turns = np.cumsum(~kept, axis=1)  # what is left out stands between the turns
    order = np.argsort(~kept, axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(turns, order, axis=1), kept.sum(axis=1)


def _number_ngrams(ids: NDArray[np.int64], n: int, base: int) -> NDArray[np.int64]:
    """``(B, T - n + 1)`` a number for each n-gram, the same for the same ids; small enough for 64 bits at any n."""
    grams = ids
    for offset in range(1, n):
        pairs = grams[:, :-1] * base + ids[:, offset:]
        grams = np.unique(pairs, return_inverse=True)[1].reshape(pairs.shape)
    return grams.copy()
