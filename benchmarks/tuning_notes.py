"""With which budget each agent of a comparison was tuned, in words: equal budgets are what makes scores comparable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .records import RunResult, RunSpec
from .search_spaces import NOTHING_TO_TUNE

UNTUNED, BY_HAND = "untuned defaults", "options set by hand, tuning budget unknown"
NOTHING = "nothing to tune"


def tuning_of(runs: Iterable[RunResult]) -> dict[str, str]:
    """Agent -> with which budget it was tuned.

    Example:
        >>> from textgym.benchmarks.records import RunResult, RunSpec
        >>> tuning_of([RunResult(spec=RunSpec(agent="ppo", env_id="TextGen-v0", steps=1, seed=0))])
        {'ppo': 'untuned defaults'}
    """
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        found.setdefault(run.spec.label, {})[_words(run.spec)] = None
    return {label: " or ".join(ways) for label, ways in found.items()}


def tuning_sentences(runs: Iterable[RunResult]) -> list[str]:
    """What a report says of it: one sentence where nobody was tuned, else every agent's, and whether they are equal.

    Agents that have nothing to tune make nothing unequal.
    """
    ways = tuning_of(runs)
    different = set(ways.values()) - {NOTHING}
    if different <= {UNTUNED}:
        return ["No agent was tuned for this: all have their untuned defaults."] if ways else []
    told = "; ".join(f"{label}: {way}" for label, way in ways.items())
    unequal = [] if len(different) == 1 else ["Not all agents were tuned with the same budget."]
    return [f"Tuning: {told}.", *unequal]


def _words(spec: RunSpec) -> str:
    tuning: Mapping[str, Any] = spec.tuning
    if not tuning:
        return BY_HAND if spec.config else NOTHING if spec.agent in NOTHING_TO_TUNE else UNTUNED
    try:
        tasks = f"{_many(len(tuning['tasks']), 'task')} ({', '.join(tuning['tasks'])}, {tuning['level']})"
        runs = f"{_many(tuning['trials'], 'trial')} of {tuning['steps']:,} steps on {tasks}"
        return f"{runs} with {_many(len(tuning['seeds']), 'seed')}, {tuning['tokens']:,} tokens"
    except (KeyError, TypeError, ValueError):  # written by hand
        return "tuned, with a budget that is not told"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s'[: count != 1]}"
