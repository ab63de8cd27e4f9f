"""The signs in a prefix tree: how a text ends, what is best, how wide a line is."""

from __future__ import annotations

import math
from collections.abc import Iterator

from textgym.pictures import svg

ENDS = {"eos": "end token", "length": "budget used up", "stop": "the task's own end"}
"""Why a text ends, and what that is called; see :func:`end`."""

THIN, THICK = 0.8, 9.0


def end(reason: str, x: float, y: float) -> str:
    """The sign of an end: a disc, a square or a diamond."""
    if reason == "eos":
        return svg.element("circle", cx=x, cy=y, r=3.6, fill=svg.INK)
    turn = f"rotate(45 {x:.1f} {y:.1f})" if reason == "stop" else None
    return svg.element("rect", x=x - 3.2, y=y - 3.2, width=6.4, height=6.4, fill=svg.INK, transform=turn)


def star(x: float, y: float, fill: str) -> str:
    """A five-pointed star."""
    corners = [(5.2 if k % 2 == 0 else 2.2, math.pi * (k / 5 - 0.5)) for k in range(10)]
    points = " ".join(f"{x + r * math.cos(angle):.1f},{y + r * math.sin(angle):.1f}" for r, angle in corners)
    return svg.element("polygon", points=points, fill=fill)


def dots(x: float, y: float) -> str:
    """The sign of a text that goes on although no more of it is drawn."""
    return svg.text(x, y, "…", fill=svg.SOFT, text_anchor="middle")


def thickness(share: float) -> float:
    """The width of a line that takes a share of all texts: by the square root, or rare texts could not be seen."""
    return THIN + (THICK - THIN) * math.sqrt(min(1.0, max(0.0, share)))


def width_piece(name: str, whole: float) -> svg.Piece:
    """Three lines for a legend, with what they stand for."""
    parts, x = [], 0.0
    for share in (1.0, 0.1, 0.01):
        words = _short(share * whole)
        parts.append(svg.element("path", d=f"M{x:.1f} 0h16", stroke=svg.FAINT, stroke_width=thickness(share)))
        parts.append(svg.text(x + 20.0, 0.0, words, size=svg.SMALL, fill=svg.SOFT))
        x += 30.0 + svg.room_for(words, svg.SMALL)
    parts.append(svg.text(x, 0.0, name, size=svg.SMALL, fill=svg.SOFT))
    return x + svg.room_for(name, svg.SMALL), "".join(parts)


def sign_pieces(ends: set[str], *, path: str, best: bool, unknown: bool, open_ended: bool) -> Iterator[svg.Piece]:
    """The signs that a tree uses, for its legend.

    Args:
        ends: Which ends there are.
        path: What the dark path is; empty where there is none.
        best: Whether there are stars.
        unknown: Whether there are tokens of unknown value.
        open_ended: Whether there are dots.
    """
    if path:
        yield svg.sign_piece(svg.element("path", d="M0 0H16", stroke=svg.INK, stroke_width=3), 16.0, path)
    if best:
        yield svg.sign_piece(star(6.0, 0.0, svg.INK), 11.0, "on a best text")
    if unknown:
        yield svg.words_piece("?  nothing learned")
    for reason, words in ENDS.items():
        if reason in ends:
            yield svg.sign_piece(end(reason, 5.0, 0.0), 10.0, words)
    if open_ended:
        yield svg.sign_piece(dots(6.0, 0.0), 12.0, "goes on")


def _short(number: float) -> str:
    return f"{number / 1000:.3g}k" if number >= 1000 else f"{number:.3g}"
