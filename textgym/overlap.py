"""BLEU, chrF and ROUGE-L of single texts against their references, between 0 and 1.

On texts in languages with spaces they equal sacrebleu's ``sentence_bleu`` and ``sentence_chrf`` divided by 100 and
the F-measure of rouge-score's ``rougeL`` without stemming. In BLEU and ROUGE-L each Chinese or Japanese character
counts as a word; texts given as token sequences are taken as they are split.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from textgym.overlap_arrays import (
    LONGEST,
    PackedNGrams,
    common_length_of_one,
    common_lengths,
    count_common_ngrams,
    pack_ngrams,
)
from textgym.overlap_words import (
    Counts,
    Pair,
    Text,
    Words,
    bleu_words,
    chrf_characters,
    common_ngrams,
    count_ngrams,
    pair_up,
    rouge_words,
)

R = TypeVar("R")
P = TypeVar("P")
Lengths = tuple[int, ...]
Places = tuple[Mapping[Hashable, int], int]

_BLEU_ORDER, _CHRF_ORDER, _CHRF_BETA = 4, 6, 2
_CACHED, _PACKED = 10_000, 4_000  # prompts whose references are kept; packed, they take up to 20 kB each
_TOGETHER = 128  # texts, whose words stay in the processor's cache
_FEW = 6  # texts, which are faster one by one


def bleu(texts: Sequence[Text], references: Sequence[Sequence[Text]]) -> NDArray[np.float64]:
    """Sentence BLEU: up to 4-grams, as many orders as the text has, exponential smoothing of zero counts.

    BLEU is Papineni et al. (2002), the smoothing method 3 of Chen and Cherry (2014).

    Args:
        texts: B strings, split as sacrebleu's "13a" does, or sequences of tokens.
        references: The references of each, one or more.

    Returns:
        ``(B,)`` scores.

    Raises:
        ConfigurationError: if a text has no reference.

    Example:
        >>> bleu(["the cat sat"], [["the cat sat down", "a cat sat"]]).round(3).tolist()
        [1.0]
    """
    return _score_all(texts, references, _BLEU)


def chrf(texts: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """chrF: F-score of character n-grams up to 6, recall counting twice (beta = 2), white space left out.

    Popovic (2015). Of several references the best counts.

    Args:
        texts: B strings.
        references: The references of each, one or more.

    Returns:
        ``(B,)`` scores.

    Raises:
        ConfigurationError: if a text has no reference, or is no string.

    Example:
        >>> chrf(["was great"], [["was good"]]).round(3).tolist()
        [0.277]
    """
    return _score_all(texts, references, _CHRF)


def rouge_l(texts: Sequence[Text], references: Sequence[Sequence[Text]]) -> NDArray[np.float64]:
    """ROUGE-L: F1 of the longest common subsequence of words.

    Lin (2004). Of several references the best counts.

    Args:
        texts: B strings, of which lower-cased runs of letters a-z and digits are the words, or sequences of tokens.
        references: The references of each, one or more.

    Returns:
        ``(B,)`` scores.

    Raises:
        ConfigurationError: if a text has no reference.

    Example:
        >>> rouge_l(["the cat sat"], [["the old cat sat down"]]).tolist()
        [0.75]
    """
    return _score_all(texts, references, _ROUGE)


def _score_all(
    texts: Sequence[Text], references: Sequence[Sequence[Text]], metric: _Metric[R, P]
) -> NDArray[np.float64]:
    """Scores each different pair once: a few one by one, more in a few array operations for all of them."""
    pairs = pair_up(texts, references)
    different = list(dict.fromkeys(pairs))
    scores: dict[Pair, float] = {}
    for start in range(0, len(different), _TOGETHER):
        part = different[start : start + _TOGETHER]
        scores.update(zip(part, _score_pairs(part, metric), strict=True))
    return np.array([scores[pair] for pair in pairs], dtype=np.float64)


def _score_pairs(pairs: Sequence[Pair], metric: _Metric[R, P]) -> list[float]:
    packed = [metric.pack(given) if len(pairs) > _FEW else None for _, given in pairs]
    split = [metric.split(text) for text, _ in pairs]
    together = [row for row, one in enumerate(packed) if one is not None]
    scores = [
        metric.score(words, metric.prepare(given)) if one is None else 0.0
        for words, one, (_, given) in zip(split, packed, pairs, strict=True)
    ]
    if together:
        values = metric.score_together([split[row] for row in together], [one for one in packed if one is not None])
        for row, value in zip(together, values, strict=True):
            scores[row] = value
    return scores


# ---- BLEU ---------------------------------------------------------------------------------------------------------


@lru_cache(_CACHED)
def _bleu_counts(references: tuple[Text, ...]) -> tuple[Counts, Lengths]:
    """The highest count of each n-gram in any reference, and the lengths."""
    split = list(map(bleu_words, references))
    merged: Counts = [Counter() for _ in range(_BLEU_ORDER)]
    for reference in split:
        merged = [known | new for known, new in zip(merged, count_ngrams(reference, _BLEU_ORDER), strict=True)]
    return merged, tuple(sorted(map(len, split)))


def _bleu(words: Words, known: tuple[Counts, Lengths]) -> float:
    counts, lengths = known
    return _bleu_score(common_ngrams(count_ngrams(words, _BLEU_ORDER), counts), len(words), lengths)


@lru_cache(_PACKED)
def _bleu_packed(references: tuple[Text, ...]) -> tuple[PackedNGrams, Lengths] | None:
    split = list(map(bleu_words, references))
    packed = pack_ngrams(split, _BLEU_ORDER, merged=True)
    return None if packed is None else (packed, tuple(sorted(map(len, split))))


def _bleu_together(texts: Sequence[Words], known: Sequence[tuple[PackedNGrams, Lengths]]) -> list[float]:
    hits = count_common_ngrams(texts, [packed for packed, _ in known])[0].T.tolist()
    rows = zip(hits, texts, known, strict=True)
    return [_bleu_score(hit, len(words), lengths) for hit, words, (_, lengths) in rows]


def _bleu_score(hits: Sequence[int], length: int, lengths: Lengths) -> float:
    if not hits[0]:
        return 0.0
    total, smoothing, orders = 0.0, 1.0, min(length, _BLEU_ORDER)
    for order in range(orders):
        possible = length - order
        if not hits[order]:
            smoothing *= 2.0
        total += math.log(hits[order] / possible if hits[order] else 1.0 / (smoothing * possible))
    nearest = min(lengths, key=lambda other: abs(other - length))  # of two the shorter: they are sorted
    return math.exp(min(0.0, 1.0 - nearest / length) + total / orders)


# ---- chrF ---------------------------------------------------------------------------------------------------------


@lru_cache(_CACHED)
def _chrf_counts(references: tuple[Text, ...]) -> tuple[list[Counts], Lengths]:
    split = list(map(chrf_characters, references))
    return [count_ngrams(reference, _CHRF_ORDER) for reference in split], tuple(map(len, split))


def _chrf(characters: Words, known: tuple[list[Counts], Lengths]) -> float:
    mine = count_ngrams(characters, _CHRF_ORDER)
    return _chrf_best([common_ngrams(mine, theirs) for theirs in known[0]], len(characters), known[1])


@lru_cache(_PACKED)
def _chrf_packed(references: tuple[Text, ...]) -> tuple[PackedNGrams, Lengths] | None:
    split = list(map(chrf_characters, references))
    packed = pack_ngrams(split, _CHRF_ORDER, merged=False)
    return None if packed is None else (packed, tuple(map(len, split)))


def _chrf_together(texts: Sequence[Words], known: Sequence[tuple[PackedNGrams, Lengths]]) -> list[float]:
    hits = count_common_ngrams(texts, [packed for packed, _ in known]).transpose(2, 0, 1).tolist()
    rows = zip(hits, texts, known, strict=True)
    return [_chrf_best(hit, len(text), lengths) for hit, text, (_, lengths) in rows]


def _chrf_best(hits: Sequence[Sequence[int]], length: int, lengths: Lengths) -> float:
    return max(_chrf_score(hit, length, other) for hit, other in zip(hits, lengths, strict=False))


def _chrf_score(hits: Sequence[int], length: int, reference_length: int) -> float:
    orders = min(length, reference_length, _CHRF_ORDER)
    precision = recall = 0.0
    for order in range(orders):
        precision += hits[order] / (length - order)
        recall += hits[order] / (reference_length - order)
    if not precision:
        return 0.0
    precision, recall, weight = precision / orders, recall / orders, _CHRF_BETA**2
    return (1 + weight) * precision * recall / (weight * precision + recall)


# ---- ROUGE-L ------------------------------------------------------------------------------------------------------


@lru_cache(_CACHED)
def _rouge_places(references: tuple[Text, ...]) -> tuple[Places, ...]:
    """The places of each word as the bits of one number, and the number of words."""
    prepared = []
    for reference in map(rouge_words, references):
        places: dict[Hashable, int] = {}
        for place, word in enumerate(reference):
            places[word] = places.get(word, 0) | 1 << place
        prepared.append((places, len(reference)))
    return tuple(prepared)


def _rouge(words: Words, references: tuple[Places, ...]) -> float:
    common = (common_length_of_one(words, places, length) for places, length in references)
    return max(2 * hits / max(len(words) + length, 1) for hits, (_, length) in zip(common, references, strict=True))


@lru_cache(_CACHED)
def _rouge_packed(references: tuple[Text, ...]) -> tuple[Places, ...] | None:
    places = _rouge_places(references)
    return places if max(length for _, length in places) <= LONGEST else None


def _rouge_together(texts: Sequence[Words], known: Sequence[tuple[Places, ...]]) -> list[float]:
    written, scores = np.array([len(text) for text in texts]), np.zeros(len(texts))
    for number in range(max(map(len, known))):
        chosen = [places[number] if number < len(places) else places[0] for places in known]
        lengths = np.array([length for _, length in chosen])
        common = common_lengths(texts, [places for places, _ in chosen], lengths)
        scores = np.maximum(scores, 2 * common / np.maximum(lengths + written, 1))
    found: list[float] = scores.tolist()
    return found


@dataclass(frozen=True)
class _Metric(Generic[R, P]):
    """A measure in two forms with the same values to the last bit.

    Attributes:
        split: A text's words.
        prepare: What is kept of references for :attr:`score`.
        score: One text.
        pack: What is kept of references for :attr:`score_together`; None where they are too large for it.
        score_together: Many texts.
    """

    split: Callable[[Text], Words]
    prepare: Callable[[tuple[Text, ...]], R]
    score: Callable[[Words, R], float]
    pack: Callable[[tuple[Text, ...]], P | None]
    score_together: Callable[[Sequence[Words], Sequence[P]], Sequence[float]]


_BLEU = _Metric(bleu_words, _bleu_counts, _bleu, _bleu_packed, _bleu_together)
_CHRF = _Metric(chrf_characters, _chrf_counts, _chrf, _chrf_packed, _chrf_together)
_ROUGE = _Metric(rouge_words, _rouge_places, _rouge, _rouge_packed, _rouge_together)
