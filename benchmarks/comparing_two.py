"""Two agents against each other, paired by task and seed: what differs, how surely, and what it would take to know.

Agents are judged as on the leaderboard (:mod:`textgym.benchmarks.standings`), and a failed run counts as random play or
worse; what leaving such pairs out would give is shown beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from textgym.errors import ConfigurationError, unknown_name

from .ledger import read_plan, read_results
from .records import RunResult
from .standings import Arena, board_of
from .stats import Interval, interquartile_mean, paired_difference, probability_of_improvement
from .stats_tests import holm, improvement_test
from .summary import summary_of

Pairs = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One agent of one folder.

    Attributes:
        folder: Where its runs are.
        label: Its name there.
        runs: Its finished runs, failed ones included.
    """

    folder: Path
    label: str
    runs: tuple[RunResult, ...]


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The left agent against the right one, on one task or on all.

    Attributes:
        name: The task.
        tasks: How many tasks.
        pairs: Runs of either side, paired by seed.
        seeds: Pairs of the task with the fewest.
        left: Interquartile mean of the left side.
        right: That of the right side.
        difference: Left minus right.
        improvement: Probability that a run of the left side beats one of the right side.
        p: Of the hypothesis that it makes no difference which side a run belongs to, two-sided.
        corrected: The same after Holm's correction for the other contests of its kind.
    """

    name: str
    tasks: int
    pairs: int
    seeds: int
    left: float
    right: float
    difference: Interval
    improvement: Interval
    p: float
    corrected: float


@dataclass(frozen=True, kw_only=True)
class Duel:
    """All that can be said about two agents.

    Attributes:
        left: Name of the one.
        right: Name of the other.
        tasks: The tasks, each with its corrected p.
        overall: Over all tasks whose scores can be averaged; None where there are fewer than two.
        left_out: The same without the pairs in which a run failed; None where none failed.
        notes: What is to be known before this is believed, one sentence each.
    """

    left: str
    right: str
    tasks: tuple[Contest, ...]
    overall: Contest | None
    left_out: Contest | None
    notes: tuple[str, ...]

    @property
    def final(self) -> Contest:
        """What the verdict hangs on."""
        return self.overall or self.tasks[0]


def find_sides(left: str, right: str, *, folder: Path | None = None) -> list[tuple[Side, Side]]:
    """Finds out what is to be compared.

    Args:
        left: A folder that `textgym bench run` wrote, or one with an agent of it, as in ``runs/demo/ppo``.
        right: Likewise.
        folder: With it, ``left`` and ``right`` are agents of this folder.

    Returns:
        One pair; where two whole folders are given, one for each agent that both hold.

    Raises:
        ConfigurationError: if there is no such folder, or nothing that both hold.
        UnknownNameError: for an agent that the folder does not hold.
    """
    ours, theirs = (_find(name, folder) for name in (left, right))
    if len(ours) > 1 and len(theirs) > 1:
        both = [label for label in ours if label in theirs]
        if not both:
            raise ConfigurationError(
                f"{left!r} has {', '.join(ours)} and {right!r} has {', '.join(theirs)}: no agent in common; "
                f"name one on either side, such as {left}/{next(iter(ours))}"
            )
        return [(ours[label], theirs[label]) for label in both]
    one = _same_or_only(ours, theirs, left)
    return [(one, _same_or_only(theirs, {one.label: one}, right))]


def _same_or_only(found: dict[str, Side], others: dict[str, Side], name: str) -> Side:
    """The only agent on a side, else the one that stands on the other side too."""
    if len(found) == 1:
        return next(iter(found.values()))
    label = next(iter(others))
    if label not in found:
        raise unknown_name(f"agent in {name}", label, found)
    return found[label]


def _find(name: str, folder: Path | None) -> dict[str, Side]:
    path = Path(name) if folder is None else folder / name
    if folder is None:
        try:
            return _read(path)
        except ConfigurationError:
            pass
    try:
        sides = _read(path.parent if folder is None else folder)
    except ConfigurationError:
        raise ConfigurationError(
            f"{name!r}: expected a folder that `textgym bench run` wrote, or an agent of it, as in runs/demo/ppo; "
            "two agents of one folder are `textgym bench compare ppo dqn --folder runs/demo`"
        ) from None
    if path.name not in sides:
        raise unknown_name(f"agent in {path.parent}", path.name, sides)
    return {path.name: sides[path.name]}


def _read(folder: Path) -> dict[str, Side]:
    """Label -> side, for the finished runs of a folder's plan."""
    results, keys = read_results(folder), {run["key"] for run in read_plan(folder).get("runs", [])}
    runs: dict[str, list[RunResult]] = {}
    for result in results:
        if not keys or result.spec.key in keys:
            runs.setdefault(result.spec.label, []).append(result)
    if not runs:
        raise ConfigurationError(f"{str(folder)!r} holds no finished run")
    return {label: Side(folder=folder, label=label, runs=tuple(found)) for label, found in runs.items()}


