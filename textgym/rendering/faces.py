"""Type for pictures: Pillow's own face, then the system's, then a box with the code point.

Pillow's face has ASCII and little more; it comes first, so that English looks the same on every machine. No font is
shipped with textgym. Nothing here needs a display.
"""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError, missing_dependency

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

Stamp = NDArray[np.uint8]
Fonts = tuple[str, ...]
"""Paths of font files, in order of preference."""

# Alphabets first, then Chinese, Japanese and Korean; of several files of a family the plainest is taken.
FAMILIES = (
    "DejaVuSans NotoSans-Regular Arial SegoeUI LiberationSans Helvetica "
    "NotoSansCJK NotoSansSC SourceHanSans PingFang Hiragino STHeiti MSYH SimSun YuGoth Meiryo Malgun "
    "AppleSDGothicNeo WQY DroidSansFallback ArialUnicode Unifont"
).split()
_MISSING = "\U0010fffd"  # private, so that a face draws what it has for all characters that it lacks
_STYLE_MARKS = dict.fromkeys((0xFE0E, 0xFE0F))  # "as text" and "as emoji": no picture of their own


def font_folders() -> list[Path]:
    """Where Linux, macOS and Windows keep their fonts."""
    home = Path.home()
    folders = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts", home / ".fonts"]
    folders += [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    windows, local = os.environ.get("WINDIR"), os.environ.get("LOCALAPPDATA")
    folders += [Path(windows, "Fonts")] if windows else []
    folders += [Path(local, "Microsoft", "Windows", "Fonts")] if local else []
    return folders


def find_fonts(folders: list[Path]) -> Fonts:
    """The font files below these folders that belong to :data:`FAMILIES`, one a family."""
    files = [
        Path(root, name)
        for folder in folders
        for root, _, names in os.walk(folder)  # an empty walk where there is no such folder
        for name in names
        if name.lower().endswith((".ttf", ".ttc", ".otf"))
    ]
    found = []
    for family in FAMILIES:
        fitting = [path for path in files if _plain(path.stem).startswith(_plain(family))]
        fitting.sort(key=lambda path: ("regular" not in path.stem.lower(), len(path.stem), str(path)))
        found += [str(path) for path in fitting[:1]]
    return tuple(dict.fromkeys(found))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


@lru_cache(maxsize=1)
def system_fonts() -> Fonts:
    """The fonts of this machine, looked for once."""
    return find_fonts(font_folders())


def choose_fonts(fonts: Sequence[str] | None) -> Fonts:
    """The fonts that a user names, or those of the system for None.

    Raises:
        ConfigurationError: for a file that is not there.
    """
    for path in fonts or ():
        if not Path(path).is_file():
            raise ConfigurationError(f"fonts={list(fonts or ())!r}: there is no file {path!r}; expected font files")
    return system_fonts() if fonts is None else tuple(map(str, fonts))


@lru_cache(maxsize=64)
def _load(path: str | None, size: int) -> ImageFont.FreeTypeFont | None:
    """A face at a size; None for a file that Pillow cannot read. The path None is Pillow's own face."""
    try:
        from PIL import ImageFont
    except ImportError:
        raise missing_dependency("pillow", "render", "a picture of a text") from None
    if path is None:
        face = ImageFont.load_default(size)
        assert isinstance(face, ImageFont.FreeTypeFont)
        return face
    try:
        return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    except OSError:
        return None


@lru_cache(maxsize=8192)
def _face_of(letter: str, size: int, fonts: Fonts) -> ImageFont.FreeTypeFont | None:
    """The first face that can draw this character."""
    for path in (None, *fonts):
        face = _load(path, size)
        if face is not None and (letter.isspace() or _has(face, letter)):
            return face
    return None


def _has(face: ImageFont.FreeTypeFont, letter: str) -> bool:
    drawn, missing = face.getmask(letter), face.getmask(_MISSING)
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)


@lru_cache(maxsize=8192)
def stamp(text: str, size: int, fonts: Fonts) -> Stamp:
    """The text as a grey picture ``(H, W)``: 255 where there is ink; H is :func:`line_height`.

    It is put together from letters that are drawn once, which is much faster than drawing words.

    Args:
        text: One line without control characters.
        size: Font size in pixels.
        fonts: Where to look for what Pillow's own face lacks.
    """
    composed = unicodedata.normalize("NFC", text).translate(_STYLE_MARKS)
    letters = [_glyph(letter, size, fonts) for letter in composed]
    right = list(accumulate((letter.advance for letter in letters), initial=1.0))
    ink = np.zeros((line_height(size), math.ceil(right[-1]) + 1), dtype=np.uint8)
    for letter, pen in zip(letters, right[:-1], strict=True):
        begin = max(0, round(pen) + letter.left)
        under = ink[:, begin : begin + letter.ink.shape[1]]
        np.maximum(under, letter.ink[:, : under.shape[1]], out=under)
    ink.flags.writeable = False
    return ink


@dataclass(frozen=True)
class _Glyph:
    """One drawn character: its ink, where that begins from the pen, and how far the pen moves."""

    ink: Stamp
    left: int
    advance: float


@lru_cache(maxsize=8192)
def _glyph(letter: str, size: int, fonts: Fonts) -> _Glyph:
    face = _face_of(letter, size, fonts)  # first, for it says what to install where there is no Pillow
    from PIL import Image, ImageDraw

    advance = size + 4.0 if face is None else face.getlength(letter)
    picture = Image.new("L", (int(advance) + 4 * size, line_height(size)), 0)
    draw = ImageDraw.Draw(picture)
    if face is None:
        _draw_box(draw, letter, 2 * size, size)
    else:
        draw.text((2 * size, ascent(size)), letter, fill=255, font=face, anchor="ls")  # ink may begin left of the pen
    ink = np.array(picture)
    columns = np.flatnonzero(ink.any(axis=0))
    begin, end = (int(columns[0]), int(columns[-1]) + 1) if columns.size else (2 * size, 2 * size)
    return _Glyph(ink[:, begin:end], begin - 2 * size, advance)


def _draw_box(draw: ImageDraw.ImageDraw, letter: str, left: int, size: int) -> None:
    """A box with the code point in two rows of hexadecimal digits."""
    digits = f"{ord(letter):04X}"
    half = (len(digits) + 1) // 2
    top, right, bottom = 1, left + size + 1, ascent(size) + size // 5
    draw.rectangle((left + 1, top, right, bottom), outline=160)
    for row, part in enumerate((digits[:half], digits[half:])):
        middle = (left + 1 + right) / 2, top + 1 + (bottom - top) * (2 * row + 1) / 4
        draw.text(middle, part, fill=255, font=_load(None, max(6, size // 2)), anchor="mm")


def line_height(size: int) -> int:
    """Height of a line in pixels."""
    return size * 5 // 4 + 2


def ascent(size: int) -> int:
    """From the top of a line to its baseline, in pixels."""
    return size + 1
