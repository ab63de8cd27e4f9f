"""Rewards that look up words: weights of your own, or the sentiment lexicon of VADER."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, missing_dependency, unknown_name

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+(?:['’][^\W{_CJK}]+)*")


@dataclass(frozen=True, init=False)
class WordScores:
    """Adds up or averages the weights of a text's words; words without a weight count 0.

    Words are runs of letters and digits (with apostrophes inside), compared without case; each Chinese or Japanese
    character is a word.

    Args:
        weights: Word -> number.
        average: The mean over all words of the text, which nobody can raise by repetition, instead of the sum.

    Attributes:
        weights: The pairs, sorted, in lower case.
        range: From the least to the greatest weight (0 included) for averages; sums have no limit on a side that any
            weight points to.

    Raises:
        ConfigurationError: without weights, for keys that are not one word or come twice, and for other values than
            finite numbers.

    Example:
        >>> from textgym.prompts import PromptTable, load_prompts
        >>> from textgym.tokenizers import WordTokenizer
        >>> words = WordTokenizer(["a", "great", "dull", "film"])
        >>> prompts = PromptTable(load_prompts(["a"]), words)
        >>> batch = EpisodeBatch.from_ids(prompts, words, [0, 0], [words.encode("great film"), []])
        >>> WordScores({"great": 1.0, "dull": -1.0})(batch).tolist()
        [0.5, 0.0]
    """

    weights: tuple[tuple[str, float], ...]
    average: bool

    def __init__(self, weights: Mapping[str, float], *, average: bool = True) -> None:
        if not isinstance(weights, Mapping) or not weights:
            raise ConfigurationError(f"weights={weights!r}: expected {{word: number}} with at least one word")
        pairs = sorted((_check_word(word), _check_weight(word, weight)) for word, weight in weights.items())
        if len(dict(pairs)) < len(pairs):
            raise ConfigurationError(f"weights={dict(weights)!r}: two words are the same in lower case")
        object.__setattr__(self, "weights", tuple(pairs))
        object.__setattr__(self, "average", bool(average))

    @cached_property
    def _table(self) -> dict[str, float]:
        return dict(self.weights)

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest score."""
        values = [weight for _, weight in self.weights]
        low, high = min(0.0, *values), max(0.0, *values)
        return (low, high) if self.average else (-math.inf if low < 0.0 else 0.0, math.inf if high > 0.0 else 0.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Returns ``(B,)`` float64."""
        return np.array([self._score(text) for text in batch.completions], dtype=np.float64)

    def _score(self, text: str) -> float:
        words = _WORD.findall(text.casefold())
        total = math.fsum(self._table.get(word, 0.0) for word in words)
        return total / len(words) if self.average and words else total

    def __getstate__(self) -> dict[str, Any]:
        return {"weights": self.weights, "average": self.average}


VADER_OUTPUTS = {"compound": (-1.0, 1.0), "pos": (0.0, 1.0), "neg": (0.0, 1.0), "neu": (0.0, 1.0)}


@dataclass(frozen=True)
class VaderSentiment:
    """The sentiment of an English text by VADER: a real lexicon with rules for negation, boosters and emphasis.

    Hutto and Gilbert (2014), "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text".
    Needs the extra ``sentiment`` (vaderSentiment). It reads words alone, so lists of praise score well: a good example
    of a reward that can be hacked.

    Args:
        output: ``"compound"``, from -1 (worst) to 1 (best), or the share ``"pos"``, ``"neg"`` or ``"neu"``.

    Raises:
        UnknownNameError: for another output.
        MissingDependencyError: when called without the package.
    """

    output: str = "compound"
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.output not in VADER_OUTPUTS:
            raise unknown_name("output of VaderSentiment", self.output, VADER_OUTPUTS)

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest score."""
        return VADER_OUTPUTS[self.output]

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Returns ``(B,)`` float64."""
        if "analyzer" not in self._cache:
            self._cache["analyzer"] = _load_analyzer()
        score = self._cache["analyzer"].polarity_scores
        return np.array([score(text)[self.output] for text in batch.completions], dtype=np.float64)

    def __getstate__(self) -> dict[str, Any]:
        return {"output": self.output, "_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> VaderSentiment:
        return self


def _load_analyzer() -> Any:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise missing_dependency("vaderSentiment", "sentiment", "VaderSentiment") from error
    return SentimentIntensityAnalyzer()


def _check_word(word: object) -> str:
    folded = word.casefold() if isinstance(word, str) else ""
    if _WORD.fullmatch(folded) is None:
        raise ConfigurationError(
            f"the key {word!r} of weights: expected one word of letters and digits (a single Chinese or Japanese "
            "character is one)"
        )
    return folded


def _check_weight(word: object, weight: object) -> float:
    number = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
    if not number or not math.isfinite(weight):  # type: ignore[arg-type]
        raise ConfigurationError(f"the weight {weight!r} of {word!r}: expected a finite number")
    return float(weight)  # type: ignore[arg-type]
