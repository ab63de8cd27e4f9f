"""Rewards that compare a completion with the references of its prompt."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import missing_dependency


@dataclass(frozen=True, kw_only=True)
class ExactMatch:
    """1.0 for a completion that equals any of its references, else 0.0.

    The comparison is strict: case, spaces and punctuation count. An empty completion matches an empty
    reference only.

    Args:
        normalize: Compare after Unicode normalisation (NFKC), case folding, and with runs of spaces made one.

    Raises:
        RewardError: when called on a prompt without references.
    """

    normalize: bool = False
    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Returns ``(B,)`` float64 of zeros and ones."""
        return _best_over_references(batch, self._equal)

    def _equal(self, completion: str, reference: str) -> float:
        if self.normalize:
            return float(_fold(completion) == _fold(reference))
        return float(completion == reference)


@dataclass(frozen=True)
class EditSimilarity:
    """1 - (Levenshtein distance / length of the longer text), in characters; the best over the references.

    1.0 says equal (two empty texts are), 0.0 says that no character stands where it should. Needs the extra
    ``metrics`` (rapidfuzz).

    Raises:
        RewardError: when called on a prompt without references.
    """

    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Returns ``(B,)`` float64 in [0, 1]."""
        try:
            from rapidfuzz.distance.Levenshtein import normalized_similarity
        except ImportError as error:
            raise missing_dependency("rapidfuzz", "metrics", "EditSimilarity") from error
        return _best_over_references(batch, normalized_similarity)


def _best_over_references(batch: EpisodeBatch, compare: Callable[[str, str], float]) -> NDArray[np.float64]:
    rows = zip(batch.completions, batch.required_references(), strict=True)
    return np.array([max(compare(text, reference) for reference in known) for text, known in rows], dtype=np.float64)


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
