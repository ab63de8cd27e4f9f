"""Colours for numbers: a diverging scale that colour-blind people and grey printers can read.

Negative values are blue, values near zero light, positive values orange. Blue and orange stay apart in all common
forms of colour blindness. Blue grows dark much faster than orange: beyond half of the scale every negative colour is
darker than every positive one, so the sign survives a photocopy.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

RGB = tuple[int, int, int]
"""Red, green and blue from 0 to 255, in sRGB."""

BLACK: RGB = (0, 0, 0)
WHITE: RGB = (255, 255, 255)

_STOPS: tuple[tuple[float, RGB], ...] = (
    (-1.0, (10, 58, 120)),
    (-0.5, (64, 120, 184)),
    (-0.25, (136, 178, 218)),
    (0.0, (247, 247, 247)),
    (0.25, (254, 222, 178)),
    (0.5, (250, 186, 110)),
    (1.0, (238, 130, 36)),
)
_LEVELS = (0, 95, 135, 175, 215, 255)  # of red, green and blue in the colour cube of xterm


def diverging(value: float, scale: float = 1.0) -> RGB:
    """The colour of a value: blue at ``-scale`` and below, light at 0, orange at ``scale`` and above.

    Args:
        value: Any number but NaN; infinite ones get the end of their side.
        scale: The absolute value that gets the full colour; with 0 everything is light.

    Raises:
        ValueError: for NaN, which has no place on the scale.

    Example:
        >>> diverging(-2.0, 2.0), diverging(0.0), diverging(7.0)
        ((10, 58, 120), (247, 247, 247), (238, 130, 36))
    """
    if math.isnan(value):
        raise ValueError("NaN has no colour on the diverging scale; leave the token without a value")
    position = min(1.0, max(-1.0, value / scale)) if scale else 0.0
    for (low, left), (high, right) in pairwise(_STOPS):
        if position <= high:
            part = (position - low) / (high - low)
            red, green, blue = (round(a + part * (b - a)) for a, b in zip(left, right, strict=True))
            return red, green, blue
    raise AssertionError("the last stop is 1.0")


def luminance(colour: RGB) -> float:
    """Relative luminance from 0 (black) to 1 (white), as WCAG 2 defines it.

    Example:
        >>> luminance(BLACK), luminance(WHITE)
        (0.0, 1.0)
    """
    red, green, blue = (_linear(channel / 255) for channel in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def contrast(one: RGB, other: RGB) -> float:
    """The contrast ratio of two colours, from 1 to 21, as WCAG 2 defines it; text needs 4.5."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@lru_cache(maxsize=4096)
def text_colour(background: RGB) -> RGB:
    """Black or white, whichever is easier to read here; the contrast is always above 4.5.

    Example:
        >>> text_colour(diverging(-1.0)), text_colour(diverging(1.0))
        ((255, 255, 255), (0, 0, 0))
    """
    return max(BLACK, WHITE, key=lambda ink: contrast(ink, background))


def css(colour: RGB) -> str:
    """The colour as ``#rrggbb``.

    Example:
        >>> css((10, 58, 120))
        '#0a3a78'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)


@lru_cache(maxsize=4096)
def xterm(colour: RGB) -> int:
    """The nearest of xterm's 256 colours: an index from 16 to 255 (0 to 15 differ from terminal to terminal).

    Example:
        >>> xterm(WHITE), xterm(BLACK), xterm((120, 120, 120))
        (231, 16, 243)
    """
    red, green, blue = (min(range(6), key=lambda step: abs(_LEVELS[step] - channel)) for channel in colour)
    grey = min(23, max(0, round((sum(colour) / 3 - 8) / 10)))
    return min(16 + 36 * red + 6 * green + blue, 232 + grey, key=lambda index: _distance(xterm_rgb(index), colour))


def xterm_rgb(index: int) -> RGB:
    """What xterm shows for an index from 16 to 255: a 6 x 6 x 6 cube, then 24 greys."""
    if not 16 <= index <= 255:
        raise ValueError(f"xterm colour {index}: expected 16 to 255")
    if index >= 232:
        grey = 8 + 10 * (index - 232)
        return grey, grey, grey
    red, rest = divmod(index - 16, 36)
    green, blue = divmod(rest, 6)
    return _LEVELS[red], _LEVELS[green], _LEVELS[blue]


def _distance(one: RGB, other: RGB) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
