"""Splitting texts as the reference packages of BLEU, chrF and ROUGE-L split them, and counting their n-grams."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import lru_cache
from itertools import chain

from textgym.errors import ConfigurationError

Text = str | Sequence[Hashable]
"""A string, or its tokens."""

Words = Sequence[Hashable]  # a tuple, or a string of characters
Pair = tuple[Text, tuple[Text, ...]]
Counts = list[Counter[Sequence[Hashable]]]

_CACHED = 10_000
_FIXED = frozenset((str, tuple))
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


def pair_up(texts: Sequence[Text], references: Sequence[Sequence[Text]]) -> list[Pair]:
    """Each text with its references, as strings and tuples.

    Raises:
        ConfigurationError: if a text has no reference, or there are more of one than of the other.
    """
    if len(texts) != len(references):
        raise ConfigurationError(f"{len(texts)} texts and references for {len(references)}: expected as many of each")
    every = chain(texts, chain.from_iterable(references))
    if _FIXED.issuperset(map(type, every)) and set(map(type, references)) <= {tuple} and all(references):
        return list(zip(texts, references, strict=True))  # type: ignore[arg-type]  # nothing to do
    for row, given in enumerate(references):
        if isinstance(given, str) or not len(given):
            raise ConfigurationError(f"text {row} has the references {given!r}: expected a list of one or more texts")
    return [(_fixed(text), tuple(map(_fixed, given))) for text, given in zip(texts, references, strict=True)]


def _fixed(text: Text) -> str | tuple[Hashable, ...]:
    return text if isinstance(text, str | tuple) else tuple(text)


def bleu_words(text: Text) -> Words:
    """The words of a string as sacrebleu's "13a" has them, each Chinese or Japanese character one of its own.

    Example:
        >>> bleu_words("It cost $5, or 3.50.")
        ('It', 'cost', '$', '5', ',', 'or', '3.50', '.')
    """
    if not isinstance(text, str):
        return tuple(text)
    return tuple(text.split()) if _is_plain(text) else _split_13a(text)


def _is_plain(text: str) -> bool:
    """Whether a text holds letters a-z, digits and blanks alone, as most do, and needs no rule."""
    return text.isascii() and text.replace(" ", "").isalnum()


@lru_cache(_CACHED)
def _split_13a(text: str) -> Words:
    text = text.rstrip()
    for written, meant in _ENTITIES:
        text = text.replace(written, meant)
    text = f" {text} "
    for pattern, replacement in (_CJK_CHARACTER, *_PUNCTUATION):
        text = pattern.sub(replacement, text)
    return tuple(text.split())


def chrf_characters(text: Text) -> Words:
    """The characters of a string, white space left out.

    Raises:
        ConfigurationError: for what is no string.
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"chrF compares characters: expected a string, got {text!r}")
    return "".join(text.split())


def rouge_words(text: Text) -> Words:
    """The lower-cased runs of letters a-z and digits of a string, and its Chinese and Japanese characters.

    Example:
        >>> rouge_words("It's fine.")
        ['it', 's', 'fine']
    """
    if not isinstance(text, str):
        return tuple(text)
    text = text.lower()
    return text.split() if _is_plain(text) else _ROUGE_WORD.findall(text)


def count_ngrams(words: Words, orders: int) -> Counts:
    """How often each n-gram occurs, for n from 1 to ``orders``."""
    sizes = range(1, orders + 1)
    return [Counter(words[start : start + n] for start in range(len(words) - n + 1)) for n in sizes]


def common_ngrams(mine: Counts, theirs: Counts) -> list[int]:
    """For each n how many n-grams are in both, each as often as in the one with fewer of it."""
    pairs = zip(mine, theirs, strict=True)
    return [sum(min(count, other[gram]) for gram, count in one.items() if gram in other) for one, other in pairs]
