"""The picture of a run: what gives the bug away, over time or in bars, and beside it what it would be when mended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from textgym.course.zoo.bug import Bug, Findings
from textgym.errors import ConfigurationError
from textgym.pictures.charts import COLOURS, Axis, line_chart
from textgym.pictures.svg import (
    MARGIN,
    RULE,
    SIZE,
    SMALL,
    SOFT,
    element,
    legend,
    picture,
    sign_piece,
    text,
    tip,
)

WIDTH, HEIGHT, LEFT = 560.0, 200.0, 52.0


def draw(bug: Bug, title: str, runs: Mapping[str, Findings]) -> str:
    """The picture of one or several runs of an exhibit, as the text of an SVG file.

    Args:
        bug: Whose chart it is.
        title: Stands above.
        runs: What each run is called -> what it found.

    Raises:
        ConfigurationError: for no runs.
    """
    chart = bug.chart
    heights = {name: [float(value) for value in found[chart.series]] for name, found in runs.items()}
    if not heights:
        raise ConfigurationError("no runs to draw; expected at least one: {'as it is': findings}")
    first = next(iter(runs.values()))
    references = {chart.reference_label: float(first[chart.reference])} if chart.reference else {}
    if chart.labels:
        return bar_chart(heights, chart.labels, title=title, up=chart.up, references=references)
    lines = {name: (list(range(len(values))), values) for name, values in heights.items()}
    return line_chart(lines, title=title, x=chart.across, y=chart.up, references=references, width=int(WIDTH))


def bar_chart(
    bars: Mapping[str, Sequence[float]],
    labels: Sequence[str],
    *,
    title: str,
    up: str,
    references: Mapping[str, float] | None = None,
) -> str:
    """Bars in groups, one group for each label, as the text of an SVG file.

    Args:
        bars: Name -> a height for each label.
        labels: What stands below each group.
        title: Stands above, and is what a screen reader says.
        up: What the height is.
        references: Name -> a height that is marked by a dashed line.

    Raises:
        ConfigurationError: for other than one height a label.

    Example:
        >>> bar_chart({"seen": [3, 4]}, ["a", "b"], title="Prompts", up="texts").count("<title>")
        2
    """
    wrong = [name for name, heights in bars.items() if len(heights) != len(labels)]
    if wrong:
        raise ConfigurationError(f"the bars {wrong[0]!r}: expected {len(labels)} heights, one for each label")
    marks = dict(references or {})
    numbers = [0.0, *marks.values(), *(height for heights in bars.values() for height in heights)]
    room = 0.06 * (max(numbers) - min(numbers)) or 1.0
    swatch = [
        sign_piece(element("rect", x=0, y=-5, width=12, height=10, fill=COLOURS[k % 6]), 12.0, name)
        for k, name in enumerate(bars)
    ]
    dashes = element("path", d="M0 0 H26", stroke=SOFT, stroke_width=1.2, stroke_dasharray="4 3")
    drawn, y = legend([*swatch, *(sign_piece(dashes, 26.0, name) for name in marks)], width=WIDTH, y=MARGIN + 18.0)
    floor = y + HEIGHT
    scale = Axis(min(numbers) - (room if min(numbers) < 0.0 else 0.0), max(numbers) + room, floor, y + 6.0)
    body = [text(MARGIN, MARGIN + 8.0, title, size=SIZE + 2, font_weight=600), *drawn]
    body += [*_frame(scale, up), *_bars(bars, labels, scale, floor)]
    for name, value in marks.items():
        body.append(_level(scale(value), tip(f"{name}: {value:.3g}"), stroke=SOFT, stroke_dasharray="4 3"))
    return picture(body, width=WIDTH, height=floor + 34.0, label=f"{title}: {up} of {', '.join(labels)}")


def _frame(scale: Axis, up: str) -> Iterator[str]:
    for tick in scale.ticks():
        words = f"{tick:g}".replace("-", "−")
        yield _level(scale(tick), stroke=SOFT if tick == 0.0 else RULE)
        yield text(MARGIN + LEFT - 6.0, scale(tick), words, size=SMALL, fill=SOFT, text_anchor="end")
    middle = (scale.start + scale.end) / 2
    turned = f"rotate(-90 {MARGIN + 2:g} {middle:g})"
    yield text(MARGIN + 2, middle, up, size=SMALL, text_anchor="middle", transform=turned)


def _level(y: float, inside: str = "", **attributes: str) -> str:
    return element("path", inside, d=f"M{MARGIN + LEFT:.1f} {y:.1f} H{WIDTH - MARGIN:.1f}", **attributes)


def _bars(bars: Mapping[str, Sequence[float]], labels: Sequence[str], scale: Axis, floor: float) -> Iterator[str]:
    group = (WIDTH - 2 * MARGIN - LEFT) / len(labels)
    wide = min(40.0, 0.7 * group / len(bars))
    for place, label in enumerate(labels):
        middle = MARGIN + LEFT + group * (place + 0.5)
        yield text(middle, floor + 14.0, label, size=SMALL, text_anchor="middle")
        for order, (name, heights) in enumerate(bars.items()):
            ends = sorted((scale(0.0), scale(heights[place])))
            x = middle + wide * (order - len(bars) / 2)
            words = tip(f"{name}, {label}: {heights[place]:.3g}")
            size = {"x": x, "y": ends[0], "width": wide - 2.0, "height": max(1.0, ends[1] - ends[0])}
            yield element("rect", words, fill=COLOURS[order % 6], **size)
