"""Pictures of the report as SVG text: small functions, no script, colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from textgym.pictures.charts import Axis, ticks

from .stats import Interval

DASHES = ("", "7 4", "2 3", "10 3 2 3", "1 4", "12 5")
"""Besides its colour every agent has a dash pattern and a marker, so that the page can be read in grey."""

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One agent's line in a chart.

    Attributes:
        label: Written at the end of the line.
        style: Number of the agent: its colour, dashes and marker.
        line: (x, y) of the mean over seeds.
        band: (x, lowest, highest) over seeds.
    """

    label: str
    style: int
    line: Sequence[Point]
    band: Sequence[tuple[float, float, float]]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A line that scores are held against."""

    value: float
    label: str


def svg(width: float, height: float, body: Iterable[str], *, label: str, css: str = "") -> str:
    """An SVG picture that scales with its place; ``label`` is what a screen reader says."""
    return (
        f'<svg class="{css}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{escape(label)}">{"".join(body)}</svg>'
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", css: str = "") -> str:
    """A piece of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, css: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def marker(x: float, y: float, style: int, *, size: float = 4.5, title: str = "", hollow: bool = False) -> str:
    """The sign of an agent: a disc, square, triangle, diamond, cross or ring in its colour."""
    css = f'class="mark s{style % 6}{" hollow" if hollow else ""}"'
    tip = f"<title>{escape(title)}</title>" if title else ""
    shape = style % 5
    if shape == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:g}" {css}>{tip}</circle>'
    outlines: tuple[Sequence[Point], ...] = (
        ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
        ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        ((0, 1.2), (1.1, -0.8), (-1.1, -0.8)),
    )
    points = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in outlines[shape - 1])
    return f'<polygon points="{points}" {css}>{tip}</polygon>'


def interval_plot(
    interval: Interval, style: int, *, low: float, high: float, blind: float | None, best: float | None
) -> str:
    """An estimate with its interval on the common scale of a table's column."""
    width, height, middle = 108.0, 26.0, 13.0
    scale = Axis(low, high, 7.0, width - 7.0)
    body = [line(scale(low), middle, scale(high), middle, css="track")]
    if blind is not None:
        body.append(line(scale(blind), 3, scale(blind), height - 3, css="blind"))
    if best is not None:
        body.append(line(scale(best), 3, scale(best), height - 3, css="best"))
    body.append(line(scale(interval.low), middle, scale(interval.high), middle, css=f"whisker s{style % 6}"))
    body.append(marker(scale(interval.estimate), middle, style))
    return svg(
        width,
        height,
        body,
        label=f"{interval.estimate:.2f}, from {interval.low:.2f} to {interval.high:.2f}",
        css="interval",
    )


def learning_curves(
    curves: Sequence[Curve], references: Sequence[Reference], *, title: str, log: bool, low: float, high: float
) -> str:
    """A chart of means with bands over environment steps, labelled at the ends of the lines."""
    words = "environment steps (tokens written)"
    return line_chart(curves, references, title=title, words=words, log=log, low=low, high=high)


def line_chart(
    curves: Sequence[Curve],
    references: Sequence[Reference],
    *,
    title: str,
    words: str,
    low: float,
    high: float,
    log: bool = False,
) -> str:
    """A chart of means with bands, labelled at the ends of the lines; ``words`` stand below the horizontal axis."""
    width, height, left, right, top, bottom = 560.0, 330.0, 44.0, 118.0, 14.0, 40.0
    xs = [x for curve in curves for x, _ in curve.line] or [1.0]
    x_scale = Axis(min(xs) if log else 0.0, max(*xs, min(xs) + 1.0), left, width - right, log)
    y_scale = Axis(low, high, height - bottom, top)
    body = [*_y_axis(y_scale, left, width - right), *_x_axis(x_scale, height - bottom)]
    for reference in references:
        y = y_scale(reference.value)
        body.append(line(left, y, width - right, y, css="reference"))
        body.append(text(left + 4, y - 4, reference.label, css="small"))
    for curve in curves:
        body += _draw_curve(curve, x_scale, y_scale)
    body += _end_labels(curves, x_scale, y_scale, width - right)
    body.append(text((left + width - right) / 2, height - 6, words, anchor="middle", css="small"))
    return svg(width, height, body, label=title, css="chart")


