"""How texts, numbers and endings are spelt in every picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence


def visible(piece: str) -> str:
    r"""Shows control characters instead of obeying them, and a lone accent on a dotted circle.

    A generated text must not drive the terminal, turn the reading direction or climb onto its neighbour.

    Example:
        >>> print(visible("\x1b[2J"))
        \x1b[2J
        >>> visible("\u0301") == "\u25cc\u0301"
        True
    """
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in piece)
    return f"\u25cc{shown}" if shown and unicodedata.category(shown[0])[0] == "M" else shown


def ending(stop_reason: str, reward: float | None) -> str:
    """What stands at the end of a finished text.

    Example:
        >>> ending("eos", 1.25)
        '[eos, reward +1.250]'
    """
    return f"[{stop_reason}, reward {reward or 0.0:+.3f}]"


def columns(text: str) -> int:
    """About how wide a text is, counting East Asian characters twice.

    Example:
        >>> columns("good"), columns("很好")
        (4, 4)
    """
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def fill(widths: Sequence[int], room: int, *, gap: int) -> Iterator[list[int]]:
    """Fills rows of this room with things of these widths: the positions in each row, at least one.

    Example:
        >>> list(fill([3, 3, 9, 1], 7, gap=1))
        [[0, 1], [2], [3]]
    """
    row: list[int] = []
    used = 0
    for position, width in enumerate(widths):
        if row and used + gap + width > room:
            yield row
            row, used = [], 0
        used += width + (gap if row else 0)
        row.append(position)
    if row:
        yield row
