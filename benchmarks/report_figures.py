"""The figures of the report: learning curves, and one sign for every single run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from textgym.pictures.charts import ticks

from . import report_plots as plots
from .records import RunResult
from .report_table import agent_cell
from .standings import Board
from .summary import TRAINING, Column, Row, Summary, environment_of, lines_of, scale_all, score_of, split_of

_FLOOR = -0.5  # scaled curves are cut off here: how bad a beginner is matters little


def curves_section(summary: Summary, styles: Mapping[str, int]) -> str:
    """Learning curves of gold and reward for each environment; ``styles`` numbers the agents."""
    figures = []
    for found in summary.environments.values():
        runs = [run for run in found if run.status == "ok"]
        for score in ("gold", "reward"):
            figure = curve_figure(runs, score, styles, scaled=score in summary.scaled)
            if figure:
                figures.append(figure)
    if not figures:
        return ""
    return (
        "<h2>Learning curves</h2><p>What the texts written in training earned, exploration included: mean over the "
        f"seeds, the band from the lowest to the highest seed.</p><div class=grid>{''.join(figures)}</div>"
    )


def curve_figure(runs: Sequence[RunResult], score: str, styles: Mapping[str, int], *, scaled: bool) -> str:
    """The learning curves of one score in one environment, with their notes; empty if it has none."""
    picture, notes = _curve_picture(runs, score, styles, scaled=scaled)
    if not picture:
        return ""
    return (
        f"<figure><h3>{score.capitalize()} in training</h3>{picture}"
        f"<figcaption>{escape('; '.join(notes))}</figcaption></figure>"
    )


def curve_pictures(board: Board, styles: Mapping[str, int]) -> dict[str, str]:
    """A name for each environment and score -> its learning curves as SVG."""
    found: dict[str, str] = {}
    for arena in board.arenas:
        runs = [run for run in arena.runs if run.status == "ok"]
        for score in ("gold", "reward") if runs else ():
            picture, _ = _curve_picture(runs, score, styles, scaled=arena.scaled)
            words = "-".join(re.findall(r"\w+", f"curves {arena.short_name} {score}"))
            name = words if words not in found else f"{words}-{len(found)}"
            found |= {name: picture} if picture else {}
    return found


def _curve_picture(
    runs: Sequence[RunResult], score: str, styles: Mapping[str, int], *, scaled: bool
) -> tuple[str, list[str]]:
    curves = []
    for label in dict.fromkeys(run.spec.label for run in runs):
        curve = _curve([run for run in runs if run.spec.label == label], score, styles[label], scaled)
        if curve.line:
            curves.append(curve)
    if not curves:
        return "", []
    ends = [end for curve in curves for _, low, high in curve.band for end in (low, high)]
    lines = lines_of(runs).get((TRAINING, score)) if scaled else None
    references = []
    if lines:
        ends += [0.0, 1.05]
        references = [
            plots.Reference(value=1.0, label="best text"),
            plots.Reference(value=lines.blind, label="best prompt-blind text"),
        ]
    budgets = [curve.line[-1][0] for curve in curves]
    starts = [curve.line[0][0] for curve in curves]
    picture = plots.learning_curves(
        curves,
        references,
        title=f"{score} against environment steps",
        log=max(budgets) > 4 * min(budgets) and min(starts) > 0,
        low=max(min(ends), _FLOOR) if lines else min(ends),
        high=max(ends) if max(ends) > min(ends) else min(ends) + 1.0,
    )
    notes = [environment_of(runs[0]), "0 = random play, 1 = best text" if lines else "as paid"]
    notes += [f"cut off at {plots.number(_FLOOR, 3)}"] if lines and min(ends) < _FLOOR else []
    notes += ["from a thin sample of the texts"] if score == "gold" else []
    notes.append(f"n = {_counts(runs)} seeds an agent")
    return picture, notes


def _counts(runs: Sequence[RunResult]) -> str:
    labels = [run.spec.label for run in runs]
    counts = sorted({labels.count(label) for label in labels})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _curve(runs: Sequence[RunResult], score: str, style: int, scaled: bool) -> plots.Curve:
    values: dict[int, list[float]] = {}
    for run in runs:
        known = [(point["steps"], point[score]) for point in run.curve if point[score] is not None]
        shown = [value for _, value in known]
        for (steps, _), value in zip(known, scale_all(run, TRAINING, score, shown) if scaled else shown, strict=True):
            values.setdefault(steps, []).extend([] if value is None else [value])
    points = sorted(values.items())
    return plots.Curve(
        label=runs[0].spec.label,
        style=style,
        line=[(steps, sum(found) / len(found)) for steps, found in points if found],
        band=[(steps, min(found), max(found)) for steps, found in points if found],
    )


def seeds_section(summary: Summary, styles: Mapping[str, int]) -> str:
    """One sign a run, so that seeds in a local optimum can be seen; ``styles`` numbers the agents."""
    columns = [column for column in summary.columns if column[:2] == ("greedy", TRAINING)]
    if not columns:
        return ""
    head = "".join(f"<th>{column[2]}</th>" for column in columns)
    rows = []
    for row in summary.rows:
        cells = "".join(f"<td>{_seed_cell(summary, row, column, styles[row.label])}</td>" for column in columns)
        rows.append(f"<tr><td>{agent_cell(row.label, styles[row.label])}</td>{cells}</tr>")
    axes = "".join(f"<td>{_seed_axis(summary, column)}</td>" for column in columns)
    return (
        "<h2>Single seeds</h2><p>Greedy play on the training prompts, one sign a run; the bar is the interquartile "
        "mean. A sign that stands apart is a seed that ended in a local optimum.</p>"
        f"<div class=scroll><table class=dots><thead><tr><th>agent</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}<tr class=line><td></td>{axes}</tr></tbody></table></div>"
    )


def _seed_cell(summary: Summary, row: Row, column: Column, style: int) -> str:
    if column not in row.cells:
        return "–"
    found = [(_seed_name(run, column), score_of(run, column, summary.scaled)) for run in row.good]
    low, high = _seed_range(summary, column)
    return plots.seed_plot(
        [(name, value) for name, value in found if value is not None],
        row.cells[column].estimate,
        style,
        low=low,
        high=high,
        lines=[value for value, _ in _seed_ticks(summary, column)] if column[2] in summary.scaled else [],
    )


def _seed_name(run: RunResult, column: Column) -> str:
    measure = run.measure(column[0], split_of(run, column[1]), column[2])
    return f"seed {run.spec.seed}" + (" (impossible)" if measure and measure.impossible else "")


def _seed_axis(summary: Summary, column: Column) -> str:
    low, high = _seed_range(summary, column)
    return plots.seed_axis(_seed_ticks(summary, column), low=low, high=high)


def _seed_ticks(summary: Summary, column: Column) -> list[tuple[float, str]]:
    known = summary.lines.get(column[1:])
    if known and column[2] in summary.scaled:
        return [(0.0, "random"), (known.blind, "prompt-blind"), (1.0, "best")]
    return [(tick, plots.number(tick, 3)) for tick in ticks(*_seed_range(summary, column), about=4)]


def _seed_range(summary: Summary, column: Column) -> tuple[float, float]:
    found = (score_of(run, column, summary.scaled) for row in summary.rows for run in row.good)
    ends = [value for value in found if value is not None]
    ends += [0.0, 1.0] if column[2] in summary.scaled else []
    margin = 0.08 * (max(ends) - min(ends)) or 1.0
    return min(ends) - margin, max(ends) + margin
