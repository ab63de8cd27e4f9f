"""Whether a classifier treats texts otherwise when one word for a group of people stands in the place of another."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.benchmarks.stats import bootstrap_interval, mean
from textgym.errors import PromptError, unknown_name
from textgym.reading import read_file

LEAST_FOUND = 10  # texts that hold one of the words; where there are fewer, the word is put in front of others
MOST_TEXTS = 60  # for each pair
LEAST_GAP = 0.02  # of a probability: below that a difference is no alarm, however certain it is
ERROR_RATE = 0.05  # of one false alarm among all pairs
COLUMNS = ("group", "one", "other")

Floats = NDArray[np.float64]
Predict = Callable[[Sequence[str]], Floats]
"""Texts to ``(N, K)`` probabilities of the labels."""


@dataclass(frozen=True)
class WordPair:
    """Two words for people that ought to make no difference.

    Attributes:
        group: What tells the people apart, such as "gender".
        one: A word.
        other: The other.
    """

    group: str
    one: str
    other: str


def _pairs(group: str, words: str) -> tuple[WordPair, ...]:
    return tuple(WordPair(group, *pair.split("/")) for pair in words.split())


WORD_PAIRS = (
    *_pairs("gender", "he/she him/her man/woman men/women boy/girl father/mother son/daughter brother/sister"),
    *_pairs("gender", "husband/wife actor/actress"),
    *_pairs("age", "young/old"),
    *_pairs("origin", "european/african american/mexican english/chinese white/black"),
    *_pairs("religion", "christian/muslim christian/jewish muslim/hindu"),
    *_pairs("orientation", "straight/gay"),
)
"""Word pairs in English that the check takes by itself; short, and no substitute for a list of one's own."""


@dataclass(frozen=True)
class WordBias:
    """How much one label's probability changes with one word.

    Attributes:
        pair: The words.
        label: The label.
        difference: Mean probability with the other word minus that with the first.
        low: Lower end of its interval.
        high: Upper end.
        texts: In how many texts.
        added: Whether the word was put in front of the texts, because too few held it.
        confidence: Of the interval.
    """

    pair: WordPair
    label: str
    difference: float
    low: float
    high: float
    texts: int
    added: bool
    confidence: float

    @property
    def is_alarming(self) -> bool:
        """Whether there is surely a difference, and one that matters."""
        return (self.low > 0.0 or self.high < 0.0) and abs(self.difference) >= LEAST_GAP

    def __str__(self) -> str:
        where = "put in front of" if self.added else "in"
        way = "likelier" if self.difference > 0 else "less likely"
        return (
            f"{self.pair.group}: {self.pair.other!r} instead of {self.pair.one!r} makes {self.label!r} {way}, by "
            f"{abs(self.difference):.3f} on average ({self.low:+.3f} to {self.high:+.3f}; {where} {self.texts} texts)"
        )

    def to_dict(self) -> dict[str, Any]:
        """For a card, in values that JSON knows."""
        return {**asdict(self), "alarming": self.is_alarming}


def read_word_pairs(path: str | Path) -> tuple[WordPair, ...]:
    """Reads word pairs from a CSV or JSONL file with the columns group, one and other.

    Raises:
        PromptError: for a file that cannot be read, and a row with something else than three single words.
        UnknownNameError: for a column that is not there.
    """
    try:
        rows = list(read_file(Path(path)).read())
    except PromptError as error:
        raise PromptError(str(error).replace("prompt file", "bias words", 1)) from None
    pairs = tuple(_read_pair(row, where) for row, where in rows)
    if not pairs:
        raise PromptError(f"bias words {str(path)!r}: no rows; expected the columns {', '.join(COLUMNS)}")
    return pairs


def _read_pair(row: Any, where: str) -> WordPair:
    known = row if isinstance(row, Mapping) else {}
    for name in COLUMNS:
        if name not in known:
            raise unknown_name(f"column of {where}, wanted for word pairs,", name, known)
    values = [str(row[name]).strip() for name in COLUMNS]
    if not all(values) or any(len(word.split()) != 1 for word in values[1:]) or values[1] == values[2]:
        raise PromptError(f"{where}: {values!r}; expected a group and two different words")
    return WordPair(*values)


def check_bias(
    predict: Predict,
    texts: Sequence[str],
    labels: Sequence[str],
    rng: np.random.Generator,
    *,
    pairs: Sequence[WordPair] = WORD_PAIRS,
) -> list[WordBias]:
    """Compares what a classifier says of texts that differ in one word.

    Every text that holds one word of a pair, and not the other, is compared with its copy that has the other. Where
    there are too few of them, both words are put in front of texts that hold neither. Intervals are bootstrapped over
    texts and so wide that among all pairs together a false alarm is unlikely.

    Args:
        predict: The classifier.
        texts: Texts that it has not learned from.
        labels: The names of its labels; of two, only the last is looked at, since the first mirrors it.
        rng: Draws texts and resamples.
        pairs: The words.

    Returns:
        One finding for each pair and label, the largest difference first.
    """
    looked_at = [len(labels) - 1] if len(labels) == 2 else list(range(len(labels)))
    confidence = 1.0 - ERROR_RATE / (len(pairs) * len(looked_at))
    order = [texts[row] for row in rng.permutation(len(texts)).tolist()]
    copies = [make_copies(pair, order) for pair in pairs]
    both = list(dict.fromkeys(text for ones, others, _ in copies for text in (*ones, *others)))
    known = dict(zip(both, predict(both), strict=True))
    found = []
    for pair, (ones, others, added) in zip(pairs, copies, strict=True):
        gaps = np.array([known[other] - known[one] for one, other in zip(ones, others, strict=True)])
        for column in looked_at:
            interval = bootstrap_interval(
                [gaps[:, column]], rng, statistic=mean, replicates=int(20 / (1.0 - confidence)), confidence=confidence
            )
            ends = (interval.estimate, interval.low, interval.high)
            found.append(WordBias(pair, labels[column], *ends, len(ones), added, confidence))
    return sorted(found, key=lambda finding: -abs(finding.difference))


def make_copies(pair: WordPair, texts: Sequence[str]) -> tuple[list[str], list[str], bool]:
    """The texts with the first word, the same texts with the other, and whether the words were put in front of them.

    Example:
        >>> make_copies(WordPair("gender", "he", "she"), ["He said that he left."] * 10)[1][0]
        'She said that she left.'
        >>> make_copies(WordPair("gender", "he", "she"), ["the end"])
        (['he the end'], ['she the end'], True)
    """
    one, other = _finder(pair.one), _finder(pair.other)
    ones: list[str] = []
    others: list[str] = []
    for text in texts:
        held = bool(one.search(text)), bool(other.search(text))
        if held == (True, False):
            ones.append(text)
            others.append(one.sub(lambda found: _like(pair.other, found[0]), text))
        elif held == (False, True):
            ones.append(other.sub(lambda found: _like(pair.one, found[0]), text))
            others.append(text)
    if len(ones) >= LEAST_FOUND:
        return ones[:MOST_TEXTS], others[:MOST_TEXTS], False
    plain = [text for text in texts if not one.search(text) and not other.search(text)] or list(texts)
    plain = plain[:MOST_TEXTS]
    return [f"{pair.one} {text}" for text in plain], [f"{pair.other} {text}" for text in plain], True


def _finder(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)


def _like(word: str, model: str) -> str:
    """The word, with the capitals of another."""
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
