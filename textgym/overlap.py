"""BLEU, chrF and ROUGE-L of single texts against their references, between 0 and 1.

On texts in languages with spaces they equal sacrebleu's ``sentence_bleu`` and ``sentence_chrf`` divided by 100 and
the F-measure of rouge-score's ``rougeL`` without stemming. In BLEU and ROUGE-L each Chinese or Japanese character
counts as a word; texts given as token sequences are taken as they are split.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError

Text = str | Sequence[Hashable]
"""A string, or its tokens."""

R = TypeVar("R")
Words = Sequence[Hashable]  # a tuple, or a string of characters

_BLEU_ORDER, _CHRF_ORDER, _CHRF_BETA = 4, 6, 2
_CACHED = 10_000

_CJK = "\u2e80-\u2eff\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003134f"
_CJK_CHARACTER = (re.compile(f"([{_CJK}])"), r" \1 ")
_ROUGE_WORD = re.compile(f"[a-z0-9]+|[{_CJK}]")
# What the script mteval-v13a.pl splits off, as sacrebleu has it: punctuation, but no point or comma within a number.
_ENTITIES = (("<skipped>", ""), ("-\n", ""), ("\n", " "), ("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_PUNCTUATION = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


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
    return _score_all(texts, references, _bleu_words, _bleu_references, _bleu)


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
    return _score_all(texts, references, _characters, _chrf_references, _chrf)


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
    return _score_all(texts, references, _rouge_words, _rouge_references, _rouge)


def _score_all(
    texts: Sequence[Text],
    references: Sequence[Sequence[Text]],
    split: Callable[[Text], Words],
    prepare: Callable[[tuple[Words, ...]], R],
    score: Callable[[Words, R], float],
) -> NDArray[np.float64]:
    """Splits everything and scores each different pair once; ``prepare`` remembers what it makes of references."""
    if len(texts) != len(references):
        raise ConfigurationError(f"{len(texts)} texts and references for {len(references)}: expected as many of each")
    known: dict[tuple[Words, tuple[Words, ...]], float] = {}
    scores = np.empty(len(texts))
    for row, (text, given) in enumerate(zip(texts, references, strict=True)):
        if isinstance(given, str) or not len(given):
            raise ConfigurationError(f"text {row} has the references {given!r}: expected a list of one or more texts")
        pair = split(text), tuple(split(reference) for reference in given)
        if pair not in known:
            known[pair] = score(pair[0], prepare(pair[1]))
        scores[row] = known[pair]
    return scores


# ---- BLEU ---------------------------------------------------------------------------------------------------------


def _bleu_words(text: Text) -> Words:
    return _split_13a(text) if isinstance(text, str) else tuple(text)


@lru_cache(_CACHED)
def _split_13a(text: str) -> Words:
    text = text.rstrip()
    for written, meant in _ENTITIES:
        text = text.replace(written, meant)
    text = f" {text} "
    for pattern, replacement in (_CJK_CHARACTER, *_PUNCTUATION):
        text = pattern.sub(replacement, text)
    return tuple(text.split())


def _count(tokens: Sequence[Hashable], highest: int) -> list[Counter[Sequence[Hashable]]]:
    """How often each n-gram occurs, for n from 1 to ``highest``."""
    orders = range(1, highest + 1)
    return [Counter(tokens[start : start + n] for start in range(len(tokens) - n + 1)) for n in orders]


Counts = list[Counter[Sequence[Hashable]]]


@lru_cache(_CACHED)
def _bleu_references(references: tuple[Words, ...]) -> tuple[Counts, tuple[int, ...]]:
    """The highest count of each n-gram in any reference, and the lengths."""
    counts = [_count(reference, _BLEU_ORDER) for reference in references]
    merged: Counts = [Counter() for _ in range(_BLEU_ORDER)]
    for one in counts:
        merged = [known | new for known, new in zip(merged, one, strict=True)]
    return merged, tuple(sorted(len(reference) for reference in references))


def _bleu(words: Words, prepared: tuple[Counts, tuple[int, ...]]) -> float:
    references, lengths = prepared
    hits = [_matches(mine, theirs) for mine, theirs in zip(_count(words, _BLEU_ORDER), references, strict=True)]
    if not any(hits):
        return 0.0
    logarithms, smoothing = [], 1.0
    for order, hit in enumerate(hits[: len(words)]):
        total = len(words) - order
        if hit == 0:
            smoothing *= 2.0
        logarithms.append(math.log(hit / total if hit else 1.0 / (smoothing * total)))
    nearest = min(lengths, key=lambda length: abs(length - len(words)))  # of two the shorter: they are sorted
    brevity = min(0.0, 1.0 - nearest / len(words))
    return math.exp(brevity + sum(logarithms) / len(logarithms))


def _matches(mine: Counter[Sequence[Hashable]], theirs: Counter[Sequence[Hashable]]) -> int:
    return sum(min(count, theirs[ngram]) for ngram, count in mine.items() if ngram in theirs)


# ---- chrF ---------------------------------------------------------------------------------------------------------


def _characters(text: Text) -> Words:
    if not isinstance(text, str):
        raise ConfigurationError(f"chrF compares characters: expected a string, got {text!r}")
    return "".join(text.split())


@lru_cache(_CACHED)
def _chrf_references(references: tuple[Words, ...]) -> list[tuple[Counts, int]]:
    return [(_count(reference, _CHRF_ORDER), len(reference)) for reference in references]


def _chrf(characters: Words, references: list[tuple[Counts, int]]) -> float:
    mine = _count(characters, _CHRF_ORDER)
    return max(_chrf_score(mine, len(characters), theirs, length) for theirs, length in references)


def _chrf_score(mine: Counts, length: int, theirs: Counts, reference_length: int) -> float:
    orders = min(length, reference_length, _CHRF_ORDER)
    if orders < 1:
        return 0.0
    hits = [_matches(mine[order], theirs[order]) for order in range(orders)]
    precision = sum(hit / (length - order) for order, hit in enumerate(hits)) / orders
    recall = sum(hit / (reference_length - order) for order, hit in enumerate(hits)) / orders
    weight = _CHRF_BETA**2
    return (1 + weight) * precision * recall / (weight * precision + recall) if precision + recall else 0.0


# ---- ROUGE-L ------------------------------------------------------------------------------------------------------


def _rouge_words(text: Text) -> Words:
    return tuple(_ROUGE_WORD.findall(text.lower())) if isinstance(text, str) else tuple(text)


@lru_cache(_CACHED)
def _rouge_references(references: tuple[Words, ...]) -> list[tuple[dict[Hashable, int], int]]:
    """The places of each word as the bits of one number, and the number of words."""
    prepared = []
    for reference in references:
        places: dict[Hashable, int] = {}
        for place, word in enumerate(reference):
            places[word] = places.get(word, 0) | 1 << place
        prepared.append((places, len(reference)))
    return prepared


def _rouge(words: Words, references: list[tuple[dict[Hashable, int], int]]) -> float:
    return max(
        2.0 * _common_length(words, places, length) / (len(words) + length) if words and length else 0.0
        for places, length in references
    )


def _common_length(words: Words, places: dict[Hashable, int], length: int) -> int:
    """Length of the longest common subsequence, one row of the table at a time as the bits of one number.

    Hyyrö (2004), "Bit-parallel LCS-length computation revisited": a bit of ``row`` is 0 where the length grows.
    """
    full = (1 << length) - 1
    row = full
    for word in words:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & full
    return length - row.bit_count()
