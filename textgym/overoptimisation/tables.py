"""A study as tables: every point, what became of each proxy, the fitted formulas and the texts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from textgym.overoptimisation.forms import FORMS
from textgym.overoptimisation.results import Cell, Curve, Study

Row = Sequence[object]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What became of one kind of proxy under one method; means over seeds.

    Attributes:
        cell: The proxy, without its seed.
        method: How it was optimised.
        seeds: How many there were.
        start: Gold of the reference.
        peak: Highest gold.
        peak_distance: Where, as the square root of the divergence.
        end: Gold at the end.
        end_distance: Where that is.
        drop: Gold lost between peak and end.
        least_drop: The smallest of any seed.
        most_drop: The largest.
    """

    cell: Cell
    method: str
    seeds: int
    start: float
    peak: float
    peak_distance: float
    end: float
    end_distance: float
    drop: float
    least_drop: float
    most_drop: float


def group_curves(study: Study) -> dict[tuple[Cell, str], list[Curve]]:
    """The curves of all seeds together, by proxy and method, in the order of the study."""
    groups: dict[tuple[Cell, str], list[Curve]] = {}
    for curve in study.curves:
        cell = Cell(model=curve.cell.model, pairs=curve.cell.pairs, noise=curve.cell.noise)
        groups.setdefault((cell, curve.method), []).append(curve)
    return groups


def summarise(study: Study) -> list[Summary]:
    """One line for each kind of proxy and method."""

    def mean(values: Iterable[float]) -> float:
        return float(np.mean(list(values)))

    return [
        Summary(
            cell=cell,
            method=method,
            seeds=len(curves),
            start=mean(curve.start.gold for curve in curves),
            peak=mean(curve.peak.gold for curve in curves),
            peak_distance=mean(curve.peak.distance for curve in curves),
            end=mean(curve.end.gold for curve in curves),
            end_distance=mean(curve.end.distance for curve in curves),
            drop=mean(curve.drop for curve in curves),
            least_drop=min(curve.drop for curve in curves),
            most_drop=max(curve.drop for curve in curves),
        )
        for (cell, method), curves in group_curves(study).items()
    ]


def points_csv(study: Study) -> str:
    """Every point of every curve, and the agents."""
    head = "model pairs noise seed method strength kl kl_error kl_formula distance proxy proxy_error gold gold_error"
    rows: list[Row] = [
        [*_cell(curve.cell), curve.method, point.strength, point.kl, point.kl_error, point.formula, point.distance]
        + [point.proxy, point.proxy_error, point.gold, point.gold_error]
        for curve in study.curves
        for point in curve.points
    ]
    rows += [
        [agent.name, None, None, None, "agent", None, agent.kl, agent.kl_error, None, agent.distance]
        + [agent.reward, agent.reward_error, agent.gold, agent.gold_error]
        for agent in study.agents
    ]
    return _write(head.split(), rows)


def summary_csv(study: Study) -> str:
    """One line for each kind of proxy and method."""
    head = "model pairs noise seeds method start peak peak_distance end end_distance drop least_drop most_drop"
    rows = [
        [line.cell.model, line.cell.pairs, line.cell.noise, line.seeds, line.method, line.start, line.peak]
        + [line.peak_distance, line.end, line.end_distance, line.drop, line.least_drop, line.most_drop]
        for line in summarise(study)
    ]
    return _write(head.split(), rows)


def fits_csv(study: Study) -> str:
    """Both formulas, fitted to every curve."""
    head = "model pairs noise seed method form formula alpha beta r_squared error largest_residual residuals"
    rows = [
        [*_cell(curve.cell), curve.method, fit.form, FORMS[fit.form], fit.alpha, fit.beta, fit.r_squared, fit.error]
        + [max(map(abs, fit.residuals)), " ".join(f"{value:.4g}" for value in fit.residuals)]
        for curve in study.curves
        for fit in curve.fits
    ]
    return _write(head.split(), rows)


def texts_csv(study: Study) -> str:
    """Texts at start, peak and end of the tilted curves."""
    head = "model pairs noise place prompt text proxy gold"
    rows = [
        [each.cell.model, each.cell.pairs, each.cell.noise, each.place, each.prompt, each.text, each.proxy, each.gold]
        for each in study.excerpts
    ]
    return _write(head.split(), rows)


def _cell(cell: Cell) -> list[object]:
    return [cell.model, cell.pairs, cell.noise, cell.seed]


def _write(head: Sequence[str], rows: Iterable[Row]) -> str:
    """A table as CSV; what is not defined is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow([_show(value) for value in row])
    return stream.getvalue()


def _show(value: object) -> object:
    if value is None:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else value