def compare_two(left: Side, right: Side, *, replicates: int = 20_000) -> Duel:
    """Compares two agents on the tasks and seeds that both have run.

    Raises:
        ConfigurationError: if they are one and the same, or have no pair of runs.
    """
    ours, theirs = _names(left, right)
    runs = [*_renamed(left, ours), *_renamed(right, theirs)]
    arenas = [arena for arena in board_of(summary_of(runs, {})).arenas if {ours, theirs} <= set(arena.cells)]
    found = [(arena, _pairs(arena, ours, theirs)) for arena in arenas]
    found = [(arena, pairs) for arena, pairs in found if pairs]
    if not found:
        raise ConfigurationError(
            f"{ours} and {theirs} have no finished pair of runs with one environment and seed: "
            f"{_have(left)} against {_have(right)}"
        )
    scaled = [(arena, pairs) for arena, pairs in found if arena.scaled]
    failed = any(set(arena.cells[name].failed) for arena, _ in scaled for name in (ours, theirs))
    complete = [pairs for arena, _ in scaled if (pairs := _pairs(arena, ours, theirs, worst_case=False))]
    alone = [_contest(arena.short_name, [pairs], replicates) for arena, pairs in found]
    corrected = holm([contest.p for contest in alone])
    overall = _contest("all tasks", [pairs for _, pairs in scaled], replicates) if len(scaled) > 1 else None
    return Duel(
        left=ours,
        right=theirs,
        tasks=tuple(replace(one, corrected=float(p)) for one, p in zip(alone, corrected, strict=True)),
        overall=overall,
        left_out=_contest("failed runs left out", complete, replicates) if failed and complete else None,
        notes=tuple(_notes([arena for arena, _ in found], runs, ours, theirs)),
    )


def compare_all(sides: Sequence[tuple[Side, Side]], *, replicates: int = 20_000) -> list[Duel]:
    """Several duels, in which the p of the overall contests are corrected for their number."""
    duels = [compare_two(left, right, replicates=replicates) for left, right in sides]
    whole = [duel for duel in duels if duel.overall is not None]
    corrected = iter(holm([duel.final.p for duel in whole]).tolist())
    return [
        replace(duel, overall=replace(duel.overall, corrected=next(corrected))) if duel.overall else duel
        for duel in duels
    ]


def _names(left: Side, right: Side) -> tuple[str, str]:
    if left.label != right.label:
        return left.label, right.label
    if left.folder.resolve() == right.folder.resolve():
        raise ConfigurationError(f"{left.label} of {str(left.folder)!r} on both sides; expected two different agents")
    return f"{left.label} ({left.folder})", f"{right.label} ({right.folder})"


def _renamed(side: Side, name: str) -> list[RunResult]:
    return [replace(run, spec=replace(run.spec, label=name)) for run in side.runs]


def _have(side: Side) -> str:
    seeds = sorted({run.spec.seed for run in side.runs})
    return f"{', '.join(sorted({run.spec.environment for run in side.runs}))} with the seeds {seeds}"


def _pairs(arena: Arena, ours: str, theirs: str, *, worst_case: bool = True) -> Pairs:
    """The scores of both sides for each seed that both ran."""
    sides = []
    for name in (ours, theirs):
        cell = arena.cells[name]
        sides.append(cell.worst_by_seed if worst_case and arena.scaled else cell.scores)
    left, right = sides
    return [(left[seed], right[seed]) for seed in sorted(left.keys() & right.keys())]


def _contest(name: str, tasks: Sequence[Pairs], replicates: int) -> Contest:
    left = [[one for one, _ in pairs] for pairs in tasks]
    right = [[other for _, other in pairs] for pairs in tasks]
    p = improvement_test(left, right).two_sided
    rng = np.random.default_rng(0)
    return Contest(
        name=name,
        tasks=len(tasks),
        pairs=sum(map(len, tasks)),
        seeds=min(map(len, tasks)),
        left=float(interquartile_mean(np.concatenate(left))),
        right=float(interquartile_mean(np.concatenate(right))),
        difference=paired_difference(left, right, rng, replicates=replicates),
        improvement=probability_of_improvement(left, right, rng, replicates=replicates),
        p=p,
        corrected=p,
    )


def _notes(arenas: Sequence[Arena], runs: Sequence[RunResult], ours: str, theirs: str) -> list[str]:
    notes = []
    for arena in arenas:
        cells = [(name, arena.cells[name]) for name in (ours, theirs)]
        notes += [f"{name} on {arena.short_name}: {cell.impossible}" for name, cell in cells if cell.impossible]
        if not arena.scaled:
            notes.append(f"{arena.short_name} is compared as paid, without the scale, and not averaged with others.")
        elif arena.lines is not None and arena.lines.inexact:
            notes.append(f"{arena.short_name}: the scale is not exact ({', '.join(arena.lines.inexact)} estimated).")
        steps = [sorted({run.spec.steps for run in arena.runs if run.spec.label == name}) for name in (ours, theirs)]
        if steps[0] != steps[1]:
            budgets = " and ".join("/".join(f"{number:,}" for number in side) for side in steps)
            notes.append(f"{arena.short_name}: the budgets differ, {budgets} steps.")
    failed = [run for run in runs if run.status != "ok"]
    if failed:
        counted = f"{len(failed)} failed run{' counts' if len(failed) == 1 else 's count'}"
        notes.append(f"{counted} as random play (0), or as the agent's worst run if that is worse.")
    versions = [
        {item for run in runs if run.spec.label == name for item in run.versions.items()} for name in (ours, theirs)
    ]
    changed = sorted({name for name, _ in versions[0] ^ versions[1]}) if all(versions) else []
    if changed:
        notes.append(f"The two sides ran with different versions of {', '.join(changed)}.")
    return notes
