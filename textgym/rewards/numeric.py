"""Answers that are numbers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, RewardError

# Not within a word or number: "x3" has no number, and the sign of "10-12" is a dash.
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])[-+−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class SquaredError:
    """Minus the squared difference between the last number in a text and the reference, at least ``-limit``.

    0 is right; a text without a number gets ``-limit``, as if it were far off. Of several references the nearest
    counts. Numbers may have a sign, a decimal point, commas between thousands and an exponent.

    Args:
        limit: The greatest loss.

    Raises:
        ConfigurationError: for a limit that is not a finite number above 0.
        RewardError: when called on a prompt without references, or with one that is not a number.

    Example:
        >>> from textgym.prompts import PromptTable, load_prompts
        >>> from textgym.tokenizers import CharTokenizer
        >>> digits = CharTokenizer("0123456789+= ")
        >>> prompts = PromptTable(load_prompts([{"prompt": "1+2=", "reference": "3"}]), digits)
        >>> texts = [digits.encode(text) for text in ("3", "1 5", "")]
        >>> SquaredError(limit=25.0)(EpisodeBatch.from_ids(prompts, digits, [0, 0, 0], texts)).tolist()
        [0.0, -4.0, -25.0]
    """

    limit: float = 100.0

    def __post_init__(self) -> None:
        number = isinstance(self.limit, int | float | np.number) and not isinstance(self.limit, bool)
        if not number or not 0.0 < self.limit < math.inf:
            raise ConfigurationError(f"limit={self.limit!r}: expected a finite number above 0")

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest score."""
        return -float(self.limit), 0.0

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Returns ``(B,)`` float64 in [-limit, 0]."""
        rows = zip(batch.completions, batch.required_references(), strict=True)
        return np.array([self._score(text, references) for text, references in rows], dtype=np.float64)

    def _score(self, text: str, references: tuple[str, ...]) -> float:
        targets = [_target(reference) for reference in references]
        found = last_number(text)
        if found is None:
            return -float(self.limit)
        gap = min(abs(found - target) for target in targets)
        return 0.0 - min(gap * gap, float(self.limit))


def last_number(text: str) -> float | None:
    """The last number in a text; None where there is none.

    Example:
        >>> last_number("about 1,250.5 of them"), last_number("10-12"), last_number("-3"), last_number("none")
        (1250.5, 12.0, -3.0, None)
    """
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "").replace("−", "-")) if found else None


def _target(reference: str) -> float:
    text = reference.strip()
    value = last_number(text) if _NUMBER.fullmatch(text) else None
    if value is None or not math.isfinite(value):
        raise RewardError(f"the reference {reference!r} is not a number; SquaredError compares with numbers alone")
    return value
