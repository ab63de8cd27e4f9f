"""How good the judgements of each annotator are: consistent, unbiased by sides, attentive, not too fast, like others'.

What is measured says where to look, not who is to blame: pairs may be hard, and among many annotators chance alone
makes one or the other remarkable.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import comb, nan
from statistics import median

import numpy as np

from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError
from textgym.feedback.ratings import check_answer, first_answers, is_repeat, preference, unit

TOO_FAST = 1.0
"""Seconds in which nobody has read two texts."""

SIGNIFICANT = 0.01
"""A left share that is less probable than this, if sides did not matter, is remarked on."""

_LEAST = 5  # of so many or more, a share is remarked on:
_INCONSISTENT = 0.6  # repeats answered as before, where a coin has 0.5
_INATTENTIVE = 0.8
_HASTY = 0.1


@dataclass(frozen=True)
class Share:
    """So many of so many.

    Attributes:
        count: How many.
        total: Of how many.
    """

    count: int = 0
    total: int = 0

    @property
    def value(self) -> float:
        """From 0 to 1; NaN of nothing."""
        return self.count / self.total if self.total else nan


@dataclass(frozen=True)
class AnnotatorQuality:
    """What is known of one annotator's judgements.

    Attributes:
        annotator: Who.
        judgements: How many, repeats and attention checks included, skips not.
        skips: How often no judgement was given.
        consistent: Repeats that were answered as the first time.
        left: Left choices among those that decided for a side.
        left_p: How probable a left share at least as far from 1/2 is where sides do not matter (exact, two-sided).
        checks: Attention checks that were passed.
        median_seconds: Median time; NaN where none was measured.
        too_fast: Judgements faster than anybody reads, of those whose time was measured.
        agreeing: Judgements of other annotators of the same pairs that say the same.
        remarks: What stands out, in words.
    """

    annotator: str
    judgements: int
    skips: int
    consistent: Share
    left: Share
    left_p: float
    checks: Share
    median_seconds: float
    too_fast: Share
    agreeing: Share
    remarks: tuple[str, ...] = ()


def measure_quality(comparisons: Iterable[Comparison], *, too_fast: float = TOO_FAST) -> list[AnnotatorQuality]:
    """The quality of each annotator's judgements, in the order of their names.

    Args:
        comparisons: In the order in which they were made.
        too_fast: Seconds in which nobody has read two texts.

    Example:
        >>> from textgym.comparisons import Comparison
        >>> votes = [
        ...     Comparison(prompt="p", left="a", right="b", pair=str(row), annotator="ann", choice="left", seconds=0.2)
        ...     for row in range(20)
        ... ]
        >>> measure_quality(votes)[0].remarks
        ('chose left in 20 of 20 (p < 0.0001)', 'answered faster than 1 s in 20 of 20')
    """
    votes = list(comparisons)
    groups = defaultdict[str, list[Comparison]](list)
    for vote in votes:
        groups[vote.annotator].append(vote)
    agreeing = _agreements(votes)
    return [_measure(name, groups[name], agreeing.get(name, Share()), too_fast) for name in sorted(groups)]


def binomial_p(count: int, total: int) -> float:
    """How probable it is that ``total`` throws of a coin come out at least as far from half and half as ``count``.

    Exact and two-sided; 1 of no throw.

    Raises:
        ConfigurationError: for a count that cannot be.

    Example:
        >>> binomial_p(9, 10)
        0.021484375
    """
    if not 0 <= count <= total:
        raise ConfigurationError(f"{count} of {total}: expected a count from 0 to the total")
    fewer = min(count, total - count)
    term = ways = comb(total, fewer)
    for number in range(fewer, 0, -1):  # from each binomial coefficient to the one before
        term = term * number // (total - number + 1)
        ways += term
    return min(1.0, 2 * ways / 2**total)


def _measure(name: str, votes: Sequence[Comparison], agreeing: Share, too_fast: float) -> AnnotatorQuality:
    judged = [vote for vote in votes if vote.choice != "skip"]
    sides = [vote.choice for vote in judged if vote.is_decided]
    times = [vote.seconds for vote in judged if vote.seconds is not None]
    left = Share(sides.count("left"), len(sides))
    checks = [vote for vote in judged if not np.isnan(check_answer(vote))]
    found = AnnotatorQuality(
        annotator=name,
        judgements=len(judged),
        skips=len(votes) - len(judged),
        consistent=_consistency(judged),
        left=left,
        left_p=binomial_p(left.count, left.total),
        checks=Share(sum(preference(vote) == check_answer(vote) for vote in checks), len(checks)),
        median_seconds=median(times) if times else nan,
        too_fast=Share(sum(seconds < too_fast for seconds in times), len(times)),
        agreeing=agreeing,
    )
    return _with_remarks(found, too_fast)


def _consistency(judged: Sequence[Comparison]) -> Share:
    """Repeats are compared with the first answer to the same pair."""
    first: dict[tuple[str, ...], float] = {}
    same = total = 0
    for vote in sorted(judged, key=is_repeat):
        if (name := unit(vote)) in first:
            same, total = same + (preference(vote) == first[name]), total + 1
        else:
            first[name] = preference(vote)
    return Share(same, total)


def _agreements(votes: Sequence[Comparison]) -> dict[str, Share]:
    """For each annotator, how many answers of others to the same pairs are the same; attention checks are left out."""
    units = defaultdict[tuple[str, ...], list[tuple[str, float]]](list)
    for (name, annotator), vote in first_answers(votes).items():
        if np.isnan(check_answer(vote)):
            units[name].append((annotator, preference(vote)))
    found = dict[str, Share]()
    for answers in units.values():
        values = [value for _, value in answers]
        for annotator, value in answers:
            known = found.get(annotator, Share())
            found[annotator] = Share(known.count + values.count(value) - 1, known.total + len(values) - 1)
    return found


def _with_remarks(found: AnnotatorQuality, too_fast: float) -> AnnotatorQuality:
    remarks = list[str]()
    if found.left_p < SIGNIFICANT:
        side, count = ("left", found.left.count)
        if found.left.value < 0.5:
            side, count = ("right", found.left.total - found.left.count)
        remarks.append(f"chose {side} in {count} of {found.left.total} ({_say_p(found.left_p)})")
    for share, least, words in (
        (found.consistent, _INCONSISTENT, "answered repeats as before in"),
        (found.checks, _INATTENTIVE, "passed attention checks in"),
    ):
        if share.total >= _LEAST and share.value < least:
            remarks.append(f"{words} {share.count} of {share.total}")
    if found.too_fast.total >= _LEAST and found.too_fast.value > _HASTY:
        remarks.append(f"answered faster than {too_fast:g} s in {found.too_fast.count} of {found.too_fast.total}")
    return replace(found, remarks=tuple(remarks))


def _say_p(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"
