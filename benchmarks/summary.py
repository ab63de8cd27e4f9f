"""From the records of runs to the rows of the table, for the terminal and for the page alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .ledger import read_plan, read_results
from .records import RunResult
from .stats import Interval, bootstrap_interval, mean

TRAINING, HELD_OUT = "training", "held-out"
COLUMNS = tuple(
    (play, prompts, score)
    for play, prompts in (("greedy", TRAINING), ("greedy", HELD_OUT), ("sampled", TRAINING), ("sampled", HELD_OUT))
    for score in ("gold", "reward")
)
"""(play, prompts, score) of every column of scores."""

Column = tuple[str, str, str]

_DRAWS = 1_000_000  # scores drawn for one interval at most: with more than 20 scores there are fewer replicates

HACKING_GAP = 0.15
"""A scaled gold score that is lower than the reward by this much is worth a warning."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One agent of a comparison.

    Attributes:
        label: Its name.
        runs: Its finished runs, failed ones included.
        planned: How many runs were planned.
        cells: The interquartile mean of each column over all runs that did not fail; columns that were
            not measured are missing.
        with_failures: The same, each failed run counted as :func:`failed_score`; None where nothing failed. Only
            columns on the scale random play = 0, best text = 1.
        impossible: The columns in which a run earned more than anyone can, with the sentence that says so; such
            an agent is not ranked.
    """

    label: str
    runs: tuple[RunResult, ...]
    planned: int
    cells: dict[Column, Interval]
    with_failures: dict[Column, Interval] | None
    impossible: dict[Column, str]

    @property
    def good(self) -> list[RunResult]:
        """The runs that did not fail."""
        return [run for run in self.runs if run.status == "ok"]

    @property
    def failed(self) -> list[RunResult]:
        """The runs that failed."""
        return [run for run in self.runs if run.status != "ok"]

    def average(self, quantity: Callable[[RunResult], float]) -> float:
        """The mean of some quantity over the runs that did not fail; 0.0 if all did."""
        values = [quantity(run) for run in self.good]
        return float(mean(values)) if values else 0.0


@dataclass(frozen=True, kw_only=True)
class Lines:
    """The lines that scores are held against on one split, on the scale random play = 0, best text = 1.

    Attributes:
        blind: The best fixed text.
        inexact: Which of random, blind and best are not exact.
    """

    blind: float
    inexact: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All that the table says.

    Attributes:
        title: Headline.
        plan: What was to be run; empty if that is not known.
        rows: The agents, best first: by gold, else by reward, of greedy play on the training prompts; those with
            impossible scores last.
        results: The finished runs of the plan.
        scaled: The scores ("gold", "reward") on the scale random play = 0, best text = 1; others are shown
            as they were paid, because the random and best return of the task are not known.
        columns: The columns that were measured.
        lines: (prompts, score) -> the lines, where they are known.
    """

    title: str
    plan: dict[str, Any]
    rows: list[Row]
    results: list[RunResult]
    scaled: frozenset[str]
    columns: list[Column]
    lines: dict[tuple[str, str], Lines]

    @cached_property
    def environments(self) -> dict[str, list[RunResult]]:
        """Name of each environment -> the finished runs on it."""
        found: dict[str, list[RunResult]] = {}
        for run in self.results:
            found.setdefault(environment_of(run), []).append(run)
        return found

    @property
    def headline(self) -> Column:
        """The column that agents are ranked by."""
        return self.columns[0] if self.columns else COLUMNS[0]


def summarize(out: Path | str) -> Summary:
    """Reads a comparison's folder and averages over seeds.

    Runs of an earlier plan in the same folder are left out. With which budget a config was found, the plan says, since
    the same run may have been made before anybody searched.
    """
    plan, results = read_plan(out), read_results(out)
    planned = {run["key"]: run for run in plan.get("runs", [])}
    if planned:
        results = [result for result in results if result.spec.key in planned]
    for result in results:
        tuning = planned.get(result.spec.key, {}).get("tuning", result.spec.tuning)
        if tuning != result.spec.tuning:
            result.spec = replace(result.spec, tuning=tuning)
    return summary_of(results, plan)


def summary_of(results: list[RunResult], plan: dict[str, Any]) -> Summary:
    """Averages records over seeds; ``plan`` is that of :func:`textgym.benchmarks.ledger.read_plan`, or empty."""
    measures = [measure for result in results for measure in result.measures]
    scaled = frozenset(m.score for m in measures) - {m.score for m in measures if m.normalized is None}
    planned = [run["label"] for run in plan.get("runs", [])] or [result.spec.label for result in results]
    by_label: dict[str, list[RunResult]] = {label: [] for label in planned}
    for result in results:
        by_label.setdefault(result.spec.label, []).append(result)
    rows = [_row(label, found, planned.count(label), scaled) for label, found in by_label.items()]
    columns = [column for column in COLUMNS if any(column in row.cells for row in rows)]
    rows.sort(key=lambda row: _order(row, columns))
    return Summary(
        title=plan.get("title", "Comparison"),
        plan=plan,
        rows=rows,
        results=results,
        scaled=scaled,
        columns=columns,
        lines=lines_of(results),
    )


def _order(row: Row, columns: Sequence[Column]) -> tuple[bool, float]:
    cell = row.cells.get(columns[0]) if columns else None
    return bool(row.impossible), np.inf if cell is None else -cell.estimate


