"""Pictures for the terminal: coloured text that no token can break."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from textgym.colours import text_colour, xterm, xterm_rgb
from textgym.rendering.overlay import Overlay
from textgym.rendering.spelling import ending, fill, visible

_COLOURS = (36, 35, 33, 32, 34)  # cyan, magenta, yellow, green, blue: neighbours always differ
_DIM, _BOLD, _RED, _STRUCK, _RESET = "\x1b[2m", "\x1b[1m", "\x1b[31m", "\x1b[9m", "\x1b[0m"


def use_colour() -> bool:
    """Whether to write colour codes: unless the environment variable NO_COLOR is set (no-color.org)."""
    return not os.environ.get("NO_COLOR")


def ansi(
    prompt: str,
    tokens: Sequence[str],
    *,
    stop_reason: str | None = None,
    reward: float | None = None,
    overlay: Overlay | None = None,
    colour: bool | None = None,
    width: int = 80,
) -> str:
    """Terminal text: the prompt, each token in its colour, and at the end the reward.

    Without an overlay this is one line. With one, the numbers stand under their tokens, and long texts are wrapped.
    An illegal token is struck through.

    Args:
        prompt: The prompt as the user wrote it.
        tokens: The spelling of each token written so far.
        stop_reason: Why the text ended, if it has.
        reward: The episode's return so far; shown once the text has ended.
        overlay: One number a token.
        colour: By default :func:`use_colour`.
        width: Columns of the terminal, for texts with an overlay.

    Raises:
        ConfigurationError: if the overlay has not one value for each token.

    Example:
        >>> ansi("praise the movie", ["was", "great"], stop_reason="length", reward=1.25, colour=False)
        'praise the movie > was great  [length, reward +1.250]'
        >>> print(ansi("pan it", ["was", "great"], overlay=Overlay("reward", [0.0, -1.5]), colour=False))
        pan it >
               was   great
        reward +0.00 -1.50
    """
    paint = use_colour() if colour is None else colour
    words, illegal = [visible(token) for token in tokens], stop_reason == "illegal"
    head = _styled(f"{visible(prompt)} >", _DIM, paint)
    tail = [] if stop_reason is None else [_styled(ending(stop_reason, reward), _BOLD, paint)]
    if overlay is None:
        shown = [_word(word, n, illegal=illegal and n == len(words) - 1, paint=paint) for n, word in enumerate(words)]
        return "  ".join([" ".join([head, *shown]), *tail])
    overlay.check(tokens)
    return "\n".join([head, *_table(words, overlay, illegal=illegal, paint=paint, width=width), *tail])


def _styled(text: str, style: str, paint: bool) -> str:
    return f"{style}{text}{_RESET}" if paint and style else text


def _word(word: str, position: int, *, illegal: bool, paint: bool) -> str:
    """One token without an overlay."""
    if illegal:
        return f"{_RED}{_STRUCK}{word}{_RESET}" if paint else f"~~{word}~~"
    return _styled(word, f"\x1b[{_COLOURS[position % len(_COLOURS)]}m", paint)


def _table(words: list[str], overlay: Overlay, *, illegal: bool, paint: bool, width: int) -> Iterator[str]:
    """Two lines a row: tokens on their colours, and under them their numbers."""
    from rich.cells import cell_len

    if illegal and words and not paint:
        words = [*words[:-1], f"~~{words[-1]}~~"]
    name = visible(overlay.name)
    numbers = [overlay.number(position) for position in range(len(words))]
    widths = [max(cell_len(word), len(number)) for word, number in zip(words, numbers, strict=True)]
    for row in fill(widths, width - cell_len(name) - 1, gap=1):
        upper, lower = [" " * cell_len(name)], [_styled(name, _DIM, paint)]
        for position in row:
            word, number, style = words[position], numbers[position], _background(overlay, position)
            struck = _STRUCK if illegal and position == len(words) - 1 else ""
            padding = _styled(" " * (widths[position] - cell_len(word)), style, paint)
            upper.append(_styled(word, style + struck, paint) + padding)
            lower.append(_styled(number.ljust(widths[position]), style, paint))
        yield from (" ".join(line).rstrip() for line in (upper, lower))


def _background(overlay: Overlay, position: int) -> str:
    """Codes for a token's colour on the overlay's scale, and for black or white text on it; none without a value."""
    colour = overlay.colour(position)
    if colour is None:
        return ""
    index = xterm(colour)
    return f"\x1b[38;5;{xterm(text_colour(xterm_rgb(index)))};48;5;{index}m"


class Typewriter:
    """Turns a text that grows into what has to be printed of it: only what is new, so that long texts can wrap.

    Example:
        >>> typewriter = Typewriter()
        >>> [typewriter.advance("pan it", tokens, colour=False) for tokens in ([], ["was"], ["was", "bad"])]
        ['pan it >', ' was', ' bad']
    """

    def __init__(self) -> None:
        self._shown = ""  # the line so far, empty where it is finished

    def advance(
        self,
        prompt: str,
        tokens: Sequence[str],
        *,
        stop_reason: str | None = None,
        reward: float | None = None,
        colour: bool | None = None,
    ) -> str:
        """What this text has more than the last one; all of it, on a new line, where it is another text."""
        whole = ansi(prompt, tokens, stop_reason=stop_reason, reward=reward, colour=colour)
        if self._shown and whole.startswith(self._shown):
            new = whole[len(self._shown) :]
        else:
            new = f"\n{whole}" if self._shown else whole
        self._shown = "" if stop_reason else whole
        return f"{new}\n" if stop_reason else new


def echo(text: str) -> None:
    """Writes to standard output; a character that the console does not know becomes its escape."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
