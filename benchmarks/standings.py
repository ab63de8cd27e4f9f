"""Who stands where: one score a task, averaged over the tasks of a suite with intervals and ranks.

On every task an agent is judged by one number: gold where the task has a true score, else the reward; on held-out
prompts where it has some, else on its own; greedy play; on the scale random play 0, best text 1. A failed run counts as
random play or worse (:func:`textgym.benchmarks.summary.failed_score`), because whoever leaves it out rewards agents
that crash on what is hard; what leaving it out would give is shown beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from textgym.tasks import TASKS

from .records import Measure, RunResult
from .stats import Interval, aggregates, bootstrap_interval
from .summary import HELD_OUT, TRAINING, Lines, Summary, failed_score, lines_of, split_of

CELL_REPLICATES = 5_000
_DRAWS = 1_000_000  # scores drawn for one interval at most: large suites need fewer replicates


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One agent on one task.

    Attributes:
        scores: Seed -> score of each run that has one: on the scale, else as paid.
        failed: Seeds of the runs that failed.
        interval: Of the interquartile mean over the runs that have a score; None if there is none.
        impossible: The sentence of the first score that is higher than anyone can earn; empty without one.
    """

    scores: Mapping[int, float]
    failed: tuple[int, ...]
    interval: Interval | None
    impossible: str = ""

    @property
    def worst_case(self) -> list[float]:
        """All scores, those of failed runs counted as :func:`~textgym.benchmarks.summary.failed_score`."""
        return list(self.worst_by_seed.values())

    @property
    def worst_by_seed(self) -> dict[int, float]:
        """Seed -> score, likewise."""
        return {**self.scores, **dict.fromkeys(self.failed, failed_score(self.scores.values()))}


