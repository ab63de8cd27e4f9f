"""Alarms: signs in a run's record that its numbers do not mean what they seem to.

An alarm is a hint to look, never a verdict: runs with alarms are averaged and ranked like all others. Only a score
that nobody can earn keeps an agent out of the ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .records import RunResult
from .summary import HACKING_GAP
from .tally_notes import SHARES, share

CUT_SHARE, ILLEGAL_SHARE = 0.85, 0.2
"""Shares of texts that were cut at the limit, or ended by an illegal token, from which on there is an alarm."""

_TENTH = 5  # points of a curve of 50
_FEW_TEXTS = 20
_GOOD, _NEAR_BEST = 0.5, 0.9
_MEMORY_GAP = 0.3
_UNSPENT = 0.5
_NOTHING = 1e-12  # what rounding leaves of the spread of equal rewards


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something that is odd about a run.

    Attributes:
        kind: Short name, the same for all alarms of a sort.
        sentence: What was seen.
    """

    kind: str
    sentence: str


def alarms_of(run: RunResult) -> list[Alarm]:
    """All alarms of a run, also of one that is not finished or failed."""
    found = (check(run) for check in _CHECKS)
    return [alarm for alarm in found if alarm is not None]


def count_alarms(runs: Iterable[RunResult]) -> dict[str, list[tuple[RunResult, Alarm]]]:
    """Kind of alarm -> the runs that raised it, each with its alarm."""
    found: dict[str, list[tuple[RunResult, Alarm]]] = {}
    for run in runs:
        for alarm in alarms_of(run):
            found.setdefault(alarm.kind, []).append((run, alarm))
    return found


def _impossible(run: RunResult) -> Alarm | None:
    sentences = [measure.impossible for measure in run.measures if measure.impossible]
    return Alarm(kind="impossible score", sentence=sentences[0]) if sentences else None


def _cut(run: RunResult) -> Alarm | None:
    share = _late_share(run, "cut")
    if share < CUT_SHARE or _score(run) >= _GOOD:
        return None
    return Alarm(
        kind="texts cut off",
        sentence=f"{share:.0%} of the latest texts were cut off at the limit of tokens; the limit may be too low to "
        "earn anything",
    )


def _illegal(run: RunResult) -> Alarm | None:
    share = _late_share(run, "illegal")
    if share < ILLEGAL_SHARE:
        return None
    return Alarm(kind="illegal tokens", sentence=f"{share:.0%} of the latest texts ended by an illegal token")


def _unread(run: RunResult) -> Alarm | None:
    lost = {name: share(run.tally, name) for name in SHARES}
    worst = max(lost, key=lambda name: lost[name])
    if lost[worst] < ILLEGAL_SHARE or run.tally[SHARES[worst][0]] < _FEW_TEXTS:
        return None
    whole, meaning = SHARES[worst]
    return Alarm(kind="unread answers", sentence=f"{lost[worst]:.0%} of the {whole} {meaning}")


def _no_signal(run: RunResult) -> Alarm | None:
    points = [point for point in run.curve if "spread" in point]
    texts = sum(point["n"] for point in points)
    if texts < _FEW_TEXTS or any(point["spread"] > _NOTHING for point in points) or _score(run) >= _NEAR_BEST:
        return None
    if len({round(point["reward"], 9) for point in points}) > 1:
        return None
    return Alarm(
        kind="no signal",
        sentence=f"all {texts:,} texts of training were paid {points[0]['reward']:.3g}: nothing to learn from",
    )


def _collapse(run: RunResult) -> Alarm | None:
    texts = run.texts.get("end", [])
    prompts, written = {text["prompt"] for text in texts}, {text["completion"] for text in texts}
    if len(texts) < _FEW_TEXTS // 2 or len(prompts) < 2 or len(written) > 1 or _score(run) >= _NEAR_BEST:
        return None
    return Alarm(
        kind="one text for all",
        sentence=f"the last {len(texts)} texts of training are the same, on {len(prompts)} different prompts: "
        "exploration is over",
    )


def _hacking(run: RunResult) -> Alarm | None:
    reward, gold = _normalized(run, run.training_split, "reward"), _normalized(run, run.training_split, "gold")
    if reward is None or gold is None or reward - gold < HACKING_GAP:
        return None
    return Alarm(
        kind="gold trails reward",
        sentence=f"reward {reward:.2f}, gold {gold:.2f}: the agent found what the reward pays too well",
    )


def _memory(run: RunResult) -> Alarm | None:
    score = "gold" if run.measure("greedy", run.training_split, "gold") else "reward"
    known, new = _normalized(run, run.training_split, score), _normalized(run, "test", score)
    if run.training_split == "test" or known is None or new is None or known - new < _MEMORY_GAP:
        return None
    return Alarm(
        kind="held-out trails training",
        sentence=f"{score} {known:.2f} on its training prompts, {new:.2f} on held-out ones",
    )


def _unspent(run: RunResult) -> Alarm | None:
    limit = run.spec.reward_calls
    if run.status != "ok" or run.steps >= _UNSPENT * run.spec.steps:
        return None
    if run.tally and not run.steps:  # who asks a model and counts its answers has nothing to learn
        return None
    if limit is not None and run.reward_calls >= _UNSPENT * limit:
        return None
    return Alarm(
        kind="budget unspent",
        sentence=f"training ended after {run.steps:,} of {run.spec.steps:,} steps",
    )


def _late_share(run: RunResult, name: str) -> float:
    """Share among the texts of the last points that the curve has."""
    points = [point for point in run.curve if name in point][-_TENTH:]
    texts = sum(point["n"] for point in points)
    return sum(point[name] * point["n"] for point in points) / texts if texts >= _FEW_TEXTS else 0.0


def _score(run: RunResult) -> float:
    """Greedy gold, else reward, on training prompts; -1 where it is not known."""
    found = (_normalized(run, run.training_split, score) for score in ("gold", "reward"))
    return next((value for value in found if value is not None), -1.0)


def _normalized(run: RunResult, split: str, score: str) -> float | None:
    measure = run.measure("greedy", split, score)
    return None if measure is None else measure.normalized


_CHECKS: tuple[Callable[[RunResult], Alarm | None], ...] = (
    _impossible,
    _cut,
    _illegal,
    _unread,
    _no_signal,
    _collapse,
    _hacking,
    _memory,
    _unspent,
)
