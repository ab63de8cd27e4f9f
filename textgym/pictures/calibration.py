"""The calibration of a reward model as a picture: predicted shares against observed ones."""

from __future__ import annotations

from collections.abc import Sequence

from textgym.errors import ConfigurationError
from textgym.pictures.svg import CARD, INK, RULE, SMALL, SOFT, element, picture, text, tip

_SIZE, _LEFT, _TOP, _LOW = 300.0, 58.0, 44.0, 0.5
_WIDTH, _HEIGHT = _LEFT + _SIZE + 22.0, _TOP + _SIZE + 52.0
_BLUE = "#0072b2"


def draw_calibration(predicted: Sequence[float], observed: Sequence[float], counts: Sequence[int]) -> str:
    """An SVG picture: on the diagonal, the favoured text wins as often as it should.

    Args:
        predicted: ``(K,)`` mean probability of the favoured text in each bin, from 0.5 to 1.
        observed: ``(K,)`` share in which it won.
        counts: ``(K,)`` judgements in the bin; bars show one standard error.

    Raises:
        ConfigurationError: for lists of different lengths, or without a bin.

    Example:
        >>> draw_calibration([0.6, 0.9], [0.55, 0.9], [100, 100]).count("<circle")
        2
    """
    if not predicted or not len(predicted) == len(observed) == len(counts):
        raise ConfigurationError(
            f"{len(predicted)} predicted and {len(observed)} observed shares with {len(counts)} counts: expected as "
            "many of each, and at least one"
        )
    lowest = min(_LOW, *(max(0.0, value - 0.1) for value in observed))
    body = [text(_LEFT, 22.0, "calibration", font_weight="600"), *_axes(lowest)]
    for one, other, count in zip(predicted, observed, counts, strict=True):
        body += _point(one, other, count, lowest)
    return picture(body, width=_WIDTH, height=_HEIGHT, label="predicted against observed shares of the favoured text")


def _x(share: float) -> float:
    return _LEFT + _SIZE * (share - _LOW) / (1.0 - _LOW)


def _y(share: float, lowest: float) -> float:
    return _TOP + _SIZE * (1.0 - share) / (1.0 - lowest)


def _axes(lowest: float) -> list[str]:
    bottom, right = _TOP + _SIZE, _LEFT + _SIZE
    body = [element("rect", x=_LEFT, y=_TOP, width=_SIZE, height=_SIZE, fill="none", stroke=RULE)]
    for step in range(6):
        share = _LOW + 0.1 * step
        body.append(text(_x(share), bottom + 14.0, f"{share:.1f}", fill=SOFT, size=SMALL, text_anchor="middle"))
    for step in range(int(10 * lowest + 0.999), 11):
        y = _y(step / 10, lowest)
        body.append(element("line", x1=_LEFT, y1=y, x2=right, y2=y, stroke=RULE))
        body.append(text(_LEFT - 8.0, y, f"{step / 10:.1f}", fill=SOFT, size=SMALL, text_anchor="end"))
    middle = _LEFT + _SIZE / 2
    turned = f"rotate(-90 16 {_TOP + _SIZE / 2:g})"
    return [
        *body,
        element("line", x1=_x(_LOW), y1=_y(_LOW, lowest), x2=right, y2=_TOP, stroke=SOFT, stroke_dasharray="4 4"),
        text(middle, bottom + 36.0, "predicted share of the favoured text", size=SMALL, text_anchor="middle"),
        text(16.0, _TOP + _SIZE / 2, "observed share", size=SMALL, text_anchor="middle", transform=turned),
    ]


def _point(one: float, other: float, count: int, lowest: float) -> list[str]:
    x, y = _x(min(max(one, _LOW), 1.0)), _y(other, lowest)
    error = (max(other * (1.0 - other), 0.25 / max(count, 1)) / max(count, 1)) ** 0.5
    low, high = _y(max(lowest, other - error), lowest), _y(min(1.0, other + error), lowest)
    words = tip(f"predicted {one:.3f}, observed {other:.3f} in {count} judgements")
    return [
        element("line", x1=x, y1=low, x2=x, y2=high, stroke=INK),
        element("circle", words, cx=x, cy=y, r=4.5, fill=_BLUE, stroke=CARD),
    ]
