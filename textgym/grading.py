"""Grading: rewards on token ids that compare a text with the references of its prompt, a whole batch at a time.

The references are encoded once for each prompt table. :class:`Bleu` and :class:`RougeL` equal :mod:`textgym.overlap`'s
functions on the same words to rounding; here a batch costs a few array operations, whatever its size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import RewardError
from textgym.overlap_arrays import LONGEST, common_length
from textgym.scoring import add_in_order

Ids = NDArray[np.int32]
Counts = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_ORDERS = 4  # of BLEU
_NOTHING = -1  # stands where a reference has no word; no id is negative
_LOG = np.log(np.maximum(np.arange(4096), 1)).astype(np.float64)  # looked up, so that a batch of one has the same bits


@dataclass(frozen=True, eq=False)
class References:
    """The encoded references of N prompts, up to K each.

    Attributes:
        ids: ``(N, K, L)`` words, ``-1`` where there is none.
        lengths: ``(N, K)`` number of words; a missing reference repeats the first.
    """

    ids: Ids
    lengths: Counts


def encode_references(batch: EpisodeBatch) -> References:
    """Encodes the references of all prompts of the batch's table.

    Raises:
        RewardError: if a prompt has none.
    """
    rows = []
    for text, references in zip(batch.prompts.texts, batch.prompts.references, strict=True):
        if not references:
            raise RewardError(f"the prompt {text!r} has no reference to compare with; give every prompt at least one")
        rows.append([batch.tokenizer.encode(reference) for reference in references])
    most, longest = max(map(len, rows)), max(1, *(len(ids) for row in rows for ids in row))
    table = np.full((len(rows), most, longest), _NOTHING, dtype=np.int32)
    lengths = np.zeros((len(rows), most), dtype=np.int64)
    for index, row in enumerate(rows):
        for place, ids in enumerate([*row, *[row[0]] * (most - len(row))]):
            table[index, place, : len(ids)] = ids
            lengths[index, place] = len(ids)
    return References(table, lengths)


def read_words(batch: EpisodeBatch) -> tuple[Ids, Counts]:
    """The ids ``(B, T)`` with ``-2`` in place of end ids and padding, and the number of words ``(B,)``."""
    written = batch.completion_ids
    is_word = written < batch.tokenizer.vocab_size
    for end in batch.tokenizer.eos_ids:
        is_word &= written != end
    return np.where(is_word, written, np.int32(-2)), is_word.sum(axis=1)


@dataclass(frozen=True)
class Grade:
    """What the rewards of this module share: the encoded references of the latest prompt table, kept."""

    range = (0.0, 1.0)
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def _known(self, batch: EpisodeBatch) -> Any:
        if self._cache.get("prompts") is not batch.prompts or self._cache.get("tokenizer") is not batch.tokenizer:
            self._cache["known"] = self._prepare(batch)
            self._cache.update(prompts=batch.prompts, tokenizer=batch.tokenizer)
        return self._cache["known"]

    def _prepare(self, batch: EpisodeBatch) -> Any:
        return encode_references(batch)

    def __getstate__(self) -> dict[str, Any]:
        return {"_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Grade:
        return self


@dataclass(frozen=True)
class Labels(Grade):
    """The share of the first reference's words that stand where they should: of labels, the right ones."""

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts."""
        batch = batch.local()
        known, (written, _) = self._known(batch), read_words(batch)
        wanted = known.ids[batch.prompt_indices, 0]
        width = min(wanted.shape[1], written.shape[1])
        right = (written[:, :width] == wanted[:, :width]).sum(axis=1)
        return np.asarray(right / np.maximum(known.lengths[batch.prompt_indices, 0], 1), dtype=np.float64)


@dataclass(frozen=True)
class Match(Grade):
    """1 where the text's words are those of one of the references, else 0."""

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """1 for success, else 0."""
        batch = batch.local()
        known, (written, count) = self._known(batch), read_words(batch)
        wanted, lengths = known.ids[batch.prompt_indices], known.lengths[batch.prompt_indices]
        width = min(wanted.shape[2], written.shape[1])
        same = (written[:, None, :width] == wanted[:, :, :width]).sum(axis=2)
        return ((same == lengths) & (lengths == count[:, None])).any(axis=1).astype(np.float64)


