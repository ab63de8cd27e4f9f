"""Draws a learned Q-table beside Q*: where it is right, where it is wrong, and what it never tried."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.colours import css, diverging, text_colour
from textgym.exact.tree import Floats
from textgym.pictures import svg
from textgym.pictures.learned import check_tree, read_learned
from textgym.pictures.sheets import Errors, Sheet, cut, find_errors
from textgym.pictures.views import spellings
from textgym.rendering import Overlay

LINE, TOP, HEAD = 20.0, 50.0, 38.0
NARROW, WIDE = 40.0, 72.0
"""Least and most width of a cell."""

SIDE, BETWEEN = 0.26, 16.0
"""Most of the width that the names of the lines may take, and the space between the two heat maps."""


def q_table(
    table: Any,
    solution: Any,
    *,
    prompt: str | int | None = None,
    rows: int = 16,
    errors: int = 5,
    width: int = 800,
) -> str:
    """A learned Q-table beside Q* as an SVG picture, and the largest errors below it.

    A line is a prefix, the most visited first; a column is a token. The greedy choice has a dark frame on both sides,
    and a line is marked where the learned choice is not a best one. Cells where nothing was learned are crossed
    out, those of illegal tokens empty. Tokens that do not fit into the width are left out, the best stay.

    Args:
        table: A learned table: see :func:`textgym.exact.policies.read_table`. With an agent's ``visits``
            it shows what was never tried.
        solution: What :func:`textgym.exact.solve` found for the environment.
        prompt: Its text or row; may be left out where one prompt was solved.
        rows: Most prefixes to show.
        errors: How many of the largest errors to list.
        width: Of the picture, in pixels.

    Returns:
        The text of an SVG file, which may also be put into HTML. It needs no script, style sheet or network.

    Raises:
        ConfigurationError: for sizes that cannot work.
        PromptError: for a prompt that was not solved.
        SolveError: for a solution without a tree, and a table of the wrong shape or one that knows nothing.

    Example:
        >>> from textgym.exact import solve
        >>> solution = solve("TextGen-v0", level="tiny")
        >>> picture = q_table({"was": solution.q("was") + 0.25}, solution)
        >>> "largest error 0.25" in picture
        True
    """
    for name, value, least in (("rows", rows, 1), ("errors", errors, 0), ("width", width, 360)):
        svg.check_size(name, value, least)
    tree = check_tree(solution)
    learned, group = read_learned(table, tree, prompt), tree.index.find(prompt)
    return TableDrawing(
        spellings(tree),
        cut(learned, tree, group, rows=rows),
        find_errors(learned, tree, group, count=errors),
        prompt=tree.task.prompts.texts[tree.index.representatives[group]],
        width=float(width),
    ).draw()


@dataclass(frozen=True)
class Map:
    """One of the two heat maps: its values ``(R, K)``, the greedy ids ``(R,)``, and where its first cell stands."""

    title: str
    values: Floats
    choices: NDArray[np.int64]
    left: float
    top: float


class TableDrawing:
    """One picture of a table.

    Args:
        names: How each id is written.
        sheet: What is shown.
        errors: What is listed.
        prompt: Its text.
        width: In pixels.
    """

    def __init__(self, names: Sequence[str], sheet: Sheet, errors: Errors, *, prompt: str, width: float) -> None:
        self.names, self.errors, self.prompt, self.width = names, errors, prompt, width
        longest = max(svg.room_for(self._text(prefix)) for prefix in sheet.prefixes)
        self.side = min(longest + (12.0 if sheet.visits is None else 50.0), SIDE * width) + 14.0
        room = width - 2 * svg.MARGIN - self.side
        self.beside = (room - BETWEEN) / (2 * len(sheet.ids)) >= NARROW
        self.sheet = sheet.keep(int(room // NARROW))
        self.left_out = len(sheet.ids) - len(self.sheet.ids)
        count = len(self.sheet.ids)
        self.cell = min(WIDE, (room - BETWEEN) / (2 * count) if self.beside else room / count)
        both = np.concatenate([self.sheet.learned[self.sheet.legal], self.sheet.exact[self.sheet.legal]])
        self.numbers = Overlay("Q", both.tolist())

    def draw(self) -> str:
        """The text of the picture."""
        left, height = svg.MARGIN + self.side, HEAD + LINE * len(self.sheet.prefixes)
        learned = Map("learned", self.sheet.learned, self.sheet.learned_choices, left, TOP + HEAD)
        right = left + BETWEEN + self.cell * len(self.sheet.ids)
        place = (right, learned.top) if self.beside else (left, learned.top + height + 6.0)
        exact = Map("Q*", self.sheet.exact, self.sheet.exact_choices, *place)
        body = [*self._title(), *self._prefixes(learned), *self._map(learned), *self._map(exact)]
        body += [] if self.beside else self._prefixes(exact)
        below = exact.top + LINE * len(self.sheet.prefixes) + 8.0
        legend, bottom = svg.legend(self._legend(), width=self.width, y=below)
        body += [*legend, *self._errors(bottom + 10.0)]
        height = bottom + 10.0 + LINE * (1 + bool(self.errors.worst) + len(self.errors.worst)) + 8.0
        label = f"A learned Q-table beside Q* for the prompt {svg.spell(self.prompt)}"
        return svg.picture(body, width=self.width, height=height, label=label)

    def _title(self) -> Iterator[str]:
        room = self.width - 2 * svg.MARGIN
        words = svg.elide(svg.spell(self.prompt), room, svg.LARGE)
        yield svg.text(svg.MARGIN, 18.0, words, size=svg.LARGE, font_weight=600)
        sorting = "reached most often by uniform play" if self.sheet.visits is None else "visited most often"
        words = f"What each token is worth after each prefix; the prefixes {sorting}"
        yield svg.text(svg.MARGIN, 37.0, svg.elide(words, room, svg.SMALL), size=svg.SMALL, fill=svg.SOFT)

    def _prefixes(self, place: Map) -> Iterator[str]:
        """The prefixes at the left, with their visits, and a mark where the learned choice is wrong."""
        for number, prefix in enumerate(self.sheet.prefixes):
            y = place.top + LINE * (number + 0.5)
            room = self.side - 14.0
            if self.sheet.visits is not None:
                visits = f"{self.sheet.visits[number]:,.0f}"
                yield svg.text(place.left - 16.0, y, visits, size=svg.SMALL, fill=svg.SOFT, text_anchor="end")
                room -= svg.room_for(visits, svg.SMALL) + 6.0
            words = self._text(prefix)
            yield svg.element("g", svg.tip(words) + svg.text(svg.MARGIN, y, svg.elide(words, room, start=True)))
            if self.sheet.wrong[number]:
                yield svg.text(place.left - 8.0, y, "≠", fill=svg.ALARM, text_anchor="middle", font_weight=700)

    def _map(self, place: Map) -> Iterator[str]:
        yield svg.text(place.left, place.top - 29.0, place.title, font_weight=600)
        for column, index in enumerate(self.sheet.ids.tolist()):
            token, x = self.names[index], place.left + self.cell * (column + 0.5)
            words = svg.tip(token) + svg.text(
                x, place.top - 10.0, svg.elide(token, self.cell, svg.SMALL), size=svg.SMALL, text_anchor="middle"
            )
            yield svg.element("g", words)
        greedy = place.choices[:, None] == self.sheet.ids
        for framed in (False, True):  # frames are drawn over their neighbours
            for row, column in np.argwhere(self.sheet.legal & (greedy == framed)).tolist():
                yield self._cell(place, row, column, greedy=framed)

    def _cell(self, place: Map, row: int, column: int, *, greedy: bool) -> str:
        value = float(place.values[row, column])
        x, y = place.left + self.cell * column, place.top + LINE * row
        box = {"x": x + 0.5, "y": y + 0.5, "width": self.cell - 1.0, "height": LINE - 1.0}
        words = f"{self._text((*self.sheet.prefixes[row], int(self.sheet.ids[column])))}\n{place.title}"
        if math.isnan(value):
            line = svg.element(
                "path", d=f"M{x + 2:.1f} {y + LINE - 2:.1f}l{self.cell - 4:.1f} {4 - LINE:.1f}", stroke=svg.RULE
            )
            return svg.element(
                "g", svg.tip(f"{words}: nothing learned") + svg.element("rect", **box, fill=svg.CARD) + line
            )
        colour = diverging(value, self.numbers.limit)
        frame = {"stroke": svg.INK, "stroke_width": 2.0} if greedy else {}
        number = svg.text(
            x + self.cell / 2,
            y + LINE / 2,
            self.numbers.write(value),
            size=svg.SMALL,
            fill=css(text_colour(colour)),
            text_anchor="middle",
            font_weight=700 if greedy else None,
        )
        rect = svg.element("rect", **box, fill=css(colour), **frame)
        return svg.element("g", svg.tip(f"{words} {value:.6g}") + rect + number)

    def _legend(self) -> Iterator[svg.Piece]:
        limit = self.numbers.limit
        yield svg.scale_piece(self.numbers.write(-limit), self.numbers.write(limit), "Q, centred at 0")
        frame = svg.element("rect", x=1.0, y=-6.0, width=16.0, height=12.0, fill="none", stroke=svg.INK, stroke_width=2)
        yield svg.sign_piece(frame, 18.0, "greedy choice")
        if self.sheet.wrong.any():
            mark = svg.text(5.0, 0.0, "≠", fill=svg.ALARM, text_anchor="middle", font_weight=700)
            yield svg.sign_piece(mark, 10.0, "the learned choice is not a best one")
        if np.isnan(self.sheet.learned[self.sheet.legal]).any():
            yield svg.sign_piece(svg.element("path", d="M1 5L17 -5", stroke=svg.SOFT), 18.0, "nothing learned")
        if self.left_out:
            yield svg.words_piece(f"{self.left_out} tokens do not fit and are left out")

    def _errors(self, top: float) -> Iterator[str]:
        """The largest errors, in columns, under a line that sums them up."""
        found = self.errors
        words = f"{found.known:,} values known: mean error {found.mean:.3g}, largest error {found.largest:.3g}"
        yield svg.text(svg.MARGIN, top + LINE / 2, words, font_weight=600)
        counted = "" if self.sheet.visits is None else "visits"
        rows: list[tuple[str, ...]] = [("text", "learned", "exact", "difference", counted)] if found.worst else []
        for mistake in found.worst:
            numbers = (f"{number:+.3f}" for number in (mistake.learned, mistake.exact, mistake.difference))
            visits = "" if math.isnan(mistake.visits) else f"{mistake.visits:,.0f}"
            rows.append((self._text(mistake.ids), *numbers, visits))
        for number, (text, *cells) in enumerate(rows, start=1):
            y, fill = top + LINE * (number + 0.5), svg.INK if number > 1 else svg.SOFT
            room = 0.5 * self.width - svg.MARGIN
            yield svg.text(svg.MARGIN, y, svg.elide(text, room, start=True), fill=fill)
            for place, words in zip((0.62, 0.74, 0.87, 0.98), cells, strict=True):
                yield svg.text(place * self.width, y, words, fill=fill, text_anchor="end")

    def _text(self, ids: Sequence[int]) -> str:
        return " ".join(self.names[index] for index in ids) or "(start)"
