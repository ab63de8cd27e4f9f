"""What agents counted while they were evaluated, in words: above all, how many answers of chat models were no texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from .records import RunResult

SHARES: Mapping[str, tuple[str, str]] = {
    "unparseable": ("answers", "could not be read as texts of the vocabulary and the length"),
    "illegal": ("texts", "held a token that was illegal in its place"),
}
"""Name of a count -> what it is a share of, and what it means."""


def tallies(runs: Iterable[RunResult]) -> dict[str, Counter[str]]:
    """Agent -> what it counted, over all its runs; agents that count nothing are left out."""
    found: dict[str, Counter[str]] = {}
    for run in runs:
        if run.tally:
            found.setdefault(run.spec.label, Counter()).update(run.tally)
    return found


def share(tally: Mapping[str, int], name: str) -> float:
    """A count as a share of what it counts among; 0.0 where that was not counted.

    Example:
        >>> share({"answers": 50, "unparseable": 10}, "unparseable")
        0.2
    """
    whole = tally.get(SHARES[name][0], 0)
    return tally.get(name, 0) / whole if whole else 0.0


def tally_sentences(runs: Iterable[RunResult]) -> list[str]:
    """One sentence for each agent that counted something."""
    return [f"{label}: {_words(tally)}." for label, tally in tallies(runs).items()]


def _words(tally: Mapping[str, int]) -> str:
    parts, known = [], set[str]()
    for name, (whole, meaning) in SHARES.items():
        if whole in tally:
            parts.append(f"{tally.get(name, 0):,} of {tally[whole]:,} {whole} {meaning} ({share(tally, name):.1%})")
            known |= {name, whole}
    parts += [f"{count:,} {name}" for name, count in tally.items() if name not in known]
    return "; ".join(parts)
