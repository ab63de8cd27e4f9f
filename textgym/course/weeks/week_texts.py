"""What week 5 compares answers with: all texts of a small vocabulary, their probabilities, and exact gradients."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Texts:
    """All texts over a vocabulary, each of which ends with the end token or at the budget.

    Attributes:
        tokens: ``(L, T)`` ids, padded with V, which is no id.
        lengths: ``(L,)`` number of tokens, the end token included.
        vocab_size: V; the last id, V - 1, ends a text.
    """

    tokens: Integers
    lengths: Integers
    vocab_size: int

    @property
    def written(self) -> NDArray[np.bool_]:
        """``(L, T)`` which places are tokens and no padding."""
        return np.arange(self.tokens.shape[1]) < self.lengths[:, None]


def all_texts(vocab_size: int, most: int) -> Texts:
    """Every text of at most so many tokens, short ones first.

    Example:
        >>> all_texts(3, 2).tokens.tolist()
        [[2, 3], [0, 2], [1, 2], [0, 0], [0, 1], [1, 0], [1, 1]]
    """
    end, pad = vocab_size - 1, vocab_size
    ended = [(*words, end) for length in range(most) for words in product(range(end), repeat=length)]
    rows = ended + list(product(range(end), repeat=most))
    tokens = np.array([(*row, *[pad] * (most - len(row))) for row in rows])
    return Texts(tokens, np.array([len(row) for row in rows]), vocab_size)


def bigram_logits(table: Floats, texts: Texts) -> Floats:
    """``(L, T, V)`` the logits before each token of a policy that sees the token before.

    Args:
        table: ``(V, V)`` logits by token before; its last row, that of the end token, is for the first place.
        texts: The texts. Places of padding get the row of the first place: their logits mean nothing.
    """
    before = np.concatenate([np.full((len(texts.tokens), 1), texts.vocab_size - 1), texts.tokens[:, :-1]], axis=1)
    return table[np.minimum(before, texts.vocab_size - 1)]


def softmax(logits: Floats) -> Floats:
    """Probabilities over the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def text_log_probs(logits: Floats, texts: Texts) -> Floats:
    """``(L,)`` the log-probability of each text, its end token included and padding left out."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    ids = np.minimum(texts.tokens, texts.vocab_size - 1)[..., None]
    logs = np.take_along_axis(shifted, ids, axis=-1)[..., 0] - np.log(np.exp(shifted).sum(axis=-1))
    return np.asarray(np.where(texts.written, logs, 0.0).sum(axis=1))


def gradient(logits: Floats, texts: Texts, gains: Floats) -> Floats:
    """``(L, T, V)`` the gradient of ``mean(gains * log-probability)`` with respect to the logits.

    Williams (1992), "Simple statistical gradient-following algorithms": the one-hot token minus the probabilities.
    """
    hot = texts.tokens[..., None] == np.arange(texts.vocab_size)
    slopes = (hot - softmax(logits)) * gains[:, None, None] / len(gains)
    return np.where(texts.written[..., None], slopes, 0.0)


def gather(slopes: Floats, texts: Texts) -> Floats:
    """``(V, V)`` what a gradient with respect to the logits ``(L, T, V)`` says of a bigram policy's table."""
    before = np.concatenate([np.full((len(texts.tokens), 1), texts.vocab_size - 1), texts.tokens[:, :-1]], axis=1)
    table = np.zeros((texts.vocab_size, texts.vocab_size))
    np.add.at(table, np.minimum(before, texts.vocab_size - 1), slopes)
    return table


def divergence(policy: Floats, reference: Floats) -> float:
    """``KL(policy || reference)`` of two distributions over texts, from their log-probabilities ``(L,)``."""
    return float(np.exp(policy) @ (policy - reference))
