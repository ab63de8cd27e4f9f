"""Choices: the tokens that may be written next, as a person sees and names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ActionError, suggestion
from textgym.rendering.spelling import columns, fill, visible
from textgym.tokenizers import Tokenizer

PAGE = 40
"""Tokens that are shown at once."""

QUOTES = (" ", '"')
"""What stands before a token that would otherwise be read as a command or an id."""


def spell(token: str) -> str:
    """A token as a list shows it; what is not seen by itself stands in quotes.

    Example:
        >>> print(spell("great"), spell(" "))
        great " "
    """
    shown = visible(token)
    return shown if shown.strip() == shown != "" else f'"{shown}"'


@dataclass(frozen=True)
class Choices:
    """The vocabulary and what may be written of it.

    Attributes:
        tokenizer: The vocabulary.
        legal: ``(V,)`` which ids may be written next.
    """

    tokenizer: Tokenizer
    legal: NDArray[np.bool_]

    @property
    def ids(self) -> list[int]:
        """The legal ids."""
        found: list[int] = np.flatnonzero(self.legal).tolist()
        return found

    def search(self, part: str) -> list[int]:
        """The legal ids whose spelling has this part, whatever its case."""
        names = self.tokenizer.tokens
        return [index for index in self.ids if part.lower() in names[index].lower()]

    def read(self, line: str) -> list[int]:
        """The ids that a person means; only the first is known to be legal.

        Tried in this order: the spelling of one token, its id, a text of several tokens, the beginning of one token.
        What begins with a quote or a space is never read as an id.

        Raises:
            ActionError: for what is no legal token, with the nearest one.
        """
        quoted = line.startswith(QUOTES)
        text = _unquote(line) if quoted else line.strip()
        same = [index for index, token in enumerate(self.tokenizer.tokens) if text in (token, visible(token))]
        if not same and text.isdecimal() and not quoted:
            same = [int(text)]
        if same:
            return [self._first_legal(same)]
        return self._encode(text) or [self._complete(text)]

    def _is_legal(self, index: int) -> bool:
        return index < len(self.legal) and bool(self.legal[index])

    def _first_legal(self, ids: list[int]) -> int:
        for index in filter(self._is_legal, ids):
            return index
        if ids[0] >= len(self.legal):
            raise ActionError(f"there is no id {ids[0]}: they go from 0 to {len(self.legal) - 1}")
        raise ActionError(f"{self._name(ids[0])} may not be written here")

    def _name(self, index: int) -> str:
        return spell(self.tokenizer.tokens[index])

    def _encode(self, text: str) -> list[int]:
        """The ids of a whole text, or none where some of it is not in the vocabulary or may not begin here.

        The text may end as it is shown, with the spelling of an end token.
        """
        ends = [index for index in self.tokenizer.eos_ids if text.endswith(self.tokenizer.tokens[index])]
        written = text.removesuffix(self.tokenizer.tokens[ends[0]]).rstrip() if ends else text
        try:
            ids = self.tokenizer.encode(written)
        except (ValueError, KeyError):  # tokenizers without an unknown token
            return []
        known = ids and not self.tokenizer.special_ids.intersection(ids) and self._is_legal(ids[0])
        return [*ids, *ends[:1]] if known else []

    def _complete(self, text: str) -> int:
        names = {self.tokenizer.tokens[index]: index for index in self.ids}
        found = [name for name in names if text and name.startswith(text)]
        if len(found) == 1:
            return names[found[0]]
        if found:
            raise ActionError(f"{text!r} may be {', '.join(map(spell, found[:8]))}{', ...' * (len(found) > 8)}")
        raise ActionError(f"no token begins with {text!r}.{suggestion(text, names)} (? shows the commands)")

    def show(self, ids: Iterable[int], width: int = 80) -> list[str]:
        """Lines that list tokens with their ids."""
        items = [f"{index} {self._name(index)}" for index in ids]
        rows = fill([columns(item) for item in items], width - 2, gap=3)
        return ["  " + "   ".join(items[position] for position in row) for row in rows]

    def table(self, numbers: Mapping[str, NDArray[np.float64]], *, most: int = PAGE) -> Iterator[str]:
        """Lines with the legal tokens and numbers for each, those with the largest first number on top.

        Args:
            numbers: Title -> ``(V,)`` values; NaN shows as "not tried".
            most: The number of tokens that are shown.
        """
        leading = next(iter(numbers.values()))[self.legal]
        order = np.argsort(-np.where(np.isnan(leading), -np.inf, leading), kind="stable")
        ids = np.flatnonzero(self.legal)[order].tolist()
        room = max(len("token"), *(columns(self._name(index)) for index in ids[:most]))
        yield f"  {'id':>5}  {'token':<{room}}" + "".join(f"{title:>13}" for title in numbers)
        for index in ids[:most]:
            name = self._name(index)
            cells = ["not tried" if np.isnan(values[index]) else f"{values[index]:+.3f}" for values in numbers.values()]
            yield f"  {index:>5}  {name}{' ' * (room - columns(name))}" + "".join(f"  {cell:>11}" for cell in cells)
        if len(ids) > most:
            yield f"  ... and {len(ids) - most} more"


def _unquote(line: str) -> str:
    """What stands after the opening quote or space, and before the closing quote if there is one."""
    rest = line[1:]
    return rest[:-1] if line[0] == '"' and len(rest) > 1 and rest.endswith('"') else rest
