"""Constraints: rules on which ids an agent may write next. They compose by logical and.

A constraint is called with the completions so far and returns a mask. One whose mask depends on
nothing but the vocabulary says ``static = True`` and is asked once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from textgym.errors import TaskError, suggestion
from textgym.tokenizers import Tokenizer

Mask = NDArray[np.bool_]


class Constraint(Protocol):
    """A rule on the next token."""

    @property
    def static(self) -> bool:
        """Whether the mask is the same for every text."""
        ...

    def __call__(self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> Mask:
        """Returns ``(B, V)``, True where an id may come next.

        Args:
            tokenizer: The vocabulary.
            completions: ``(B, T)`` ids so far, padded with V.
            lengths: ``(B,)`` number of ids so far.
        """
        ...


@dataclass(frozen=True)
class Lexicon:
    """Only these tokens, and the end of the text, may be written.

    Attributes:
        words: The tokens as the tokenizer spells them.
    """

    words: tuple[str, ...]
    static: ClassVar[bool] = True

    def __call__(self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> Mask:
        """The same row for every text."""
        ids = {token: index for index, token in enumerate(tokenizer.tokens)}
        row = np.zeros(tokenizer.vocab_size, dtype=bool)
        for word in self.words:
            if word not in ids:
                raise TaskError(f"the lexicon's word {word!r} is not in the vocabulary.{suggestion(word, ids)}")
            row[ids[word]] = True
        row[list(tokenizer.eos_ids)] = True
        return np.repeat(row[None], len(completions), axis=0)


@dataclass(frozen=True)
class MinLength:
    """The text may not end before it has ``tokens`` tokens."""

    tokens: int
    static: ClassVar[bool] = False

    def __call__(self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> Mask:
        """Forbids the end ids in short texts."""
        mask = np.ones((len(completions), tokenizer.vocab_size), dtype=bool)
        mask[np.ix_(lengths < self.tokens, np.array(tokenizer.eos_ids))] = False
        return mask


@dataclass(frozen=True)
class NoRepeat:
    """No token may be written twice in one text."""

    static: ClassVar[bool] = False

    def __call__(self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> Mask:
        """Forbids every id that the text has already."""
        mask = np.ones((len(completions), tokenizer.vocab_size + 1), dtype=bool)
        mask[np.arange(len(completions))[:, None], completions] = False
        return mask[:, :-1]