@dataclass(frozen=True)
class TokenF1(Grade):
    """F1 of the words in any order, each counted as often as it occurs; the best over the references.

    The measure of Rajpurkar et al. (2016), "SQuAD", on tokens as they are.
    """

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts."""
        batch = batch.local()
        known, (written, count) = self._known(batch), read_words(batch)
        wanted, lengths = known.ids[batch.prompt_indices], known.lengths[batch.prompt_indices]
        found = (written[:, :, None, None] == wanted[:, None]).sum(axis=3)  # (B, T, K)
        hits = (_earlier(_same_as(written))[:, :, None] < found).sum(axis=1)
        both = np.maximum(lengths + count[:, None], 1)
        return np.asarray((2 * hits / both).max(axis=1), dtype=np.float64)


def _same_as(written: Ids) -> Bools:
    """``(B, T, T)`` which words of a text are alike."""
    return written[:, :, None] == written[:, None, :]


def _earlier(alike: Bools) -> Counts:
    """``(B, T)`` how often what stands at each place stands before it, too."""
    return np.asarray((alike & np.tri(alike.shape[1], k=-1, dtype=bool)).sum(axis=2))


@dataclass(frozen=True)
class Bleu(Grade):
    """Sentence BLEU of the words against all references; :func:`textgym.overlap.bleu` has the formula.

    Most texts of an agent that knows little share few words with a reference: those without any earn 0 at once, and
    longer n-grams are looked for only where there are two.
    """

    def _prepare(self, batch: EpisodeBatch) -> tuple[References, Counts]:
        """The references, and ``(N, V + 1)`` how often each word is in the reference that has most of it."""
        known = encode_references(batch)
        counts = np.zeros((*known.lengths.shape, batch.tokenizer.vocab_size + 1), dtype=np.int64)
        prompt, one, place = np.nonzero(known.ids >= 0)
        np.add.at(counts, (prompt, one, known.ids[prompt, one, place]), 1)
        return known, counts.max(axis=1)

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts."""
        batch = batch.local()
        (known, most), (written, count) = self._known(batch), read_words(batch)
        scores = np.zeros(len(batch))
        allowed = most[batch.prompt_indices[:, None], np.where(written < 0, batch.tokenizer.vocab_size, written)]
        rows = allowed.any(axis=1).nonzero()[0]
        if rows.size:
            written, count, prompts = written[rows], count[rows], batch.prompt_indices[rows]
            hits = _count_hits(written, allowed[rows], known.ids, prompts)
            scores[rows] = _bleu(hits, count, known.lengths[prompts])
        return scores


def _count_hits(written: Ids, allowed: Counts, references: Ids, prompts: Counts) -> Counts:
    """``(4, B)`` n-grams that are in a reference, each no more often than in the reference with most of it.

    Args:
        written: ``(B, T)`` words.
        allowed: ``(B, T)`` how often a reference has the word that stands there.
        references: ``(N, K, L)`` words of all references.
        prompts: ``(B,)`` the prompt of each text.
    """
    alike = words = _same_as(written)
    hits = np.zeros((_ORDERS, len(written)), dtype=np.int64)
    hits[0] = (_earlier(alike) < allowed).sum(axis=1)
    rows = (hits[0] > 1).nonzero()[0]
    alike = words = words[rows]
    matches = same = written[rows, :, None, None] == references[prompts[rows]][:, None]  # (B, T, K, L)
    for order in range(1, min(_ORDERS, written.shape[1], references.shape[2])):
        matches = matches[:, :-1, :, :-1] & same[:, order:, :, order:]
        alike = alike[:, :-1, :-1] & words[:, order:, order:]
        if not matches.any():
            break
        hits[order, rows] = (_earlier(alike) < matches.sum(axis=3).max(axis=2)).sum(axis=1)
    return hits


def _bleu(hits: Counts, count: Counts, lengths: Counts) -> Floats:
    """BLEU of texts with at least one right word; ``hits`` is ``(4, B)``, ``lengths`` ``(B, K)``."""
    possible = np.maximum(count - np.arange(_ORDERS)[:, None], 0)
    missed = (hits == 0) & (possible > 0)
    smoothing = np.add.accumulate(missed, axis=0, dtype=np.float64) * _LOG[2]
    precisions = np.where(missed, -smoothing, _LOG[hits]) - _LOG[possible]  # 0 where there are no n-grams
    total = add_in_order(precisions)
    gaps = 2 * np.abs(lengths - count[:, None]) + (lengths > count[:, None])  # of two as near the shorter
    nearest = lengths[np.arange(len(count)), gaps.argmin(axis=1)]
    return np.asarray(np.exp(np.minimum(0.0, 1.0 - nearest / count) + total / np.minimum(count, _ORDERS)))


@dataclass(frozen=True)
class RougeL(Grade):
    """ROUGE-L: F1 of the longest common subsequence of words; the best over the references, of up to 63 words."""

    def _prepare(self, batch: EpisodeBatch) -> tuple[NDArray[np.uint64], Counts]:
        """``(N, K, V + 1)`` the places of each word as bits, and the lengths."""
        known = encode_references(batch)
        if known.ids.shape[2] > LONGEST:
            raise RewardError(f"a reference has {known.ids.shape[2]} words; RougeL takes up to {LONGEST}")
        bits = np.zeros((*known.lengths.shape, batch.tokenizer.vocab_size + 1), dtype=np.uint64)
        for prompt, one, place in zip(*np.nonzero(known.ids >= 0), strict=True):
            bits[prompt, one, known.ids[prompt, one, place]] |= np.uint64(1 << int(place))
        return bits, known.lengths

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts."""
        batch = batch.local()
        (bits, lengths), (written, count) = self._known(batch), read_words(batch)
        places = np.where(written < 0, batch.tokenizer.vocab_size, written)
        scores = np.zeros(len(batch))
        for one in range(lengths.shape[1]):
            length = lengths[batch.prompt_indices, one]
            common = common_length(bits[batch.prompt_indices[:, None], one, places], length)
            scores = np.maximum(scores, 2 * common / np.maximum(length + count, 1))
        return scores
