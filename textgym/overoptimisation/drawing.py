"""A study as a picture: proxy and gold against the distance from the reference, a panel for each proxy and noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from textgym.overoptimisation.results import BEST_OF_N, TILTED, Cell, Curve, Study
from textgym.overoptimisation.tables import group_curves
from textgym.pictures.charts import COLOURS, ticks
from textgym.pictures.svg import (
    INK,
    MARGIN,
    RULE,
    SIZE,
    SMALL,
    SOFT,
    Piece,
    element,
    elide,
    legend,
    picture,
    room_for,
    sign_piece,
    text,
    tip,
    words_piece,
)

DASHES = {"proxy": "6 4", BEST_OF_N: "1.5 3"}

PANEL, HEIGHT, LEFT, TOP, BOTTOM, GAP = 290.0, 210.0, 40.0, 24.0, 34.0, 14.0
MOST_COLUMNS = 3

Place = tuple[float, float]


@dataclass(frozen=True)
class Axes:
    """Maps distance and score to pixels within one panel.

    Attributes:
        far: The largest distance.
        low: The lowest score.
        high: The highest.
        x: Left end of the panel.
        y: Its upper end.
    """

    far: float
    low: float
    high: float
    x: float = 0.0
    y: float = 0.0

    def __call__(self, distance: float, score: float) -> Place:
        """The pixel."""
        width, height = PANEL - LEFT - 8.0, HEIGHT - TOP - BOTTOM
        share = (score - self.low) / (self.high - self.low)
        return self.x + LEFT + width * distance / self.far, self.y + TOP + height * (1.0 - share)


def draw(study: Study) -> str:
    """The picture as SVG."""
    panels = _panels(study)
    columns = min(MOST_COLUMNS, max(sum(key[1:] == first[1:] for key in panels) for first in panels))
    width = max(2 * MARGIN + columns * PANEL + (columns - 1) * GAP, 2 * MARGIN + 420.0)
    sizes = list(dict.fromkeys(curve.cell.pairs for curve in study.curves))
    title = f"Gold against distance: {study.env_id}"
    body = [text(MARGIN, MARGIN + 8.0, elide(title, width - 2 * MARGIN, SIZE + 2), size=SIZE + 2, font_weight=600)]
    drawn, y = legend(_legend(study, sizes), width=width, y=MARGIN + 20.0)
    body += drawn
    far, low, high = _ranges(study)
    for row in _rows(panels, columns):
        y += 8.0
        for place, key in enumerate(row):
            axes = Axes(far, low, high, MARGIN + place * (PANEL + GAP), y)
            body += _draw_panel(axes, _name(key), panels[key], study, sizes)
        y += HEIGHT
    return picture(body, width=width, height=y + MARGIN, label=f"{title}; {_say(study)}")


Key = tuple[str, float | None]


def _panels(study: Study) -> dict[Key, list[list[Curve]]]:
    """(model, noise) -> the curves, all seeds of a kind together."""
    panels: dict[Key, list[list[Curve]]] = {}
    for (cell, _), curves in group_curves(study).items():
        panels.setdefault((cell.model, cell.noise), []).append(curves)
    return panels


def _rows(panels: Iterable[Key], columns: int) -> Iterator[list[Key]]:
    """The panels of one noise side by side."""
    by_noise: dict[float | None, list[Key]] = {}
    for key in panels:
        by_noise.setdefault(key[1], []).append(key)
    for keys in by_noise.values():
        yield from (keys[start : start + columns] for start in range(0, len(keys), columns))


def _name(key: Key) -> str:
    model, noise = key
    return model if not noise else f"{model}, {noise:.0%} of the labels turned"


def _ranges(study: Study) -> tuple[float, float, float]:
    """The largest distance, and the lowest and highest score that is drawn."""
    points = [point for curve in study.curves for point in curve.points]
    scores = [point.gold for point in points] + [each.gold for each in study.agents]
    scores += [proxy for curves in group_curves(study).values() for _, proxy, _ in average(curves)]
    far = max([*(point.distance for point in points), *(each.distance for each in study.agents)])
    room = 0.04 * (max(scores) - min(scores)) or 1.0
    return far or 1.0, min(scores) - room, max(scores) + room


def average(curves: Sequence[Curve]) -> list[tuple[float, float, float]]:
    """``(distance, proxy, gold)`` at each strength that all seeds reach, averaged over seeds."""
    count = min(len(curve.points) for curve in curves)
    table = np.array([[(p.distance, p.proxy, p.gold) for p in curve.points[:count]] for curve in curves])
    return [(float(d), float(proxy), float(gold)) for d, proxy, gold in table.mean(axis=0)]


def _draw_panel(
    axes: Axes, name: str, groups: Sequence[Sequence[Curve]], study: Study, sizes: Sequence[int | None]
) -> Iterator[str]:
    yield from _frame(axes, name)
    for curves in groups:
        colour = COLOURS[sizes.index(curves[0].cell.pairs) % len(COLOURS)]
        middle = average(curves)
        label = _title(curves[0].cell, curves[0].method)
        if curves[0].method == TILTED:
            yield _line([axes(d, proxy) for d, proxy, _ in middle], colour, f"proxy: {label}", DASHES["proxy"], 1.2)
            for curve in curves if len(curves) > 1 else ():
                points = [axes(point.distance, point.gold) for point in curve.points]
                yield _line(points, colour, f"gold, seed {curve.cell.seed}: {label}", None, 0.8, opacity=0.35)
        dashes = DASHES.get(curves[0].method)
        yield _line([axes(d, gold) for d, _, gold in middle], colour, f"gold: {label}", dashes, 2.2)
        if curves[0].method == TILTED:
            yield from _mark_ends(axes, middle, colour)
    for agent in study.agents:
        yield from _draw_agent(axes, agent.name, agent.distance, agent.gold)


def _mark_ends(axes: Axes, middle: Sequence[tuple[float, float, float]], colour: str) -> Iterator[str]:
    """A disc at the peak, a ring at the end."""
    top = max(middle, key=lambda point: point[2])
    for (distance, _, gold), fill in ((top, colour), (middle[-1], "#ffffff")):
        x, y = axes(distance, gold)
        words = tip(f"gold {gold:.2f} at distance {distance:.2f}")
        yield element("circle", words, cx=x, cy=y, r=3.6, fill=fill, stroke=colour, stroke_width=1.6)


def _draw_agent(axes: Axes, name: str, distance: float, gold: float) -> Iterator[str]:
    x, y = axes(distance, gold)
    corners = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in ((0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)))
    yield element("polygon", tip(f"{name}: gold {gold:.2f} at distance {distance:.2f}"), points=corners, fill=INK)
    right = x + 8.0 + room_for(name, SMALL) < axes.x + PANEL
    yield text(x + 8.0 if right else x - 8.0, y, name, size=SMALL, text_anchor="start" if right else "end")


def _line(
    places: Sequence[Place], colour: str, words: str, dashes: str | None, width: float, *, opacity: float | None = None
) -> str:
    path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return element(
        "path",
        tip(words),
        d=path,
        fill="none",
        stroke=colour,
        stroke_width=width,
        stroke_dasharray=dashes,
        stroke_linejoin="round",
        opacity=opacity,
    )


def _frame(axes: Axes, name: str) -> Iterator[str]:
    yield text(axes.x + LEFT, axes.y + 10.0, elide(name, PANEL - LEFT), font_weight=600)
    left, right = axes.x + LEFT, axes.x + PANEL - 8.0
    for tick in ticks(axes.low, axes.high):
        _, y = axes(0.0, tick)
        yield element("path", d=f"M{left:.1f} {y:.1f} H{right:.1f}", stroke=RULE, stroke_width=0.6)
        yield text(left - 6.0, y, _number(tick), size=SMALL, fill=SOFT, text_anchor="end")
    _, floor = axes(0.0, axes.low)
    yield element("path", d=f"M{left:.1f} {floor:.1f} H{right:.1f}", stroke=SOFT, stroke_width=1)
    for tick in ticks(0.0, axes.far):
        x, _ = axes(tick, axes.low)
        yield text(x, floor + 10.0, _number(tick), size=SMALL, fill=SOFT, text_anchor="middle")
    yield text((left + right) / 2, floor + 24.0, "√KL from the reference", size=SMALL, fill=SOFT, text_anchor="middle")


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _title(cell: Cell, method: str) -> str:
    pairs = "" if cell.pairs is None else f", {cell.pairs:,} pairs"
    noise = "" if not cell.noise else f", {cell.noise:.0%} noise"
    return f"{cell.model}{pairs}{noise}, {method}"


def _legend(study: Study, sizes: Sequence[int | None]) -> list[Piece]:
    """What colours, lines and signs mean."""

    def sample(colour: str, dashes: str | None, width: float) -> str:
        return element("path", d="M0 0 H26", fill="none", stroke=colour, stroke_width=width, stroke_dasharray=dashes)

    names = {size: "as it is" if size is None else f"{size:,} pairs" for size in sizes}
    pieces = [sign_piece(sample(COLOURS[k % 6], None, 5.0), 26.0, names[size]) for k, size in enumerate(sizes)]
    pieces.append(sign_piece(sample(INK, None, 2.2), 26.0, "gold, tilted policy"))
    pieces.append(sign_piece(sample(INK, DASHES[BEST_OF_N], 2.2), 26.0, "gold, best of n"))
    pieces.append(sign_piece(sample(INK, DASHES["proxy"], 1.2), 26.0, "proxy, tilted policy"))
    disc = element("circle", cx=4.0, cy=0.0, r=3.6, fill=INK)
    ring = element("circle", cx=4.0, cy=0.0, r=3.6, fill="#ffffff", stroke=INK, stroke_width=1.6)
    pieces += [sign_piece(disc, 8.0, "peak"), sign_piece(ring, 8.0, "end")]
    seeds = len({curve.cell.seed for curve in study.curves} - {None})
    pieces.append(words_piece(_say(study) + (f"; means of {seeds} seeds, each seed thin" if seeds > 1 else "")))
    return pieces


def _say(study: Study) -> str:
    if study.exact:
        return f"exact: all {study.texts:,} texts a prompt"
    return f"estimated from {study.texts:,} texts a prompt"
