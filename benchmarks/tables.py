"""The tables of a report, whatever they are written in: leaderboard, scores by task, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .alarms import alarms_of
from .standings import Arena, Board, Standing
from .stats import Interval
from .summary import Row, Summary
from .tally_notes import tally_sentences
from .tuning_notes import tuning_sentences


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cell of a table.

    Attributes:
        text: What stands there, as plain text with a point and a minus sign of ASCII.
        bold: Whether it is set in bold.
    """

    text: str
    bold: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as data.

    Attributes:
        name: Short name, also that of its file.
        title: Caption.
        columns: Headings.
        numeric: Which columns are numbers, and so stand at the right.
        rows: One entry a column each.
        notes: Sentences below it.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the finished runs of an agent cost on average.

    Attributes:
        steps: Environment steps in training; a step is one token.
        reward_calls: Texts that the reward model scored in training.
        train_seconds: Wall time of training.
        evaluation_seconds: Wall time of the evaluations.
        cpu_seconds: Processor time.
        gpu_seconds: GPU time.
        peak_memory_bytes: Most memory of any of its runs.
        alarms: Runs with an alarm.
        runs: Runs that went in.
    """

    steps: float
    reward_calls: float
    train_seconds: float
    evaluation_seconds: float
    cpu_seconds: float
    gpu_seconds: float
    peak_memory_bytes: int
    alarms: int
    runs: int


def separated_best(intervals: Mapping[str, Interval | None]) -> str | None:
    """Who is best and clearly so: the interval lies above those of all others; None where nobody's does.

    A single run has no interval, so it is neither best nor in the way.

    Example:
        >>> separated_best({"a": Interval(0.9, 0.8, 1.0, 5), "b": Interval(0.6, 0.5, 0.7, 5)})
        'a'
    """
    found = {name: interval for name, interval in intervals.items() if interval is not None and interval.n > 1}
    if len(found) < 2:
        return None
    best = max(found, key=lambda name: found[name].estimate)
    others = [interval.high for name, interval in found.items() if name != best]
    return best if found[best].low > max(others) else None


def cost_of(row: Row) -> Cost:
    """What an agent's runs cost."""
    return Cost(
        steps=row.average(lambda run: run.steps),
        reward_calls=row.average(lambda run: run.reward_calls),
        train_seconds=row.average(lambda run: run.train_seconds),
        evaluation_seconds=row.average(lambda run: run.evaluation_seconds),
        cpu_seconds=row.average(lambda run: run.cpu_seconds),
        gpu_seconds=row.average(lambda run: run.gpu_seconds),
        peak_memory_bytes=max((run.peak_memory_bytes for run in row.good), default=0),
        alarms=sum(bool(alarms_of(run)) for run in row.runs),
        runs=len(row.good),
    )


def all_tables(summary: Summary, board: Board) -> list[Table]:
    """The tables of a comparison."""
    return [leaderboard_table(board), tasks_table(board), cost_table(summary, board)]


def leaderboard_table(board: Board) -> Table:
    """The agents, best first."""
    failed = any(standing.left_out is not None for standing in board.standings)
    columns = ("rank", "agent", "score", "95 % interval", *(["without failed runs"] if failed else []),
               "mean", "median", "optimality gap", "tasks", "runs")  # fmt: skip
    best = separated_best({s.label: s.score for s in board.standings if not s.unranked})
    unranked = [
        f"{standing.label} is not ranked: {standing.unranked}." for standing in board.standings if standing.unranked
    ]
    return Table(
        name="leaderboard",
        title="Leaderboard: interquartile mean over tasks and seeds",
        columns=columns,
        numeric=(True, False, *(True,) * (len(columns) - 2)),
        rows=tuple(_standing_row(standing, len(board.scaled), best, failed=failed) for standing in board.standings),
        notes=(*score_notes(board), *unranked),
    )


def tasks_table(board: Board) -> Table:
    """Every agent on every task."""
    labels = board.labels
    rows = []
    for arena in board.arenas:
        intervals = {label: _interval(arena, label) for label in labels}
        best = separated_best(intervals)
        blind = f"{arena.lines.blind:.2f}" if arena.lines and arena.scaled else "-"
        cells = [Entry(text=cell_text(arena, label), bold=label == best) for label in labels]
        rows.append((Entry(text=arena.short_name), Entry(text=arena.score), Entry(text=blind), *cells))
    return Table(
        name="tasks",
        title="Scores by task: interquartile mean over seeds with its 95 % interval",
        columns=("task", "judged by", "blind text", *labels),
        numeric=(False, False, *(True,) * (len(labels) + 1)),
        rows=tuple(rows),
        notes=(
            "Bold: the interval lies above those of all other agents.",
            *_left_out_note(board),
            *_unscaled_note(board),
        ),
    )