@dataclass(frozen=True, kw_only=True)
class Arena:
    """One environment of the suite, with every agent that met it.

    Attributes:
        name: The environment with its arguments.
        task: Name of the task.
        level: Its level.
        tags: Skills that it asks for; none are known of tasks of one's own.
        score: "gold" or "reward", whatever agents are judged by here.
        prompts: "held-out" or "training", the prompts that they are judged on.
        scaled: Whether scores are on the scale random play 0, best text 1.
        lines: What scores are held against, where that is known.
        cells: Agent -> its cell.
        runs: All finished runs.
    """

    name: str
    task: str
    level: str
    tags: tuple[str, ...]
    score: str
    prompts: str
    scaled: bool
    lines: Lines | None
    cells: Mapping[str, Cell]
    runs: tuple[RunResult, ...]

    @property
    def short_name(self) -> str:
        """The task and its level, as in "Copy easy"; the full name where the task is not known."""
        return f"{self.task} {self.level}".strip() or self.name


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One agent over all tasks on the scale.

    Attributes:
        label: The agent.
        rank: 1 for the best; None if it cannot be ranked.
        ranks: The best and the worst rank that the intervals allow; None if it cannot be ranked.
        score: Interquartile mean over tasks and seeds, failed runs counted as random play or worse; None without any.
        left_out: The same without the failed runs; None where none failed.
        mean: Mean, likewise.
        median: Median of the means of the tasks, likewise.
        gap: Optimality gap: how far the scores stay below 1 on average, those above 1 counted as 1.
        tasks: Tasks on the scale on which it has finished runs.
        finished: Finished runs that did not fail.
        failed: Failed runs.
        planned: Runs of the plan.
        unranked: Why it cannot be ranked; empty if it is.
    """

    label: str
    rank: int | None
    ranks: tuple[int, int] | None
    score: Interval | None
    left_out: Interval | None
    mean: Interval | None
    median: Interval | None
    gap: Interval | None
    tasks: int
    finished: int
    failed: int
    planned: int
    unranked: str


@dataclass(frozen=True, kw_only=True)
class Board:
    """The leaderboard of a comparison.

    Attributes:
        arenas: The environments, in the order of the plan.
        standings: The agents, best first; those that cannot be ranked last.
    """

    arenas: tuple[Arena, ...]
    standings: tuple[Standing, ...]

    @cached_property
    def scaled(self) -> tuple[Arena, ...]:
        """The environments whose scores can be averaged."""
        return tuple(arena for arena in self.arenas if arena.scaled)

    @property
    def labels(self) -> list[str]:
        """The agents, best first."""
        return [standing.label for standing in self.standings]

    def strata(self, label: str, *, tag: str | None = None, worst_case: bool = True) -> list[list[float]]:
        """An agent's scores, one list a task on the scale, tasks without any left out.

        Tasks are in the order of their names and scores in that of their seeds, so that a bootstrap does not depend on
        where and when the runs were made.
        """
        found = []
        for arena in sorted(self.scaled, key=lambda arena: arena.name):
            cell = arena.cells.get(label)
            if cell is not None and (tag is None or tag in arena.tags):
                found.append(cell.worst_case if worst_case else list(cell.scores.values()))
        return [scores for scores in found if scores]

    @property
    def tags(self) -> list[str]:
        """The skills that tell tasks apart, in order: a tag that every task has says nothing."""
        found = dict.fromkeys(tag for arena in self.scaled for tag in arena.tags)
        return [tag for tag in found if len(self.scaled) == 1 or not all(tag in arena.tags for arena in self.scaled)]


def board_of(summary: Summary, *, barred: Mapping[str, str] | None = None) -> Board:
    """The leaderboard of a comparison that has been read.

    Args:
        summary: The comparison.
        barred: Agents that are not ranked, each with the reason.
    """
    arenas = tuple(_arena(name, runs) for name, runs in summary.environments.items())
    labels = [row.label for row in summary.rows]
    planned = {row.label: row.planned for row in summary.rows}
    board = Board(arenas=arenas, standings=())
    reasons = barred or {}
    standings = [_standing(board, label, planned[label], reasons.get(label, "")) for label in labels]
    return Board(arenas=arenas, standings=tuple(_ranked(standings)))


def interval_of(strata: Sequence[Sequence[float]], *, replicates: int = 20_000) -> Interval | None:
    """The interquartile mean with so many replicates, or as many as the number of scores allows; None without any."""
    if not strata:
        return None
    return bootstrap_interval(strata, np.random.default_rng(0), replicates=min(replicates, _replicates(strata)))


def _replicates(strata: Sequence[Sequence[float]]) -> int:
    return max(1_000, min(20_000, _DRAWS // sum(map(len, strata))))


def _arena(name: str, runs: Sequence[RunResult]) -> Arena:
    good = [run for run in runs if run.status == "ok"]
    score = "gold" if any(measure.score == "gold" for run in good for measure in run.measures) else "reward"
    held_out = any(run.measure("greedy", "test", score) for run in good if run.training_split != "test")
    prompts = HELD_OUT if held_out else TRAINING
    measures = [_measure(run, prompts, score) for run in good]
    scaled = any(measures) and all(m.normalized is not None for m in measures if m is not None)
    first = next(iter(good), runs[0])
    listing = TASKS.get(first.task)
    by_label: dict[str, list[RunResult]] = {}
    for run in sorted(runs, key=lambda run: run.spec.seed):  # whichever finished first
        by_label.setdefault(run.spec.label, []).append(run)
    return Arena(
        name=name,
        task=first.task,
        level=first.level,
        tags=listing.tags if listing else (),
        score=score,
        prompts=prompts,
        scaled=scaled,
        lines=lines_of(good).get((prompts, score)) if good else None,
        cells={label: _cell(found, prompts, score, scaled=scaled) for label, found in by_label.items()},
        runs=tuple(runs),
    )


def _measure(run: RunResult, prompts: str, score: str) -> Measure | None:
    return run.measure("greedy", split_of(run, prompts), score)


def _cell(runs: Sequence[RunResult], prompts: str, score: str, *, scaled: bool) -> Cell:
    scores: dict[int, float] = {}
    impossible = ""
    for run in runs:
        measure = _measure(run, prompts, score) if run.status == "ok" else None
        if measure is None:
            continue
        value = measure.normalized if scaled else measure.mean
        if value is not None:
            scores[run.spec.seed] = value
        others = (m.impossible for m in run.measures if m.impossible)
        impossible = impossible or measure.impossible or next(others, "") or ""
    failed = tuple(run.spec.seed for run in runs if run.spec.seed not in scores)
    values = np.array(list(scores.values()))
    interval = (
        bootstrap_interval([values], np.random.default_rng(0), replicates=CELL_REPLICATES) if len(values) else None
    )
    return Cell(scores=scores, failed=failed, interval=interval, impossible=impossible)


def _standing(board: Board, label: str, planned: int, barred: str) -> Standing:
    cells = [(arena, arena.cells[label]) for arena in board.arenas if label in arena.cells]
    strata = board.strata(label)
    failed = sum(len(cell.failed) for _, cell in cells)
    found = aggregates(strata, np.random.default_rng(0), replicates=_replicates(strata)) if strata else {}
    return Standing(
        label=label,
        rank=None,
        ranks=None,
        score=found.get("interquartile mean"),
        left_out=interval_of(board.strata(label, worst_case=False)) if failed else None,
        mean=found.get("mean"),
        median=found.get("median"),
        gap=found.get("optimality gap"),
        tasks=len(strata),
        finished=sum(len(cell.scores) for _, cell in cells),
        failed=failed,
        planned=planned,
        unranked=barred or _why_unranked(board, cells, len(strata)),
    )


def _why_unranked(board: Board, cells: Sequence[tuple[Arena, Cell]], tasks: int) -> str:
    for arena, cell in cells:
        if cell.impossible:
            return f"on {arena.short_name}: {cell.impossible}"
    if tasks < len(board.scaled):
        return f"has runs on {tasks} of {len(board.scaled)} tasks"
    return "" if tasks else "has no score on the scale"


def _ranked(standings: Sequence[Standing]) -> list[Standing]:
    """Best first, with rank and the ranks that the intervals allow."""

    def order(standing: Standing) -> tuple[bool, float]:
        return bool(standing.unranked), -standing.score.estimate if standing.score else np.inf

    found = sorted(standings, key=order)
    scores = [standing.score for standing in found if standing.score and not standing.unranked]
    ranked = []
    for rank, standing in enumerate(found, start=1):
        if standing.unranked or standing.score is None:
            ranked.append(standing)
            continue
        above = sum(other.low > standing.score.high for other in scores)
        below = sum(other.high < standing.score.low for other in scores)
        ranked.append(replace(standing, rank=rank, ranks=(1 + above, len(scores) - below)))
    return ranked
