"""Ratings: what each annotator says of each pair, on whichever side the texts stood."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from textgym.comparisons import Comparison

Floats = NDArray[np.float64]

SECOND, TIE, FIRST, BOTH_BAD = -1.0, 0.0, 1.0, 2.0
"""Values of ratings; on an ordinal scale "both bad" stands in the middle, as a tie does."""


def unit(comparison: Comparison) -> tuple[str, ...]:
    """What names the two texts that were compared: the pair's name, or else the prompt and both texts."""
    if comparison.pair:
        return (comparison.pair,)
    return (comparison.prompt, *sorted((comparison.left, comparison.right)))


def preference(comparison: Comparison) -> float:
    """Which text of the pair was preferred, on whichever side it stood; NaN for a skip.

    The first text of a pair without a name is the one that comes first in the alphabet.
    """
    swapped = comparison.swapped if comparison.pair else comparison.left > comparison.right
    sides = (SECOND, FIRST) if swapped else (FIRST, SECOND)
    values = {"left": sides[0], "right": sides[1], "tie": TIE, "both_bad": BOTH_BAD}
    return values.get(comparison.choice, np.nan)


def is_repeat(comparison: Comparison) -> bool:
    """Whether the annotator was asked again on purpose."""
    return bool(comparison.metadata.get("repeat"))


def check_answer(comparison: Comparison) -> float:
    """The known answer of an attention check, ``FIRST`` or ``SECOND``; NaN for every other pair."""
    return {"first": FIRST, "second": SECOND}.get(str(comparison.metadata.get("attention_check", "")), np.nan)


def first_answers(comparisons: Iterable[Comparison]) -> dict[tuple[tuple[str, ...], str], Comparison]:
    """The judgement that counts of each pair and annotator: the first that is neither a skip nor a repeat."""
    answers: dict[tuple[tuple[str, ...], str], Comparison] = {}
    for item in sorted(comparisons, key=is_repeat):  # stable: repeats come last
        if item.choice != "skip":
            answers.setdefault((unit(item), item.annotator), item)
    return answers


def rate(comparisons: Iterable[Comparison], *, ordinal: bool = False) -> Floats:
    """Judgements as ratings ``(R, U)``; attention checks are left out.

    Args:
        comparisons: In the order in which they were made.
        ordinal: Whether "both bad" counts as a tie, so that the values have an order.
    """
    answers = first_answers(item for item in comparisons if np.isnan(check_answer(item)))
    units = {name: column for column, name in enumerate(dict.fromkeys(name for name, _ in answers))}
    raters = {name: row for row, name in enumerate(dict.fromkeys(name for _, name in answers))}
    table = np.full((len(raters), len(units)), np.nan)
    for (name, annotator), item in answers.items():
        table[raters[annotator], units[name]] = preference(item)
    if ordinal:
        table[table == BOTH_BAD] = TIE
    return table
