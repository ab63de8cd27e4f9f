"""How a text is shown to somebody who judges it: as text, with whatever would be invisible made visible.

Characters that turn the reading direction, hide, or drive a terminal could make two texts look alike that differ, or
one look like something else; each is shown by its number.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Spell = Callable[[Sequence[int]], Sequence[str]]
"""Token ids -> the text of each token."""

_SPACES = {"\n": "\u21b5", "\t": "\u21e5"}  # shown by these, and obeyed
_JOINERS = "\u200c\u200d"  # emoji and Persian are made of them: shown only where they join nothing
_BLANK = "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # letters by name, and yet nothing to be seen


@dataclass(frozen=True)
class Piece:
    """A run of a text: as it is, or one character that stands for itself by its number.

    Attributes:
        text: What is shown.
        name: What the character is called; "" for ordinary text.
    """

    text: str
    name: str = ""


def pieces(text: str) -> tuple[Piece, ...]:
    r"""Cuts a text where something would be invisible.

    Example:
        >>> [piece.text for piece in pieces("good\u202ebad")]
        ['good', 'U+202E', 'bad']
        >>> pieces("")
        ()
    """
    found: list[Piece] = []
    plain: list[str] = []
    for position, letter in enumerate(text):
        name = _name_hidden(text, position)
        if not name:
            plain.append(letter)
            continue
        if plain:
            found.append(Piece("".join(plain)))
        sign = _SPACES.get(letter)
        plain = [letter] if sign else []
        found.append(Piece(sign or f"U+{ord(letter):04X}", name))
    return (*found, Piece("".join(plain))) if plain else tuple(found)


def _name_hidden(text: str, position: int) -> str:
    """What a character that cannot be seen is called; "" for one that can."""
    letter = text[position]
    kind = unicodedata.category(letter)
    if letter == " " or (kind[0] not in "CZ" and letter not in _BLANK):
        return ""
    if letter in _JOINERS and 0 < position < len(text) - 1:
        around = text[position - 1] + text[position + 1]
        if all(ord(other) > 127 and unicodedata.category(other)[0] in "LMS" for other in around):
            return ""
    if letter == "\u3000":  # the space of Chinese and Japanese is as wide as a letter
        return ""
    return unicodedata.name(letter, {"\n": "LINE FEED", "\t": "TAB"}.get(letter, "CONTROL CHARACTER"))


@dataclass(frozen=True)
class Shown:
    """One text on the page.

    Attributes:
        pieces: The text, as :func:`pieces` cuts it.
        tokens: The same token by token; empty where the tokens are not known.
    """

    pieces: tuple[Piece, ...]
    tokens: tuple[tuple[Piece, ...], ...] = ()

    @classmethod
    def of(cls, text: str, ids: Sequence[int] = (), spell: Spell | None = None) -> Shown:
        """What is shown of a text whose tokens may be known."""
        tokens = spell(ids) if spell is not None else ()
        return cls(pieces(text), tuple(pieces(token) for token in tokens))

    def as_json(self) -> dict[str, Any]:
        """In values that JSON knows."""
        return {"pieces": _as_json(self.pieces), "tokens": [_as_json(token) for token in self.tokens]}


def _as_json(found: Sequence[Piece]) -> list[dict[str, str]]:
    return [{"text": piece.text, "name": piece.name} for piece in found]
