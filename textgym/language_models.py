"""Language models: distributions over the next token, to measure fluency with and to hold agents against.

They read the rows of the "tokens" observation: the prompt right-aligned, then the completion, the pad id V
everywhere else. So an agent with ``log_probs(observations, action_masks)`` is a language model too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError
from textgym.huggingface_models import HuggingFaceLanguageModel

__all__ = ["HuggingFaceLanguageModel", "LanguageModel", "NGramLanguageModel", "renormalize", "text_log_probs"]

FORMAT = "textgym n-gram language model 1"

_MOST_CELLS = 2**22  # of the tables (rows, V) that text_log_probs asks for at a time: 32 MiB

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Tokens = NDArray[np.int32]


@runtime_checkable
class LanguageModel(Protocol):
    """A distribution over the token that comes next.

    A model that scores whole texts faster than token by token may offer ``chosen_log_probs(batch) -> (B, T)``, the
    log-probability of each token, or ``text_log_probs(batch) -> (B,)``, their sum, which serves outside conversations.
    """

    def log_probs(self, tokens: Any, action_masks: Mask | None = None) -> Floats:
        """Log-probabilities of the token after the last id that is not the pad id.

        Args:
            tokens: ``(B, W)`` ids; the pad id V before the prompt and after the text.
            action_masks: ``(B, V)``; the distribution is then the one over the legal ids.

        Returns:
            ``(B, V)`` natural logarithms, minus infinity for illegal ids.
        """
        ...


def text_log_probs(model: LanguageModel, batch: EpisodeBatch) -> Floats:
    """``(B,)`` log-probability of what the agent wrote in each completion, end ids included.

    In conversations the partner's tokens are read, not counted.

    Raises:
        ConfigurationError: if the model's vocabulary has another size, or what it returns are no log-probabilities.
    """
    totals, vocab_size = np.zeros(len(batch)), batch.tokenizer.vocab_size
    size = getattr(model, "vocab_size", vocab_size)
    if size != vocab_size:
        raise ConfigurationError(
            f"the language model has {size} ids, the texts come from {vocab_size}: they must share them"
        )
    if (fast := _in_one_pass(model, batch)) is not None:
        return fast
    for position in range(int(batch.lengths.max(initial=0))):
        column = batch.prompts.width + position
        counted = batch.lengths > position
        if batch.is_agent is not None:
            counted = counted & batch.is_agent[:, position]
        rows = np.flatnonzero(counted)
        prefixes, targets = batch.tokens[rows], batch.tokens[rows, column]
        prefixes[:, column:] = vocab_size  # in full width, as agents know it
        for chunk in _chunks(len(rows), max(1, _MOST_CELLS // vocab_size)):
            log_probs = np.asarray(model.log_probs(prefixes[chunk]), dtype=np.float64)
            check_log_probs(log_probs, (len(prefixes[chunk]), vocab_size))
            totals[rows[chunk]] += log_probs[np.arange(len(log_probs)), targets[chunk]]
    return totals


def _in_one_pass(model: Any, batch: EpisodeBatch) -> Floats | None:
    """The same from a model that offers it; ``text_log_probs`` alone cannot tell the sides of a conversation apart."""
    if hasattr(model, "chosen_log_probs"):
        chosen = np.asarray(model.chosen_log_probs(batch), dtype=np.float64)
        check_log_probs(chosen, batch.completion_ids.shape)
        totals: Floats = (chosen if batch.is_agent is None else np.where(batch.is_agent, chosen, 0.0)).sum(axis=1)
        return totals
    if batch.is_agent is None and hasattr(model, "text_log_probs"):
        totals = np.asarray(model.text_log_probs(batch), dtype=np.float64)
        check_log_probs(totals, (len(batch),))
        return totals
    return None


def check_log_probs(log_probs: Floats, shape: tuple[int, ...]) -> None:
    """Raises ConfigurationError for another shape and for NaN; minus infinity may be."""
    if log_probs.shape != shape:
        raise ConfigurationError(f"a language model returned the shape {log_probs.shape}; expected {shape}")
    if np.isnan(log_probs.sum()):
        raise ConfigurationError("a language model returned log-probabilities that are not numbers (NaN)")


def renormalize(log_probs: Floats, action_masks: Mask) -> Floats:
    """The distribution over the legal ids alone; uniform over them if none had any probability.

    Example:
        >>> np.exp(renormalize(np.log([[0.2, 0.3, 0.5]]), np.array([[True, True, False]]))).round(3).tolist()
        [[0.4, 0.6, 0.0]]
    """
    legal = np.where(action_masks, log_probs, -np.inf)
    highest = legal.max(axis=1, keepdims=True)
    legal = np.where(action_masks & np.isneginf(highest), 0.0, legal)
    highest = np.where(np.isneginf(highest), 0.0, highest)
    return legal - (highest + np.log(np.exp(legal - highest).sum(axis=1, keepdims=True)))


@dataclass(frozen=True, eq=False)
class NGramLanguageModel:
    """Counts of n-grams, interpolated by the rule of Witten and Bell.

    After a history h that was followed by T(h) different ids in c(h) places, an id w has probability
    ``(c(h w) + T(h) p(w | h')) / (c(h) + T(h))``, where h' is h without its first id; below single ids stands
    the uniform distribution, so every id has some probability. (Method C of Witten and Bell, 1991, in the
    recursive form of Chen and Goodman, 1998, section 2.6.)

    Attributes:
        vocab_size: V; the id V in a history stands for the place before the prompt.
        ngrams: ``(E, n)`` different n-grams: n - 1 ids of history, then the id that followed.
        counts: ``(E,)`` how often each was seen.

    Example:
        >>> model = NGramLanguageModel.fit([[0, 1], [0, 1], [0, 2]], vocab_size=3, order=2)
        >>> np.exp(model.log_probs(np.array([[3, 0]]))).round(3).tolist()  # after id 0
        [[0.178, 0.533, 0.289]]
    """

    vocab_size: int
    ngrams: Tokens
    counts: NDArray[np.int64]

    @classmethod
    def fit(
        cls,
        texts: Sequence[Sequence[int]],
        *,
        vocab_size: int,
        order: int = 3,
        contexts: Sequence[Sequence[int]] | None = None,
    ) -> NGramLanguageModel:
        """Counts the n-grams of texts.

        Args:
            texts: Completions as ids, end ids included.
            vocab_size: V.
            order: n, the longest n-gram; 1 or more.
            contexts: The prompt that stands before each text, as ids (left padding with V does no harm); its
                own tokens are not learned.

        Raises:
            ConfigurationError: without any token, with ids outside the vocabulary, or other than one context a text.
        """
        if isinstance(order, bool) or not isinstance(order, int) or order < 1:
            raise ConfigurationError(f"order={order!r}: expected a whole number of at least 1")
        contexts = [()] * len(texts) if contexts is None else contexts
        if len(contexts) != len(texts):
            raise ConfigurationError(f"{len(texts)} texts and {len(contexts)} contexts: expected as many of each")
        before = [vocab_size] * (order - 1)
        windows = []
        for context, text in zip(contexts, texts, strict=True):
            path = [*before, *context, *text]
            windows += [path[end - order : end] for end in range(len(path) - len(text) + 1, len(path) + 1)]
        if not windows:
            raise ConfigurationError("the texts have no tokens: expected at least one")
        array = np.array(windows, dtype=np.int64)
        if (array < 0).any() or (array > vocab_size).any() or (array[:, -1] == vocab_size).any():
            raise ConfigurationError(f"the texts hold ids outside the vocabulary: expected 0 to {vocab_size - 1}")
        ngrams, counts = np.unique(array, axis=0, return_counts=True)
        return cls(vocab_size, ngrams.astype(np.int32), counts.astype(np.int64))

    @property
    def order(self) -> int:
        """n, the length of the longest n-gram."""
        return self.ngrams.shape[1]

    def log_probs(self, tokens: Any, action_masks: Mask | None = None) -> Floats:
        """See :meth:`LanguageModel.log_probs`.

        Raises:
            ConfigurationError: for ids outside the vocabulary.
        """
        self._check_ids(np.asarray(tokens))
        histories, inverse = np.unique(self._histories(np.asarray(tokens)), axis=0, return_inverse=True)
        log_probs = np.log(self._probabilities(histories))[inverse.reshape(-1)]
        return log_probs if action_masks is None else renormalize(log_probs, action_masks)

    def _check_ids(self, tokens: Tokens) -> None:
        low, high = int(tokens.min(initial=0)), int(tokens.max(initial=0))
        if low < 0 or high > self.vocab_size:
            raise ConfigurationError(
                f"id {low if low < 0 else high}: the model was fitted on the ids 0 to {self.vocab_size - 1}, and "
                f"{self.vocab_size} is the padding; ask it about texts of the tokenizer that it was fitted with"
            )

    def _histories(self, tokens: Tokens) -> Tokens:
        """``(B, n - 1)`` the last ids of each row, V before its first."""
        padded = np.hstack([np.full((len(tokens), self.order - 1), self.vocab_size, dtype=tokens.dtype), tokens])
        ends = _ends(padded, self.vocab_size, least=self.order - 1)
        return np.take_along_axis(padded, ends[:, None] + np.arange(1 - self.order, 0), axis=1)

    def _probabilities(self, histories: Tokens) -> Floats:
        """``(H, V)`` by interpolation, from the uniform distribution up to the whole history."""
        result = np.full((len(histories), self.vocab_size), 1.0 / self.vocab_size)
        for table in self._tables:
            known = [table.slices.get(key) for key in _keys(histories[:, self.order - 1 - table.length :])]
            rows = np.array([row for row, found in enumerate(known) if found], dtype=np.int64)
            spans = np.array([found for found in known if found], dtype=np.int64).reshape(-1, 2)
            sizes = spans[:, 1] - spans[:, 0]
            entries = np.arange(sizes.sum()) + np.repeat(spans[:, 0] - (np.cumsum(sizes) - sizes), sizes)
            owners = np.repeat(np.arange(len(rows)), sizes)
            totals = np.bincount(owners, table.counts[entries], minlength=len(rows)) + sizes
            result[rows] *= (sizes / totals)[:, None]
            result[rows[owners], table.words[entries]] += table.counts[entries] / totals[owners]
        return result

    @cached_property
    def _tables(self) -> list[_Table]:
        """What followed histories of length 0, 1, ..., n - 1: the last follows from ``ngrams``, the others from it."""
        return [_Table.of(self.ngrams[:, self.order - 1 - length :], self.counts) for length in range(self.order)]

    def __deepcopy__(self, memo: dict[int, Any]) -> NGramLanguageModel:
        return self

    def save(self, path: str | Path) -> None:
        """Writes safetensors."""
        from safetensors.numpy import save

        card = json.dumps({"format": FORMAT, "vocab_size": self.vocab_size})
        Path(path).write_bytes(save({"ngrams": self.ngrams, "counts": self.counts}, metadata={"card": card}))

    @classmethod
    def load(cls, path: str | Path) -> NGramLanguageModel:
        """Reads what :meth:`save` wrote.

        Raises:
            ConfigurationError: if the file is not such a model.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="numpy") as file:
                card = json.loads((file.metadata() or {}).get("card", "{}"))
                if not isinstance(card, dict) or card.get("format") != FORMAT:
                    raise ConfigurationError(
                        f"{str(path)!r} is no n-gram language model: expected the format {FORMAT!r}"
                    )
                return cls(card["vocab_size"], file.get_tensor("ngrams"), file.get_tensor("counts"))
        except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
            raise ConfigurationError(f"{str(path)!r} cannot be read as safetensors ({error})") from error


@dataclass(frozen=True)
class _Table:
    """The ids that followed each history of one length; those of a history stand together."""

    length: int
    slices: dict[bytes, tuple[int, int]]
    words: Tokens
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, ngrams: Tokens, counts: NDArray[np.int64]) -> _Table:
        """Adds up the counts of equal rows."""
        unique, inverse = np.unique(ngrams, axis=0, return_inverse=True)
        sums = np.zeros(len(unique), dtype=np.int64)
        np.add.at(sums, inverse.reshape(-1), counts)
        histories = unique[:, :-1]
        starts = np.flatnonzero(np.append(True, (histories[1:] != histories[:-1]).any(axis=1)))
        spans = zip(starts.tolist(), [*starts[1:].tolist(), len(unique)], strict=True)
        return cls(histories.shape[1], dict(zip(_keys(histories[starts]), spans, strict=True)), unique[:, -1], sums)


def _keys(histories: Tokens) -> list[bytes]:
    return [history.tobytes() for history in np.ascontiguousarray(histories, dtype=np.int32)]


def _ends(tokens: Tokens, vocab_size: int, *, least: int) -> NDArray[np.int64]:
    """``(B,)`` the place after the last id of each row, ``least`` for a row without any."""
    written = tokens[:, ::-1] != vocab_size
    return np.maximum(np.where(written.any(axis=1), tokens.shape[1] - written.argmax(axis=1), 0), least)


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
