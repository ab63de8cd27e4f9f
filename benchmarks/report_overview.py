"""The pictures over all tasks: performance profiles, the radar of skills, and scores against the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from . import report_plots as plots
from .report_charts import profile_chart, radar_chart
from .standings import Arena, Board, interval_of
from .stats import Interval, interquartile_mean
from .stats_profiles import Band, LearningCurve, on_grid, performance_profile, sample_efficiency
from .summary import TRAINING, scale_all

MOST_AXES = 14
"""A radar with more spokes cannot be read."""

Floats = NDArray[np.float64]

_LOWEST = -0.25  # of the profiles and curves: how bad a beginner is matters little
_STEPS = 101  # of a profile
_SHARES = np.arange(2.0, 101.0, 2.0)  # of the budget, in per cent
_MOST_BANDED = 400  # runs of an agent: the width of a band takes time that grows with their square
_DRAWS = 20_000_000  # numbers drawn for one band at most


def overview_pictures(board: Board, styles: Mapping[str, int]) -> dict[str, tuple[str, str, str]]:
    """Name of each picture -> its headline, its SVG and what is said below it; those that make sense here."""
    found = {}
    if any(board.strata(label) for label in board.labels):
        found["profiles"] = _profiles(board, styles)
    axes = _axes(board)
    if len(axes) >= 3:
        found["radar"] = _radar(board, styles, axes)
    if len(board.scaled) > 1:
        curves = _efficiency(board, styles)
        found |= {"efficiency": curves} if curves else {}
    return found


def overview_section(board: Board, styles: Mapping[str, int]) -> str:
    """The pictures side by side, and the table behind the radar."""
    pictures = overview_pictures(board, styles)
    if not pictures:
        return ""
    figures = "".join(
        f"<figure><h3>{title}</h3>{picture}<figcaption>{escape(note)}</figcaption></figure>"
        for title, picture, note in pictures.values()
    )
    return f"<h2>Over all tasks</h2><div class=grid>{figures}</div>{_skills(board)}"


def _profiles(board: Board, styles: Mapping[str, int]) -> tuple[str, str, str]:
    every = [score for label in board.labels for scores in board.strata(label) for score in scores]
    low, high = max(_LOWEST, min(0.0, *every)), max(1.0, *every)
    thresholds = np.linspace(low, high, _STEPS)
    curves = []
    for label in board.labels:
        strata = board.strata(label)
        if strata:
            replicates = _replicates(sum(map(len, strata)), _STEPS)
            found = performance_profile(strata, thresholds, np.random.default_rng(0), replicates=replicates)
            line, band = _lines(found)
            curves.append(plots.Curve(label=label, style=styles[label], line=line, band=band))
    picture = profile_chart(curves, [plots.Reference(value=1.0, label="best text")], low=low, high=high)
    note = (
        "The share of runs that reach more than a score, all tasks weighing the same; bands are 95 % bootstrap "
        "intervals at each score. Higher is better everywhere; where lines cross, neither agent is the better one."
    )
    return "Performance profiles", picture, note


def _lines(found: Band) -> tuple[list[plots.Point], list[tuple[float, float, float]]]:
    """A band as the charts want it."""
    rows = list(
        zip(*(column.tolist() for column in (found.places, found.estimate, found.low, found.high)), strict=True)
    )
    return [(x, value) for x, value, _, _ in rows], [(x, low, high) for x, _, low, high in rows]


def _replicates(runs: int, places: int) -> int:
    return max(200, min(2_000, _DRAWS // (runs * places)))


def _axes(board: Board) -> list[str]:
    """The skills of the radar: all, or those that most tasks ask for, in the order of the suite."""
    tags = board.tags
    counts = {tag: sum(tag in arena.tags for arena in board.scaled) for tag in tags}
    chosen = sorted(tags, key=lambda tag: -counts[tag])[:MOST_AXES]
    return [tag for tag in tags if tag in chosen]


def _radar(board: Board, styles: Mapping[str, int], axes: Sequence[str]) -> tuple[str, str, str]:
    values = {label: [_skill(board, label, tag) for tag in axes] for label in board.labels if board.strata(label)}
    picture = radar_chart(axes, values, {label: styles[label] for label in values})
    note = (
        "Interquartile mean over all runs on tasks that ask for a skill; random play in the middle, the best text at "
        "the rim."
    )
    left = len(board.tags) - len(axes)
    return "Skills", picture, note + (f" {left} skills of fewer tasks are in the table only." if left else "")


def _skill(board: Board, label: str, tag: str) -> float | None:
    scores = [score for found in board.strata(label, tag=tag) for score in found]
    return float(interquartile_mean(scores)) if scores else None


def _skills(board: Board) -> str:
    tags = board.tags
    if not tags:
        return ""
    head = "".join(f"<th>{escape(label)}</th>" for label in board.labels)
    rows = []
    for tag in tags:
        cells = "".join(_skill_cell(board, label, tag) for label in board.labels)
        count = sum(tag in arena.tags for arena in board.scaled)
        rows.append(f"<tr><td>{escape(tag)}</td><td class=meta>{count}</td>{cells}</tr>")
    return (
        "<details><summary>Every skill as a table, with intervals</summary><div class=scroll><table><thead><tr>"
        f"<th>skill</th><th>tasks</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _skill_cell(board: Board, label: str, tag: str) -> str:
    interval = interval_of(board.strata(label, tag=tag), replicates=2_000)
    if interval is None:
        return "<td>–</td>"
    low, high = plots.number(interval.low), plots.number(interval.high)
    return f"<td class=score>{plots.number(interval.estimate)}<small>{low} to {high}</small></td>"


def _efficiency(board: Board, styles: Mapping[str, int]) -> tuple[str, str, str] | None:
    found = {label: curve for label in board.labels if (curve := _efficiency_of(board, label)) is not None}
    if not found:
        return None
    curves = []
    for label, curve in found.items():
        line, band = _lines(curve.band)
        curves.append(plots.Curve(label=label, style=styles[label], line=line, band=band))
    picture = plots.line_chart(
        curves,
        [plots.Reference(value=1.0, label="best text")],
        title="score in training against the share of the budget",
        words="share of the budget, in per cent",
        low=_LOWEST,
        high=max(1.05, *(high for curve in curves for _, _, high in curve.band)),
    )
    areas = ", ".join(f"{label} {plots.number(curve.area.estimate)}" for label, curve in found.items())
    note = (
        "What the texts written in training earned, exploration included, over all tasks: interquartile mean of runs "
        f"at each share of their budget, with its 95 % band, but for agents with more than "
        f"{_MOST_BANDED} runs. Mean height of the curves: {areas}."
    )
    return "Sample efficiency", picture, note


def _efficiency_of(board: Board, label: str) -> LearningCurve | None:
    tasks = [curves for arena in board.scaled if (curves := _training_curves(arena, label))]
    if not tasks:
        return None
    count = sum(map(len, tasks))
    if count > _MOST_BANDED:
        line = interquartile_mean(np.concatenate([np.array(curves) for curves in tasks]).T)
        height = float(np.mean((line[1:] + line[:-1]) / 2))  # the shares are evenly spaced
        return LearningCurve(Band(_SHARES, line, line, line, count), Interval(height, height, height, count))
    replicates = _replicates(count, len(_SHARES))
    return sample_efficiency(tasks, _SHARES, np.random.default_rng(0), replicates=replicates)


def _training_curves(arena: Arena, label: str) -> list[Floats]:
    """For each run that did not fail, its score in training at each share of its budget, in per cent."""
    rows = []
    for run in arena.runs:
        if run.spec.label != label or run.status != "ok":
            continue
        points = [(point["steps"], point[arena.score]) for point in run.curve if point[arena.score] is not None]
        values = scale_all(run, TRAINING, arena.score, [value for _, value in points])
        known = [
            (100.0 * steps / run.spec.steps, value)
            for (steps, _), value in zip(points, values, strict=True)
            if value is not None
        ]
        if known:
            rows.append(on_grid([steps for steps, _ in known], [value for _, value in known], _SHARES))
    return rows