def _draw_curve(curve: Curve, x_scale: Axis, y_scale: Axis) -> list[str]:
    upper = [f"{x_scale(x):.1f},{y_scale(high):.1f}" for x, _, high in curve.band]
    lower = [f"{x_scale(x):.1f},{y_scale(low):.1f}" for x, low, _ in reversed(curve.band)]
    points = " ".join(f"{x_scale(x):.1f},{y_scale(y):.1f}" for x, y in curve.line)
    style = curve.style % 6
    return [
        f'<polygon points="{" ".join(upper + lower)}" class="band s{style}"/>',
        f'<polyline points="{points}" class="curve s{style}" stroke-dasharray="{DASHES[style]}"/>',
    ]


def _end_labels(curves: Sequence[Curve], x_scale: Axis, y_scale: Axis, right: float) -> list[str]:
    """Names at the ends of the lines; those at the right border are pushed apart where they would overlap."""
    body, late = [], []
    for curve in curves:
        x, y = x_scale(curve.line[-1][0]), y_scale(curve.line[-1][1])
        body.append(marker(x, y, curve.style, size=4))
        if x < right - 60:
            body.append(text(x, y - 10, curve.label, anchor="middle", css="label"))
        else:
            late.append((curve, x, y))
    places = spread([y for _, _, y in late], gap=15.0, low=y_scale.end, high=y_scale.start)
    for (curve, x, y), place in zip(late, places, strict=True):
        body += [line(x + 5, y, right + 6, place, css="leader"), text(right + 9, place + 4, curve.label, css="label")]
    return body


def spread(positions: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Moves positions so that neighbours are ``gap`` apart and, where there is room, inside the borders.

    Example:
        >>> spread([10.0, 11.0], gap=5.0, low=0.0, high=100.0)
        [10.0, 15.0]
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    placed: dict[int, float] = {}
    previous = -math.inf
    for index in order:
        previous = placed[index] = max(positions[index], previous + gap, low)
    following = high + gap
    for index in reversed(order):
        following = placed[index] = min(placed[index], following - gap)
    return [placed[index] for index in range(len(positions))]


def _y_axis(scale: Axis, left: float, right: float) -> list[str]:
    body = []
    for tick in ticks(scale.low, scale.high):
        y = scale(tick)
        body += [line(left, y, right, y, css="grid"), text(left - 6, y + 4, number(tick, 3), anchor="end", css="small")]
    return body


def _x_axis(scale: Axis, y: float) -> list[str]:
    body = []
    for tick in log_ticks(scale.low, scale.high) if scale.log else ticks(scale.low, scale.high):
        x = scale(tick)
        body += [line(x, y, x, y + 4, css="tick"), text(x, y + 17, short(tick), anchor="middle", css="small")]
    return [line(scale.start, y, scale.end, y, css="tick"), *body]


def seed_plot(
    seeds: Sequence[tuple[str, float]], middle: float, style: int, *, low: float, high: float, lines: Sequence[float]
) -> str:
    """One dot a run, with the interquartile mean as a bar: a seed in a local optimum stands apart."""
    width, height = 300.0, 34.0
    scale = Axis(low, high, 8.0, width - 8.0)
    body = [line(scale(low), height / 2, scale(high), height / 2, css="track")]
    body += [line(scale(value), 4, scale(value), height - 4, css="reference") for value in lines]
    body.append(line(scale(middle), 5, scale(middle), height - 5, css=f"bar s{style % 6}"))
    for order, (name, value) in enumerate(seeds):
        offset = (order - (len(seeds) - 1) / 2) * min(7.0, 18.0 / max(1, len(seeds)))
        body.append(
            marker(scale(value), height / 2 + offset, style, size=3.6, title=f"{name}: {number(value)}", hollow=True)
        )
    return svg(width, height, body, label=", ".join(f"{name} {number(value)}" for name, value in seeds), css="seeds")


def seed_axis(ticks: Sequence[tuple[float, str]], *, low: float, high: float) -> str:
    """The labels under a column of seed plots."""
    scale = Axis(low, high, 8.0, 292.0)
    body = [text(scale(value), 13, words, anchor="middle", css="small") for value, words in ticks]
    return svg(300, 18, body, label="axis", css="seeds")


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within a range; powers of ten alone where it is wide."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 200 else (1,)
    return [f * 10.0**e for e in exponents for f in factors if low * 0.999 <= f * 10.0**e <= high * 1.001]


def number(value: float, digits: int = 2) -> str:
    """A number for people, with a real minus sign and no negative zero.

    Example:
        >>> number(-0.001), number(-0.5, 3)
        ('0.00', '−0.5')
    """
    shown = f"{value:.{digits}f}" if digits <= 2 else f"{value:.{digits}g}"
    return "0.00" if shown == "-0.00" else shown.replace("-", "−")


def short(value: float) -> str:
    """500000 as "500k"."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
