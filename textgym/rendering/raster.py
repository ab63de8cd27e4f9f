"""Pictures as pixels: frames of a text being written, all of one size, without a display."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import nlargest

import numpy as np
from numpy.typing import NDArray

from textgym.colours import BLACK, RGB, WHITE, diverging, text_colour
from textgym.errors import ConfigurationError
from textgym.rendering.faces import Fonts, Stamp, ascent, choose_fonts, line_height, stamp
from textgym.rendering.overlay import Overlay
from textgym.rendering.spelling import columns, ending, fill, visible

WIDTH = 640
FONT, SMALL = 20, 14  # font sizes in pixels: texts and numbers
_MARGIN, _GAP, _PAD = 16, 5, 6  # around everything, between tokens, within a token
_BAR = 100  # length of the scale
_LEAST = 64  # width and height of a picture
_MOST_ROWS = 12  # of tokens in a frame of an environment; longer texts scroll
_MOST_PROMPT_LINES = 4
_SOFT: RGB = (90, 90, 90)
_TINTS: tuple[RGB, ...] = ((226, 232, 240), (238, 232, 222))
_ALARM: RGB = (190, 30, 30)
_RULE: RGB = (205, 205, 205)


@dataclass(frozen=True)
class _Cell:
    """One token: what is drawn, and how wide it is."""

    word: Stamp
    number: Stamp | None
    colour: RGB
    outline: RGB | None
    illegal: bool

    @property
    def width(self) -> int:
        return max(self.word.shape[1], 0 if self.number is None else self.number.shape[1]) + 2 * _PAD


def rgb_array(
    prompt: str,
    tokens: Sequence[str],
    *,
    stop_reason: str | None = None,
    reward: float | None = None,
    overlay: Overlay | None = None,
    size: tuple[int, int] | None = None,
    fonts: Sequence[str] | None = None,
) -> NDArray[np.uint8]:
    """A text as an ``(H, W, 3)`` picture.

    Args:
        prompt: The prompt as the user wrote it.
        tokens: The spelling of each token written so far.
        stop_reason: Why the text ended, if it has; an illegal token is struck through.
        reward: The episode's return so far; shown once the text has ended.
        overlay: One number a token: its colour, and written under it.
        size: Width and height in pixels (:func:`frame_size`). A longer text shows its end; by default the picture is
            640 pixels wide and as high as the text.
        fonts: Font files for characters that Pillow's own face lacks; by default those of the system.

    Raises:
        MissingDependencyError: without Pillow.
        ConfigurationError: if the overlay has not one value for each token, for a size too small to write in, and for
            fonts that are not there.

    Example:
        >>> rgb_array("praise the movie", ["was", "great"]).shape
        (128, 640, 3)
    """
    if overlay is not None:
        overlay.check(tokens)
    if size is not None and min(size) < _LEAST:
        raise ConfigurationError(f"size={size!r}: expected at least {_LEAST} by {_LEAST} pixels, width first")
    chain = choose_fonts(fonts)
    width = size[0] if size else WIDTH
    lines = _lines(visible(prompt), width - 2 * _MARGIN, chain)
    last = len(tokens) - 1
    cells = [
        _cell(token, position, overlay, width, chain, illegal=stop_reason == "illegal" and position == last)
        for position, token in enumerate(tokens)
    ]
    rows = list(fill([cell.width for cell in cells], width - 2 * _MARGIN, gap=_GAP))
    height = size[1] if size else _height(len(lines), len(rows), numbers=overlay is not None)
    sheet = _Sheet(width, height, chain, numbers=overlay is not None)
    top = sheet.write_prompt(lines)
    sheet.draw_rows([[cells[position] for position in row] for row in rows], top)
    sheet.write_footer(None if stop_reason is None else ending(stop_reason, reward), overlay)
    return sheet.picture()


def frame_size(
    prompts: Sequence[str],
    spellings: Sequence[str],
    budget: int,
    *,
    overlay: bool = False,
    fonts: Sequence[str] | None = None,
) -> tuple[int, int]:
    """Width and height of a frame with room for all texts of a task, as far as a screen allows.

    Both are multiples of 16, which video codecs like. Texts of more than 12 rows will scroll.

    Args:
        prompts: All prompts.
        spellings: All tokens.
        budget: T, the most tokens of a text.
        overlay: Whether there will be a number under each token.
        fonts: As for :func:`rgb_array`.

    Example:
        >>> frame_size(["praise the movie"], ["was", "great"], 5)
        (640, 128)
    """
    chain, room = choose_fonts(fonts), WIDTH - 2 * _MARGIN
    longest = nlargest(16, (visible(token) for token in spellings), key=columns)
    widest = max([stamp(_fitted(word, room, chain), FONT, chain).shape[1] for word in longest], default=0)
    if overlay:
        widest = max(widest, stamp("+0.0000", SMALL, chain).shape[1])
    a_row = max(1, (room + _GAP) // (widest + 2 * _PAD + _GAP))
    lines = [len(_lines(prompt, room, chain)) for prompt in nlargest(4, map(visible, prompts), key=columns)]
    return WIDTH, _height(max(lines, default=1), min(_MOST_ROWS, -(-budget // a_row)), numbers=overlay)


def _height(lines: int, rows: int, *, numbers: bool) -> int:
    inside = lines * line_height(FONT) + _PAD + max(1, rows) * _row_height(numbers) + _footer_height(numbers)
    return -(-(inside + 2 * _MARGIN) // 16) * 16


def _footer_height(numbers: bool) -> int:
    return line_height(FONT) + (line_height(SMALL) if numbers else 0)


def _row_height(numbers: bool) -> int:
    return line_height(FONT) + (line_height(SMALL) if numbers else 0) + _PAD


def _lines(text: str, room: int, fonts: Fonts) -> list[str]:
    """The text in lines of this width, broken at spaces, or anywhere in a word that is too long."""
    pieces: list[str] = []
    for word in re.findall("[^ ]+ *| +", text[: _MOST_PROMPT_LINES * room]):  # more is not shown
        pieces += [word] if stamp(word, FONT, fonts).shape[1] <= room else word
    widths = [stamp(piece, FONT, fonts).shape[1] for piece in pieces]
    lines = ["".join(pieces[position] for position in row) for row in fill(widths, room, gap=0)]
    return lines if len(lines) <= _MOST_PROMPT_LINES else [*lines[: _MOST_PROMPT_LINES - 1], "\u2026"]


def _fitted(word: str, room: int, fonts: Fonts) -> str:
    """The word, cut if it is longer than a row."""
    room -= 2 * _PAD
    fitted, keep = word[:room], min(room, len(word))
    while (width := stamp(fitted, FONT, fonts).shape[1]) > room and keep > 1:
        keep = min(keep - 1, keep * room // width)
        fitted = f"{word[:keep]}\u2026"
    return fitted


def _cell(token: str, position: int, overlay: Overlay | None, width: int, fonts: Fonts, *, illegal: bool) -> _Cell:
    word = stamp(_fitted(visible(token), width - 2 * _MARGIN, fonts), FONT, fonts)
    colour = overlay.colour(position) if overlay else None
    outline = _ALARM if illegal else None
    if overlay is None:
        return _Cell(word, None, _TINTS[position % len(_TINTS)], outline, illegal)
    if colour is None:
        return _Cell(word, None, WHITE, outline or _RULE, illegal)
    return _Cell(word, stamp(overlay.number(position), SMALL, fonts), colour, outline, illegal)


class _Sheet:
    """The paper that one picture is drawn on.

    Attributes:
        pixels: ``(H, W)``, red, green and blue in one number: three times as fast as three numbers.
        step: From one row of tokens to the next.
        bottom: Where the footer begins.
    """

    def __init__(self, width: int, height: int, fonts: Fonts, *, numbers: bool) -> None:
        self.pixels = np.full((height, width), _packed(WHITE), dtype=np.int32)
        self.fonts = fonts
        self.step = _row_height(numbers)
        self.bottom = height - _MARGIN - _footer_height(numbers)

    def picture(self) -> NDArray[np.uint8]:
        """``(H, W, 3)`` what has been drawn."""
        return np.stack([self.pixels >> 16, self.pixels >> 8, self.pixels], axis=2).astype(np.uint8)

    def fill(self, left: int, top: int, right: int, bottom: int, colour: RGB) -> None:
        """Fills a rectangle; what lies outside the paper is left out."""
        self.pixels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = _packed(colour)

    def print(self, mark: Stamp, left: int, top: int, *, ink: RGB, paper: RGB = WHITE) -> None:
        """Prints a stamp on an area that has the colour of ``paper``."""
        area = self.pixels[top : top + mark.shape[0], left : left + mark.shape[1]]
        area[...] = _shades(ink, paper).take(mark[: area.shape[0], : area.shape[1]])

    def write(self, text: str, left: int, top: int, *, size: int = FONT, ink: RGB = _SOFT) -> int:
        """Writes a text and returns where it ends."""
        mark = stamp(text, size, self.fonts)
        self.print(mark, left, top, ink=ink)
        return left + mark.shape[1]

    def write_prompt(self, lines: Sequence[str]) -> int:
        """Writes the prompt and returns where the tokens begin."""
        for number, line in enumerate(lines):
            self.write(line, _MARGIN, _MARGIN + number * line_height(FONT))
        return _MARGIN + len(lines) * line_height(FONT) + _PAD

    def draw_rows(self, rows: Sequence[Sequence[_Cell]], top: int) -> None:
        """Draws as many rows of tokens as there is room for, the last ones."""
        room = max(1, (self.bottom - top) // self.step)
        for row in rows[-room:]:
            left = _MARGIN
            for cell in row:
                self.draw_cell(cell, left, top, top + self.step - _PAD)
                left += cell.width + _GAP
            top += self.step

    def draw_cell(self, cell: _Cell, left: int, top: int, bottom: int) -> None:
        """Draws one token on its colour, with its number under it."""
        right, ink = left + cell.width, text_colour(cell.colour)
        if cell.outline:
            self.fill(left - 2, top - 2, right + 2, bottom + 2, cell.outline)
        self.fill(left, top, right, bottom, cell.colour)
        self.print(cell.word, left + _PAD, top, ink=ink, paper=cell.colour)
        if cell.number is not None:
            self.print(cell.number, left + _PAD, top + line_height(FONT) - 1, ink=ink, paper=cell.colour)
        if cell.illegal:
            middle = top + ascent(FONT) - FONT * 3 // 10
            self.fill(left + _PAD, middle, left + _PAD + cell.word.shape[1], middle + 1, _ALARM)

    def write_footer(self, text: str | None, overlay: Overlay | None) -> None:
        """Writes the scale of the colours, and under it how the text ended."""
        if text is not None:
            self.write(text, _MARGIN, self.pixels.shape[0] - _MARGIN - line_height(FONT), ink=BLACK)
        if overlay is None:
            return
        low, high = (overlay.write(sign * overlay.limit) for sign in (-1, 1))
        left = self.write(f"{visible(overlay.name)}  {low} ", _MARGIN, self.bottom, size=SMALL)
        for step in range(_BAR):
            colour = diverging(2 * step / (_BAR - 1) - 1)
            self.fill(left + step, self.bottom + 4, left + step + 1, self.bottom + SMALL, colour)
        self.write(f" {high}", left + _BAR, self.bottom, size=SMALL)


def _packed(colour: RGB) -> int:
    red, green, blue = colour
    return red << 16 | green << 8 | blue


@lru_cache(maxsize=1024)
def _shades(ink: RGB, paper: RGB) -> NDArray[np.int32]:
    """``(256,)`` from no ink to full ink on this paper."""
    part = np.arange(256) / 255
    red, green, blue = (np.rint(a + (b - a) * part).astype(np.int32) for a, b in zip(paper, ink, strict=True))
    return red << 16 | green << 8 | blue
