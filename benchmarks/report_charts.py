"""More pictures of the report as SVG text: performance profiles, radar, and the legend that they share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from textgym.pictures.charts import Axis, ticks

from .report_plots import DASHES, Curve, Reference, line, marker, number, svg, text

_LETTER = 8.4  # width of a letter of a legend, about


def profile_chart(curves: Sequence[Curve], references: Sequence[Reference], *, low: float, high: float) -> str:
    """Performance profiles: above each score, the share of runs that reach more; bands are intervals."""
    width, left, right, bottom = 560.0, 44.0, 16.0, 44.0
    names, top = _legend(curves, left, width - right, 16.0)
    height = 300.0 + top
    x_scale, y_scale = Axis(low, high, left, width - right), Axis(0.0, 1.0, height - bottom, top + 10.0)
    body = [*names, *_axes(x_scale, y_scale)]
    for order, reference in enumerate(references):
        x = x_scale(reference.value)
        body.append(line(x, y_scale.start, x, y_scale.end, css="reference"))
        body.append(text(x - 4, y_scale.end + 12 + 15 * order, reference.label, anchor="end", css="small"))
    for curve in curves:
        body += _steps(curve, x_scale, y_scale)
    body.append(text((x_scale.start + x_scale.end) / 2, height - 8, "score", anchor="middle", css="small"))
    return svg(width, height, body, label="share of runs that score more than the value below", css="chart")


def radar_chart(axes: Sequence[str], values: Mapping[str, Sequence[float | None]], styles: Mapping[str, int]) -> str:
    """One spoke a skill, from random play in the middle to the best text at the rim.

    Args:
        axes: Names of the skills, three at least.
        values: Agent -> its score on each axis; None where it has none. Scores outside 0 to 1 are put on the border.
        styles: Agent -> its number.
    """
    width, radius = 560.0, 150.0
    curves = [Curve(label=label, style=styles[label], line=(), band=()) for label in values]
    names, top = _legend(curves, 24.0, width - 16.0, 16.0)
    center = (width / 2, top + 34.0 + radius)
    height = center[1] + radius + 40.0
    angles = [2.0 * math.pi * order / len(axes) - math.pi / 2 for order in range(len(axes))]
    body = list(names)
    body += [
        _polygon([_polar(center, radius * share, angle) for angle in angles], "web") for share in (0.25, 0.5, 0.75, 1.0)
    ]
    for angle, name in zip(angles, axes, strict=True):
        body.append(line(*center, *_polar(center, radius, angle), css="grid"))
        body.append(_axis_name(center, radius, angle, name))
    for label, scores in values.items():
        body += _radar_line(center, radius, angles, scores, styles[label], label)
    return svg(width, height, body, label="mean score by skill", css="chart")


def _radar_line(
    center: tuple[float, float],
    radius: float,
    angles: Sequence[float],
    scores: Sequence[float | None],
    style: int,
    label: str,
) -> list[str]:
    points = [
        (_polar(center, radius * min(max(score, 0.0), 1.0), angle), score)
        for angle, score in zip(angles, scores, strict=True)
        if score is not None
    ]
    if not points:
        return []
    outline = " ".join(f"{x:.1f},{y:.1f}" for (x, y), _ in [*points, points[0]])
    dashes = DASHES[style % 6]
    body = [f'<polyline points="{outline}" class="curve s{style % 6}" stroke-dasharray="{dashes}"/>']
    return body + [
        marker(x, y, style, size=3.4, title=f"{label}: {number(score)}", hollow=True) for (x, y), score in points
    ]


def _axis_name(center: tuple[float, float], radius: float, angle: float, name: str) -> str:
    x, y = _polar(center, radius + 12.0, angle)
    side = math.cos(angle)
    anchor = "middle" if abs(side) < 0.2 else "start" if side > 0 else "end"
    return text(x, y + 4 + 5 * math.sin(angle), name, anchor=anchor, css="small")


def _polar(center: tuple[float, float], radius: float, angle: float) -> tuple[float, float]:
    return center[0] + radius * math.cos(angle), center[1] + radius * math.sin(angle)


def _polygon(points: Sequence[tuple[float, float]], css: str) -> str:
    return f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="{css}"/>'


def _legend(curves: Sequence[Curve], left: float, right: float, top: float) -> tuple[list[str], float]:
    """Signs and names in rows, and the height where they end."""
    body, x, y = [], left, top
    for curve in curves:
        width = 46.0 + _LETTER * len(curve.label)
        if x + width > right and x > left:
            x, y = left, y + 20.0
        css = f"curve s{curve.style % 6}"
        body.append(
            f'<polyline points="{x:.1f},{y:.1f} {x + 26:.1f},{y:.1f}" class="{css}" '
            f'stroke-dasharray="{DASHES[curve.style % 6]}"/>'
        )
        body += [marker(x + 13, y, curve.style, size=4), text(x + 32, y + 4, curve.label, css="label")]
        x += width
    return body, y + 10.0


def _axes(x_scale: Axis, y_scale: Axis) -> list[str]:
    body = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = y_scale(tick)
        body.append(line(x_scale.start, y, x_scale.end, y, css="grid"))
        body.append(text(x_scale.start - 6, y + 4, f"{tick:.0%}", anchor="end", css="small"))
    for tick in ticks(x_scale.low, x_scale.high):
        x = x_scale(tick)
        body.append(line(x, y_scale.start, x, y_scale.start + 4, css="tick"))
        body.append(text(x, y_scale.start + 17, number(tick, 3), anchor="middle", css="small"))
    return body


def _steps(curve: Curve, x_scale: Axis, y_scale: Axis) -> list[str]:
    upper = [f"{x_scale(x):.1f},{y_scale(high):.1f}" for x, _, high in curve.band]
    lower = [f"{x_scale(x):.1f},{y_scale(low):.1f}" for x, low, _ in reversed(curve.band)]
    points = " ".join(f"{x_scale(x):.1f},{y_scale(y):.1f}" for x, y in curve.line)
    style = curve.style % 6
    band = [f'<polygon points="{" ".join(upper + lower)}" class="band s{style}"/>'] if curve.band else []
    return [*band, f'<polyline points="{points}" class="curve s{style}" stroke-dasharray="{DASHES[style]}"/>']