def cost_table(summary: Summary, board: Board) -> Table:
    """What the agents' runs cost on average."""
    columns = ("agent", "steps (tokens)", "reward calls", "training s", "evaluation s", "CPU s", "GPU s", "peak memory",
               "runs with alarms")  # fmt: skip
    rows = {row.label: row for row in summary.rows}
    return Table(
        name="cost",
        title="Cost of a run, mean over the runs of an agent",
        columns=columns,
        numeric=(False, *(True,) * 8),
        rows=tuple(_cost_row(label, cost_of(rows[label])) for label in board.labels),
        notes=("Peak memory is the most of any run. Times depend on the machine.",),
    )


def score_notes(board: Board) -> tuple[str, ...]:
    """What the scores of the leaderboard mean, and how exact their scale is."""
    held_out = sum(arena.prompts == "held-out" for arena in board.scaled)
    estimates = [arena.short_name for arena in board.scaled if arena.lines and arena.lines.inexact]
    exact = "exact on all tasks" if not estimates else f"exact but for {', '.join(estimates)}"
    if len(estimates) > 6:
        exact = f"exact on {len(board.scaled) - len(estimates)} of {len(board.scaled)} tasks, estimated on the others"
    return (
        f"Greedy play; held-out prompts on the {held_out} of {len(board.scaled)} tasks that have some; gold where a "
        "task has a true score, else reward.",
        f"0 is random play, 1 the best text; the scale is {exact}.",
        "A failed run counts as random play, or as the agent's worst run on the task if that is worse.",
        *_unscaled_note(board),
        *tuning_sentences(run for arena in board.arenas for run in arena.runs),
        *tally_sentences(run for arena in board.arenas for run in arena.runs),
    )


def cell_text(arena: Arena, label: str) -> str:
    """``0.98 [0.96, 1.00]``; a dash where there is nothing, "failed" where all runs did."""
    cell = arena.cells.get(label)
    if cell is None:
        return "-"
    if cell.interval is None:
        return "failed"
    failed = f", {len(cell.failed)} failed" if cell.failed else ""
    mark = " !" if cell.impossible else ""
    estimate, low, high = (plain(value) for value in (cell.interval.estimate, cell.interval.low, cell.interval.high))
    interval = f" [{low}, {high}]" if cell.interval.n > 1 else " (one run)"
    return f"{estimate}{mark}{interval}{failed}"


def plain(value: float) -> str:
    """Two decimals, no negative zero."""
    return f"{value:.2f}".replace("-0.00", "0.00")


def memory_text(value: int) -> str:
    """Bytes as MB; a dash for zero, which means that they were not measured.

    Example:
        >>> memory_text(523_400_000), memory_text(0)
        ('523 MB', '-')
    """
    return f"{value / 1e6:,.0f} MB" if value else "-"


def _interval(arena: Arena, label: str) -> Interval | None:
    cell = arena.cells.get(label)
    return cell.interval if cell and not cell.impossible else None


def _standing_row(standing: Standing, tasks: int, best: str | None, *, failed: bool) -> tuple[Entry, ...]:
    score = standing.score
    averages = (*([standing.left_out] if failed else []), standing.mean, standing.median, standing.gap)
    values = (
        "-" if standing.rank is None else str(standing.rank),
        standing.label,
        "-" if score is None else plain(score.estimate),
        "-" if score is None else f"{plain(score.low)} to {plain(score.high)}",
        *("-" if value is None else plain(value.estimate) for value in averages),
        f"{standing.tasks}/{tasks}",
        f"{standing.finished}/{standing.planned}" + (f", {standing.failed} failed" if standing.failed else ""),
    )
    return tuple(Entry(text=text, bold=place == 2 and standing.label == best) for place, text in enumerate(values))


def _cost_row(label: str, cost: Cost) -> tuple[Entry, ...]:
    seconds: Sequence[float] = (cost.train_seconds, cost.evaluation_seconds, cost.cpu_seconds, cost.gpu_seconds)
    texts = (
        label,
        f"{cost.steps:,.0f}",
        f"{cost.reward_calls:,.0f}",
        *(f"{value:,.1f}" if value else "-" for value in seconds),
        memory_text(cost.peak_memory_bytes),
        str(cost.alarms),
    )
    return tuple(Entry(text=text) for text in texts)


def _left_out_note(board: Board) -> tuple[str, ...]:
    failed = any(cell.failed for arena in board.arenas for cell in arena.cells.values())
    return ("Failed runs are counted and left out of these numbers.",) * failed


def _unscaled_note(board: Board) -> tuple[str, ...]:
    left = [arena.short_name for arena in board.arenas if not arena.scaled]
    if not left:
        return ()
    return (f"As paid and not part of the averages, since random and best score are not known: {', '.join(left)}.",)
