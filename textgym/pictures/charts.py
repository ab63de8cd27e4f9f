"""Lines in a chart: learning curves, errors that fall, scores against a strength."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textgym.errors import ConfigurationError
from textgym.pictures.svg import (
    MARGIN,
    RULE,
    SIZE,
    SMALL,
    SOFT,
    Piece,
    check_size,
    element,
    elide,
    legend,
    picture,
    room_for,
    sign_piece,
    text,
    tip,
)

COLOURS = ("#0072b2", "#c44f00", "#00805e", "#a84f83", "#8a6d00", "#4d5a68")
"""Those of Okabe and Ito, which colour-blind people can tell apart, darkened for a white card."""
DASHES = (None, "7 4", "2 3", "10 3 2 3", "1 4", "12 5")
LOGS = ("", "x", "y", "xy")
HEIGHT, LEFT, RIGHT, BOTTOM = 240.0, 52.0, 10.0, 44.0

Floats = NDArray[np.float64]
Points = Sequence[ArrayLike]


@dataclass(frozen=True, eq=False)
class Line:
    """A line of the chart.

    Attributes:
        name: What it is called.
        x: ``(K,)`` where its points are.
        y: ``(K,)`` how high they are.
        low: ``(K,)`` the lower end of a band around it; equal to ``y`` where there is none.
        high: ``(K,)`` the upper end.
    """

    name: str
    x: Floats
    y: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Axis:
    """Maps numbers to pixels, linearly or by the logarithm.

    Attributes:
        low: The number at the start.
        high: The number at the end.
        start: The pixel at the start.
        end: The pixel at the end.
        log: Whether equal ratios are equally far apart.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel; numbers outside are put on the border."""
        value = min(max(float(value), self.low), self.high)
        low, high, value = (
            (math.log(n) for n in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round numbers along it."""
        if not self.log:
            return ticks(self.low, self.high)
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        powers = [10.0**power for power in range(first, last + 1, max(1, (last - first) // 5))]
        return powers if len(powers) > 1 else ticks(self.low, self.high)


def line_chart(
    lines: Mapping[str, Points],
    *,
    title: str,
    x: str,
    y: str,
    references: Mapping[str, float] | None = None,
    log: str = "",
    low: float | None = None,
    high: float | None = None,
    width: int = 640,
) -> str:
    """Draws lines, with bands around them where there are any, as the text of an SVG file.

    Args:
        lines: Name -> ``(x, y)``, or ``(x, y, low, high)`` for a line with a band: as many numbers in each.
        title: Stands above, and is what a screen reader says.
        x: What the horizontal axis is.
        y: What the vertical axis is.
        references: Name -> a height that is marked by a dashed line, such as the optimum.
        log: Which axes are logarithmic: ``"x"``, ``"y"`` or ``"xy"``.
        low: The lower end of the vertical axis; by default what is drawn decides.
        high: The upper end, likewise.
        width: Of the picture, in pixels.

    Raises:
        ConfigurationError: for no lines, lines of unequal or too few numbers, numbers that are not finite, and such as
            have no logarithm.

    Example:
        >>> picture = line_chart({"error": ([1, 2, 3], [0.5, 0.2, 0.1])}, title="Error", x="episodes", y="error")
        >>> picture.count("<svg"), "error" in picture
        (1, True)
    """
    check_size("width", width, 320)
    if log not in LOGS:
        raise ConfigurationError(f"log={log!r}: expected one of {', '.join(map(repr, LOGS))}")
    read = [_read(name, points, log) for name, points in lines.items()]
    if not read:
        raise ConfigurationError("no lines to draw; expected at least one: {'return': (x, y)}")
    marks = {
        name: float(_finite(f"the reference {name!r}", [value], "y" in log)[0])
        for name, value in (references or {}).items()
    }
    bottom, ceiling = _heights(read, marks, low, high, "y" in log)
    body = [text(MARGIN, MARGIN + 8.0, elide(title, width - 2 * MARGIN, SIZE + 2), size=SIZE + 2, font_weight=600)]
    drawn, top = legend(_legend(read, marks), width=width, y=MARGIN + 18.0)
    floor = top + 8.0 + HEIGHT
    across = Axis(*_span([line.x for line in read], "x" in log), MARGIN + LEFT, width - MARGIN - RIGHT, "x" in log)
    upward = Axis(bottom, ceiling, floor, floor - HEIGHT, "y" in log)
    body += [*drawn, *_frame(across, upward, x, y), *_references(across, upward, marks)]
    for number, line in enumerate(read):
        body += _draw(line, number, across, upward)
    label = f"{title}: {y} against {x}; {', '.join(line.name for line in read)}"
    return picture(body, width=float(width), height=floor + BOTTOM + MARGIN / 2, label=label)


def ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Round numbers within a range.

    Example:
        >>> ticks(-1.2, 2.1)
        [-1.0, 0.0, 1.0, 2.0]
    """
    raw = (high - low) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 10) + 0.0 for index in range(first, last + 1)]


def _read(name: str, points: Points, log: str) -> Line:
    if len(points) not in (2, 4):
        raise ConfigurationError(f"the line {name!r} has {len(points)} parts: expected (x, y) or (x, y, low, high)")
    parts = [_finite(f"the line {name!r}", part, ("x" if k == 0 else "y") in log) for k, part in enumerate(points)]
    if len({len(part) for part in parts}) > 1 or len(parts[0]) < 2:
        sizes = ", ".join(str(len(part)) for part in parts)
        raise ConfigurationError(f"the line {name!r} has {sizes} numbers: expected as many of each, and at least two")
    return Line(name, parts[0], parts[1], parts[-2] if len(parts) == 4 else parts[1], parts[-1])


def _finite(what: str, numbers: ArrayLike, log: bool) -> Floats:
    read = np.asarray(numbers, dtype=np.float64).reshape(-1)
    if not np.isfinite(read).all() or (log and (read <= 0.0).any()):
        raise ConfigurationError(f"{what} has numbers that cannot be drawn: expected finite ones{', above 0' * log}")
    return read


def _heights(
    lines: Sequence[Line], marks: Mapping[str, float], low: float | None, high: float | None, log: bool
) -> tuple[float, float]:
    """The ends of the vertical axis: those that were asked for, else such that everything is seen."""
    arrays = [*(line.low for line in lines), *(line.high for line in lines), np.array([*marks.values()])]
    least, most = _span(arrays, log, room=0.05)
    bottom, ceiling = (least if low is None else float(low)), (most if high is None else float(high))
    if not bottom < ceiling < math.inf or bottom == -math.inf or (log and bottom <= 0.0):
        raise ConfigurationError(f"low={low!r}, high={high!r}: expected a range that has a length on this axis")
    return bottom, ceiling


def _span(arrays: Sequence[Floats], log: bool, room: float = 0.0) -> tuple[float, float]:
    """The range of all numbers, never empty, with some room at both ends."""
    numbers = np.concatenate(arrays)
    low, high = float(numbers.min()), float(numbers.max())
    if log:
        low, high = (low / 2, high * 2) if low == high else (low, high)
        factor = (high / low) ** room
        return low / factor, high * factor
    extra = room * (high - low) if high > low else 0.5 * abs(high) or 0.5
    return low - extra, high + extra


def _legend(lines: Sequence[Line], references: Mapping[str, float]) -> list[Piece]:
    """What the lines are called."""
    signs = [(COLOURS[k % 6], DASHES[k % 6], 2.2, line.name) for k, line in enumerate(lines)]
    signs += [(SOFT, "4 3", 1.2, name) for name in references]
    return [
        sign_piece(element("path", d="M0 0 H26", stroke=ink, stroke_width=wide, stroke_dasharray=dashes), 26.0, name)
        for ink, dashes, wide, name in signs
    ]


def _frame(across: Axis, upward: Axis, x: str, y: str) -> Iterator[str]:
    for tick in upward.ticks():
        place = upward(tick)
        yield element("path", d=f"M{across.start:.1f} {place:.1f} H{across.end:.1f}", stroke=RULE, stroke_width=0.6)
        yield text(across.start - 6.0, place, _number(tick), size=SMALL, fill=SOFT, text_anchor="end")
    floor, middle = upward.start, (across.start + across.end) / 2
    yield element("path", d=f"M{across.start:.1f} {floor:.1f} H{across.end:.1f}", stroke=SOFT, stroke_width=1)
    for tick in across.ticks():
        half = room_for(_number(tick), SMALL) / 2
        anchor = "end" if across(tick) + half > across.end + RIGHT else "middle"
        yield text(across(tick), floor + 12.0, _number(tick), size=SMALL, fill=SOFT, text_anchor=anchor)
    yield text(middle, floor + 32.0, x, size=SMALL, text_anchor="middle")
    turned = f"rotate(-90 {MARGIN + 2:g} {(upward.start + upward.end) / 2:g})"
    yield text(MARGIN + 2, (upward.start + upward.end) / 2, y, size=SMALL, text_anchor="middle", transform=turned)


def _references(across: Axis, upward: Axis, references: Mapping[str, float]) -> Iterator[str]:
    for name, value in references.items():
        path = f"M{across.start:.1f} {upward(value):.1f} H{across.end:.1f}"
        words = tip(f"{name}: {value:.6g}")
        yield element("path", words, d=path, stroke=SOFT, stroke_width=1.2, stroke_dasharray="4 3")


def _draw(line: Line, number: int, across: Axis, upward: Axis) -> Iterator[str]:
    def path(xs: Floats, ys: Floats) -> str:
        return " ".join(f"{across(one):.1f} {upward(other):.1f}" for one, other in zip(xs, ys, strict=True))

    colour = COLOURS[number % 6]
    if (line.low != line.high).any():
        around = f"M{path(line.x, line.high)} {path(line.x[::-1], line.low[::-1])} Z"
        yield element("path", d=around, fill=colour, opacity=0.16)
    yield element(
        "path",
        tip(f"{line.name}: {line.y[-1]:.6g} at the end"),
        d="M" + path(line.x, line.y),
        fill="none",
        stroke=colour,
        stroke_width=2.2,
        stroke_dasharray=DASHES[number % 6],
        stroke_linejoin="round",
    )


def _number(value: float) -> str:
    """A tick as it is written, with a true minus sign."""
    if abs(value) >= 1e4 or 0 < abs(value) < 1e-3:
        short = f"{value:.0e}" if abs(value) < 1e-3 or abs(value) >= 1e7 else f"{value / 1000:g}k"
        return short.replace("e-0", "e-").replace("e+0", "e").replace("-", "−")
    return f"{value:g}".replace("-", "−")