def _row(label: str, results: Iterable[RunResult], planned: int, scaled: frozenset[str]) -> Row:
    runs = tuple(results)
    failed = any(run.status != "ok" for run in runs)
    return Row(
        label=label,
        runs=runs,
        planned=planned,
        cells=_cells(runs, COLUMNS, scaled),
        with_failures=_cells(runs, [c for c in COLUMNS if c[2] in scaled], scaled, worst_case=True) if failed else None,
        impossible=_impossible(runs),
    )


def _impossible(runs: Iterable[RunResult]) -> dict[Column, str]:
    found: dict[Column, str] = {}
    for run in runs:
        for play, prompts, score in COLUMNS if run.status == "ok" else ():
            measure = run.measure(play, split_of(run, prompts), score)
            if measure is not None and measure.impossible:
                found.setdefault((play, prompts, score), f"seed {run.spec.seed}, {play} play: {measure.impossible}")
    return found


def _cells(
    runs: Sequence[RunResult], columns: Sequence[Column], scaled: frozenset[str], *, worst_case: bool = False
) -> dict[Column, Interval]:
    cells = {}
    for column in columns:
        strata: dict[str, list[float]] = {}
        for run in runs:
            value = score_of(run, column, scaled)
            if value is not None:
                strata.setdefault(environment_of(run), []).append(value)
        for run in runs if worst_case else ():
            if run.status != "ok":
                scores = strata.setdefault(environment_of(run), [])
                scores.append(failed_score(scores))
        # Scores as they were paid cannot be averaged over environments that pay differently.
        if strata and (column[2] in scaled or len(strata) == 1):
            count = sum(map(len, strata.values()))
            replicates = max(1_000, min(50_000, _DRAWS // count))
            cells[column] = bootstrap_interval(list(strata.values()), np.random.default_rng(0), replicates=replicates)
    return cells


def failed_score(scores: Iterable[float]) -> float:
    """What a failed run counts as on the scale: random play, or the agent's own worst run if that is worse.

    Otherwise an agent below random play would gain by crashing.

    Args:
        scores: What its other runs on the same task have reached.

    Example:
        >>> failed_score([0.7, 0.9]), failed_score([0.7, -0.2])
        (0.0, -0.2)
    """
    return min([0.0, *scores])


def score_of(run: RunResult, column: Column, scaled: frozenset[str]) -> float | None:
    """A run's score in a column; None if it failed or that was not measured."""
    play, prompts, score = column
    measure = run.measure(play, split_of(run, prompts), score) if run.status == "ok" else None
    if measure is None:
        return None
    return measure.normalized if score in scaled else measure.mean


def environment_of(run: RunResult) -> str:
    """Names what a run was trained on; runs with the same name are averaged."""
    return run.spec.environment


def split_of(run: RunResult, prompts: str) -> str:
    """The name of the split that serves as training or held-out prompts in a run."""
    return run.training_split if prompts == TRAINING else "test"


def scale(run: RunResult, prompts: str, score: str, value: float | None) -> float | None:
    """Puts a value on the scale of a run's task: random play 0, best text 1; None where that is not known."""
    return None if value is None else scale_all(run, prompts, score, [value])[0]


def scale_all(run: RunResult, prompts: str, score: str, values: Sequence[float]) -> list[float | None]:
    """:func:`scale` of many values of one run."""
    facts = run.references.get(split_of(run, prompts), {}).get(score)
    if facts is None:
        return [None] * len(values)
    random, width = facts["random"], facts["best"] - facts["random"]
    return [float((value - random) / width) for value in values]


def lines_of(results: Sequence[RunResult]) -> dict[tuple[str, str], Lines]:
    """(prompts, score) -> the lines of these runs' environments, averaged, each environment once."""
    environments = list({environment_of(run): run for run in results if run.references}.values())
    found = {}
    for prompts in (TRAINING, HELD_OUT):
        for score in ("gold", "reward"):
            facts = [run.references.get(split_of(run, prompts), {}).get(score) for run in environments]
            blind = [
                scale(run, prompts, score, fact["blind"])
                for run, fact in zip(environments, facts, strict=True)
                if fact is not None
            ]
            if blind and len(blind) == len(facts):
                inexact = dict.fromkeys(name for fact in facts if fact is not None for name in fact["inexact"])
                found[prompts, score] = Lines(
                    blind=float(np.mean(np.array(blind, dtype=float))), inexact=tuple(inexact)
                )
    return found


def impossible_lines(summary: Summary) -> list[str]:
    """One sentence for each agent with an impossible score."""
    return [
        f"{row.label} is not ranked ({next(iter(row.impossible.values()))})." for row in summary.rows if row.impossible
    ]


def interval_text(interval: Interval) -> str:
    """``0.98 [0.96, 1.00]``."""
    estimate, low, high = (
        f"{value:.2f}".replace("-0.00", "0.00") for value in (interval.estimate, interval.low, interval.high)
    )
    return f"{estimate} [{low}, {high}]"


def runs_text(row: Row) -> str:
    """How many runs went in, and what became of the others."""
    text = f"{len(row.good)}/{row.planned}"
    return text + (f", {len(row.failed)} failed" if row.failed else "")
