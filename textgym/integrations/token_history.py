"""What was said so far, as token ids: the last ones that fit, right-aligned, and the utterance being written."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError, TokenizerError, unknown_name
from textgym.tokenizers import Tokenizer

UNKNOWN = ("warn", "keep", "error")


class TokenHistory:
    """A row of ids in the layout of textgym's own observations: what was said, then what is being written.

    Text is encoded once, when it arrives, and what the agent wrote stays the ids that it wrote.

    Args:
        tokenizer: The vocabulary.
        context_tokens: P, the newest ids of what was said that stay visible.
        max_new_tokens: T, room for the utterance.
        keep: False forgets all but the newest text.
        unknown: What to do with text outside the vocabulary: show ``<unk>`` and "warn" once, "keep" quiet, or raise
            an "error".

    Attributes:
        row: ``(P + T,)`` int32, padded with V.
        utterance: The ids of the utterance being written.
        unknown_tokens: How many tokens were outside the vocabulary so far.
    """

    def __init__(
        self, tokenizer: Tokenizer, context_tokens: int, max_new_tokens: int, *, keep: bool, unknown: str
    ) -> None:
        for name, value in (("context_tokens", context_tokens), ("max_new_tokens", max_new_tokens)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{name}={value!r}: expected a whole number of at least 1")
        if unknown not in UNKNOWN:
            raise unknown_name("way to treat text outside the vocabulary, unknown=", unknown, UNKNOWN)
        self.tokenizer = tokenizer
        self.width, self.room = context_tokens, max_new_tokens
        self.row: NDArray[np.int32] = np.full(context_tokens + max_new_tokens, tokenizer.vocab_size, dtype=np.int32)
        self.utterance: list[int] = []
        self.unknown_tokens = 0
        self._keep, self._unknown = keep, unknown
        self._said: list[int] = []
        self._lost = 0

    def clear(self) -> None:
        """Forgets everything: a new episode."""
        self._said, self.utterance, self._lost = [], [], 0

    def write(self, token: int) -> None:
        """Appends an id to the utterance."""
        self.row[self.width + len(self.utterance)] = token
        self.utterance.append(token)

    def hear(self, text: str, *, end: list[int]) -> None:
        """Closes the utterance with the ids ``end`` (its end token, or nothing) and appends a text."""
        heard = self._encode(text)
        said = [*self._said, *self.utterance, *end, *heard] if self._keep else heard
        self._lost = max(0, len(said) - self.width) + (self._lost if self._keep else 0)
        self._said, self.utterance = said[-self.width :], []
        self.row[:] = self.tokenizer.vocab_size
        self.row[self.width - len(self._said) : self.width] = self._said

    @property
    def lost_tokens(self) -> int:
        """How many ids of what was said do not fit into the context any more."""
        return self._lost

    def _encode(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text)
        unknown = 0 if self.tokenizer.unk_id is None else ids.count(self.tokenizer.unk_id)
        if unknown and self._unknown == "error":
            raise TokenizerError(
                f"{unknown} of {len(ids)} tokens of the text {text[:80]!r} are outside the vocabulary of "
                f"{self.tokenizer!r}; add them, or let unknown= be 'warn' or 'keep'"
            )
        if unknown and self._unknown == "warn" and not self.unknown_tokens:
            warnings.warn(
                f"{unknown} of {len(ids)} tokens of the text {text[:80]!r} are outside the vocabulary and appear as "
                "<unk>; unknown='keep' keeps quiet about it, and unknown_tokens counts them",
                stacklevel=2,
            )
        self.unknown_tokens += unknown
        return ids
