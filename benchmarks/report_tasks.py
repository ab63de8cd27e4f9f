"""One fold for each task of a large suite: its learning curves, its single seeds, and what agents write there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from textgym.pictures.charts import ticks

from . import report_plots as plots
from .records import RunResult
from .reference_lines import Line
from .report_board import anchor
from .report_figures import curve_figure
from .report_table import agent_cell
from .report_texts import text_table
from .standings import Arena, Board, Cell
from .summary import HELD_OUT, TRAINING, Summary

_TEXTS = 3


def task_folds(
    summary: Summary, board: Board, styles: Mapping[str, int], references: Mapping[str, Sequence[Line]]
) -> str:
    """A fold for each task.

    Args:
        summary: The comparison.
        board: Its leaderboard.
        styles: Agent -> its number.
        references: Environment -> what writers that need no training earn there.
    """
    folds = "".join(
        _fold(summary, board, arena, number, styles, references.get(arena.name, ()))
        for number, arena in enumerate(board.arenas)
    )
    return (
        "<h2>Curves and texts of each task</h2><p>Curves: what the texts written in training earned, mean over the "
        "seeds, the band from the lowest to the highest. Texts: each agent's median run, greedy play at the end.</p>"
        + folds
    )


def _fold(
    summary: Summary,
    board: Board,
    arena: Arena,
    number: int,
    styles: Mapping[str, int],
    references: Sequence[Line],
) -> str:
    good = [run for run in arena.runs if run.status == "ok"]
    figures = [
        curve_figure(good, score, styles, scaled=arena.scaled) for score in dict.fromkeys((arena.score, "reward"))
    ]
    seeds = _seeds(board, arena, styles)
    texts = "".join(_texts(arena, label, styles) for label in board.labels if label in arena.cells)
    tags = f" · {', '.join(arena.tags)}" if arena.tags else ""
    return (
        f"<details class=task><summary><b>{escape(arena.short_name)}</b>"
        f"<span class='soft small'>{escape(tags)}</span></summary>"
        f"<p id={anchor(number)} class='soft small'>{escape(arena.name)}</p>"
        f"<div class=grid>{''.join(figures)}{seeds}</div>{_reference_table(references)}"
        f"<div class=grid>{texts}</div></details>"
    )


def _seeds(board: Board, arena: Arena, styles: Mapping[str, int]) -> str:
    """One sign a run; the bar is the interquartile mean."""
    values = [value for cell in arena.cells.values() for value in cell.scores.values()]
    if not values:
        return ""
    ends = [*values, *((0.0, 1.0) if arena.scaled else ())]
    margin = 0.08 * (max(ends) - min(ends)) or 1.0
    low, high = min(ends) - margin, max(ends) + margin
    lines = [0.0, 1.0] if arena.scaled else []
    ticks = [(0.0, "random"), (1.0, "best")] if arena.scaled else _ticks(low, high)
    rows = "".join(
        f"<tr><td>{agent_cell(label, styles[label])}</td><td>"
        f"{_dots(arena.cells[label], styles[label], low, high, lines)}</td></tr>"
        for label in board.labels
        if label in arena.cells
    )
    axis = plots.seed_axis(ticks, low=low, high=high)
    return (
        f"<figure><h3>Single seeds: {arena.score}, {arena.prompts} prompts</h3><div class=scroll><table class=dots>"
        f"<tbody>{rows}<tr class=line><td></td><td>{axis}</td></tr></tbody></table></div></figure>"
    )


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    return [(tick, plots.number(tick, 3)) for tick in ticks(low, high, about=4)]


def _dots(cell: Cell, style: int, low: float, high: float, lines: Sequence[float]) -> str:
    if cell.interval is None:
        return "–"
    seeds = [(f"seed {seed}", value) for seed, value in cell.scores.items()]
    return plots.seed_plot(seeds, cell.interval.estimate, style, low=low, high=high, lines=lines)


def _reference_table(lines: Sequence[Line]) -> str:
    if not lines:
        return ""
    rows = "".join(
        f"<tr><td>{escape(line.name)}</td><td>{escape(line.split)}</td><td>{escape(line.score)}</td>"
        f"<td class=meta>{plots.number(line.value, 4)}</td>"
        f"<td class=meta>{'–' if line.normalized is None else plots.number(line.normalized)}"
        f"{'' if line.exact else ' <small>estimate</small>'}</td><td class='soft small'>{escape(line.note)}</td></tr>"
        for line in lines
    )
    head = "".join(
        f"<th>{name}</th>" for name in ("writer without training", "prompts", "score", "as paid", "scaled", "")
    )
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _texts(arena: Arena, label: str, styles: Mapping[str, int]) -> str:
    run = _median(arena, label)
    if run is None:
        return ""
    name, prompts = ("held_out", HELD_OUT) if arena.prompts == HELD_OUT else ("greedy", TRAINING)
    texts = run.texts.get(name, [])[:_TEXTS]
    if not texts:
        return ""
    title = (
        f"{agent_cell(label, styles[label])} <span class='soft small'>seed {run.spec.seed}, {prompts} prompts</span>"
    )
    return f"<figure><h3>{title}</h3>{text_table(run, prompts, texts)}</figure>"


def _median(arena: Arena, label: str) -> RunResult | None:
    scores = arena.cells[label].scores
    runs = [run for run in arena.runs if run.spec.label == label and run.spec.seed in scores and run.status == "ok"]
    runs.sort(key=lambda run: scores[run.spec.seed])
    return runs[len(runs) // 2] if runs else None
