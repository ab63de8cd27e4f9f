"""Pieces of SVG as text: no script, no style sheet, no ids, so that a picture can stand anywhere, and twice on a page.

A picture brings its own white card: it then reads the same on light and dark pages, as a file and inside HTML.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from textgym.colours import css, diverging
from textgym.errors import ConfigurationError
from textgym.rendering.spelling import columns, fill, visible

INK, SOFT, FAINT, RULE, CARD, ALARM = "#1c2026", "#59616b", "#aab1ba", "#c9ced5", "#ffffff", "#c0392b"
MARGIN, LARGE, SIZE, SMALL = 14.0, 15.0, 13.0, 11.5
FONT = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', Arial, sans-serif"

Piece = tuple[float, str]
"""The width of a part of a legend, and the part itself, drawn at the origin."""


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """An SVG element; underscores in attribute names stand for hyphens, None leaves an attribute out.

    Args:
        name: Such as ``"rect"``.
        content: Elements inside it, as they are.
        attributes: Numbers are rounded to a hundredth, texts are escaped.

    Example:
        >>> element("line", x1=1.0, y2=2.345, stroke_width=None, aria_label='"<"')
        '<line x1="1" y2="2.35" aria-label="&quot;&lt;&quot;"/>'
    """
    known = [(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None]
    written = "".join(f' {key}="{_write(value)}"' for key, value in known)
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def _write(value: object) -> str:
    return f"{round(value, 2) + 0.0:.8g}" if isinstance(value, float) else escape(str(value))  # no negative zero


def text(x: float, y: float, words: str, *, fill: str = INK, size: float = SIZE, **attributes: object) -> str:
    """A line of text; ``y`` is its middle."""
    return element("text", escape(words), x=x, y=y + 0.36 * size, fill=fill, font_size=size, **attributes)


def tip(words: str) -> str:
    """What a mouse that rests on the element shows."""
    return element("title", escape(words))


def spell(token: str) -> str:
    """A token as it is written in pictures: spaces at its ends can be seen, control characters do nothing.

    Example:
        >>> spell(" good"), spell("")
        ('␣good', '∅')
    """
    inner = token.strip(" ")
    left = len(token) - len(token.lstrip(" "))
    right = len(token) - left - len(inner)
    return "␣" * left + visible(inner) + "␣" * right or "∅"


def room_for(words: str, size: float = SIZE) -> float:
    """About how wide a text is in pixels, rather too much than too little."""
    return 0.56 * size * columns(words)


def elide(words: str, room: float, size: float = SIZE, *, start: bool = False) -> str:
    """A text that fits its place: what is too long loses its end, or its start.

    Example:
        >>> elide("wonderful", 50.0), elide("wonderful", 50.0, start=True)
        ('wonde…', '…erful')
    """
    if room_for(words, size) <= room:
        return words
    while words and room_for(words, size) + 0.56 * size > room:
        words = words[1:] if start else words[:-1]
    return f"…{words}" if start else f"{words}…"


def picture(body: Iterable[str], *, width: float, height: float, label: str) -> str:
    """A whole picture on its card; ``label`` is what a screen reader says."""
    card = element(
        "rect", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=8, fill=CARD, stroke=RULE, stroke_width=1
    )
    return (
        element(
            "svg",
            "\n".join(["", card, *body, ""]),
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_write(width)} {_write(height)}",
            width=width,
            height=height,
            role="img",
            aria_label=label,
            font_family=FONT,
            style="max-width:100%;height:auto;font-variant-numeric:tabular-nums",
        )
        + "\n"
    )


def words_piece(words: str) -> Piece:
    """A remark in a legend."""
    return room_for(words, SMALL), text(0.0, 0.0, words, size=SMALL, fill=SOFT)


def sign_piece(sign: str, width: float, words: str) -> Piece:
    """A sign in a legend, drawn at the origin, and what it means."""
    left = width + 6.0
    return left + room_for(words, SMALL), sign + text(left, 0.0, words, size=SMALL, fill=SOFT)


def scale_piece(low: str, high: str, name: str) -> Piece:
    """The diverging scale in a legend, with its two ends in numbers."""
    steps, step = 9, 11.0
    left = room_for(low, SMALL) + 4.0
    boxes = [
        element("rect", x=left + step * k, y=-5.0, width=step, height=10.0, fill=css(diverging(k / 4 - 1)))
        for k in range(steps)
    ]
    frame = element("rect", x=left, y=-5.0, width=steps * step, height=10.0, fill="none", stroke=RULE)
    right = left + steps * step + 5.0
    words = f"{high}  {name}"
    parts = [text(0.0, 0.0, low, size=SMALL, fill=SOFT), *boxes, frame, text(right, 0.0, words, size=SMALL, fill=SOFT)]
    return right + room_for(words, SMALL), "".join(parts)


def legend(pieces: Iterable[Piece], *, width: float, y: float, line: float = 20.0) -> tuple[list[str], float]:
    """Puts the parts of a legend into as many lines as they need, from ``y`` on; also returns where they end."""
    parts, gap = list(pieces), 18
    drawn = []
    for row in fill([int(size) for size, _ in parts], int(width - 2 * MARGIN), gap=gap):
        x = MARGIN
        for position in row:
            size, piece = parts[position]
            drawn.append(element("g", piece, transform=f"translate({_write(x)} {_write(y + line / 2)})"))
            x += size + gap
        y += line
    return drawn, y


def check_size(name: str, value: int, least: int) -> None:
    """Raises ConfigurationError unless this is a whole number that is large enough."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name}={value!r}: expected a whole number of at least {least}")
