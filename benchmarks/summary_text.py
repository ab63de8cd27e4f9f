"""The table of a comparison as plain text, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .standings import Board, Standing, board_of
from .summary import (
    HELD_OUT,
    TRAINING,
    Column,
    Row,
    Summary,
    environment_of,
    impossible_lines,
    interval_text,
    runs_text,
    summarize,
)
from .tally_notes import tally_sentences

BOARD_NOTE = (
    "Score: interquartile mean over tasks and seeds with its 95 % bootstrap interval; greedy play, held-out prompts "
    "where a task has some; gold where it has one, else reward; 0 is random play, 1 the best text; failed runs count 0 "
    "or worse."
)
_FAILURES = 20


def table_lines(out: Path | str) -> list[str]:
    """The table as plain text, for a terminal: of one environment every column, of several the leaderboard."""
    summary = summarize(out)
    if len(summary.environments) > 1:
        return _board_lines(summary, board_of(summary))
    shown = [column for column in summary.columns if "greedy" in column or TRAINING in column]
    head = ["agent", *(_heading(column) for column in shown), "steps", "time", "runs"]
    body = [_text_row(row, shown) for row in summary.rows]
    warnings = [f"! {line}" for line in impossible_lines(summary)]
    return [*_table(head, body), "", *warnings, *_failures(summary), *_notes(summary)]


def _board_lines(summary: Summary, board: Board) -> list[str]:
    head = ["rank", "agent", "score", "tasks", "steps", "time", "runs"]
    rows = {row.label: row for row in summary.rows}
    body = [_standing_row(standing, rows[standing.label], len(board.scaled)) for standing in board.standings]
    warnings = [
        f"! {standing.label} is not ranked: {standing.unranked}." for standing in board.standings if standing.unranked
    ]
    return [*_table(head, body), "", *warnings, *_failures(summary), BOARD_NOTE, *tally_sentences(summary.results)]


def _standing_row(standing: Standing, row: Row, tasks: int) -> list[str]:
    rank = "-" if standing.rank is None else str(standing.rank)
    score = "-" if standing.score is None else interval_text(standing.score)
    steps, seconds = row.average(lambda run: run.steps), row.average(lambda run: run.train_seconds)
    counts = [f"{standing.tasks} of {tasks}", f"{steps:,.0f}", f"{seconds:.0f} s", runs_text(row)]
    return [rank, standing.label, score, *counts]


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    return [_join(row, widths) for row in (head, ["-" * width for width in widths], *body)]


def _heading(column: Column) -> str:
    play, prompts, score = column
    return " ".join([*(["sampled"] if play == "sampled" else []), *([prompts] if prompts == HELD_OUT else []), score])


def _text_row(row: Row, columns: Sequence[Column]) -> list[str]:
    cells = [_cell_text(row, column) for column in columns]
    seconds = row.average(lambda run: run.train_seconds)
    return [row.label, *cells, f"{row.average(lambda run: run.steps):,.0f}", f"{seconds:.0f} s", runs_text(row)]


def _cell_text(row: Row, column: Column) -> str:
    mark = " !" if column in row.impossible else ""
    return interval_text(row.cells[column]) + mark if column in row.cells else "-"


def _join(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    return "  ".join([first, *others]).rstrip()


def _failures(summary: Summary) -> list[str]:
    failed = [run for row in summary.rows for run in row.failed]
    several = len(summary.environments) > 1
    lines = [
        f"failed: {run.spec.label}{f' on {environment_of(run)}' if several else ''}, seed {run.spec.seed}: "
        f"{' '.join(run.error.split())}"
        for run in failed[:_FAILURES]
    ]
    return lines + ([f"... and {len(failed) - _FAILURES} more failed runs"] if len(failed) > _FAILURES else [])


def _notes(summary: Summary) -> list[str]:
    notes = ["Interquartile mean over runs and its 95 % bootstrap interval; greedy play, training prompts unless said."]
    for (prompts, score), lines in summary.lines.items():
        if prompts == TRAINING and score in summary.scaled:
            known = f" (estimates: {', '.join(lines.inexact)})" if lines.inexact else ""
            notes.append(f"{score}: random play 0, best text 1, best prompt-blind text {lines.blind:.2f}{known}.")
    notes += tally_sentences(summary.results)
    return notes + [
        f"{score}: as it was paid; the random and best {score} of this task are not known."
        for score in dict.fromkeys(column[2] for column in summary.columns)
        if score not in summary.scaled
    ]
