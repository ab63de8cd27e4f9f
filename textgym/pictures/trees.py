"""Draws a prefix tree: from left to right as texts are written, the greedy text in the first line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from textgym.colours import WHITE, css, diverging, text_colour
from textgym.errors import ConfigurationError
from textgym.exact.values import Prefix, encode_prefix
from textgym.pictures import marks, svg
from textgym.pictures.folding import Branch, grow
from textgym.pictures.views import View, read_view
from textgym.rendering import Overlay

COLOURS = ("value", "root", "advantage")
"""What colours and numbers can show."""

LINE, CHIP, TOP = 20.0, 17.0, 54.0
START, GAP, TAIL = 44.0, 34.0, 16.0
"""Widths of the first box, of the lines between two tokens, and of the mark behind a token."""


def prefix_tree(
    source: Any,
    *,
    prompt: str | int | None = None,
    prefix: Prefix = (),
    depth: int = 4,
    rows: int = 36,
    width: int = 800,
    colour: str = "value",
    policy: Any = None,
    solution: Any = None,
) -> str:
    """The tree of all texts as an SVG picture: what each token is worth, and how often it is written.

    A line is the wider the more often it is taken, by the square root. A token's colour and number are what writing it
    is worth. The greedy text stands in the first line, drawn dark. Where there are too many tokens, the best, the most
    visited and the worst are shown and the others summed up; illegal ids are left out unless a policy writes them.

    Args:
        source: A solution of :func:`textgym.exact.solve` (draws Q* and, by default, uniform play), a
            :class:`~textgym.exact.PolicyValue` (draws Q and the probabilities of the policy), or a learned Q-table with
            ``solution=`` (draws the table and the agent's visits): see :func:`textgym.exact.policies.read_table`.
        prompt: Its text or row; may be left out where one prompt was solved.
        prefix: Where the picture begins: ids, or a text.
        depth: How many tokens after that.
        rows: Lines to fill; the greedy text is shown even if that takes more.
        width: Of the picture, in pixels.
        colour: ``"value"``, with 0 in the middle of the scale; ``"root"``, with the value of the start in the middle;
            or ``"advantage"``, a token's value minus that of its prefix (numbers too).
        policy: For a solution: whose probabilities are drawn. What ``solution.policy_value`` takes or returns.
        solution: For a Q-table its tree; there and for a PolicyValue best texts get stars.

    Returns:
        The text of an SVG file, which may also be put into HTML. It needs no script, style sheet or network.

    Raises:
        ConfigurationError: for sizes that cannot work, and arguments that the source does not take.
        PromptError: for a prompt that was not solved.
        SolveError: for a source without a tree, a table of the wrong shape, and a prefix that cannot be written.

    Example:
        >>> from textgym.exact import solve
        >>> picture = prefix_tree(solve("TextGen-v0", level="tiny"), depth=2)
        >>> picture.startswith("<svg"), "was great" in picture
        (True, True)
    """
    svg.check_size("depth", depth, 1)
    svg.check_size("rows", rows, 4)
    svg.check_size("width", width, 240 + 60 * depth)
    if colour not in COLOURS:
        raise ConfigurationError(f"colour={colour!r}: expected one of {', '.join(COLOURS)}")
    view = read_view(source, prompt=prompt, solution=solution, policy=policy)
    root = grow(view, encode_prefix(view.task, prefix), depth=depth, rows=rows)
    return Drawing(view, root, depth=depth, width=float(width), colour=colour).draw()


@dataclass(frozen=True)
class Spot:
    """Where a branch stands, and in which line the one before it."""

    branch: Branch
    column: int
    line: int
    start: int


class Drawing:
    """One picture of a tree.

    Args:
        view: Spells and names things.
        root: What is drawn.
        depth: Columns.
        width: In pixels.
        colour: One of :data:`COLOURS`.
    """

    def __init__(self, view: View, root: Branch, *, depth: int, width: float, colour: str) -> None:
        self.view, self.root, self.width, self.colour = view, root, width, colour
        self.step = (width - 2 * svg.MARGIN - START) / depth
        self.box = self.step - GAP - TAIL
        self.spots = list(_place(root, column=0, line=0))
        tokens = [self.number_of(spot.branch) for spot in self.spots if spot.branch.kind == "token"]
        self.numbers = Overlay(view.value_name, [root.value, *tokens])
        self.centre = root.value if colour == "root" and not math.isnan(root.value) else 0.0
        self.limit = Overlay(view.value_name, [number - self.centre for number in tokens]).limit

    def number_of(self, branch: Branch) -> float:
        """What is written on a token."""
        return branch.advantage if self.colour == "advantage" else branch.value

    def draw(self) -> str:
        """The text of the picture."""
        flows = {id(spot): -spot.branch.flow if spot.branch.flow > 0.0 else 0.0 for spot in self.spots}
        edges = sorted(self.spots, key=lambda spot: (spot.branch.greedy, flows[id(spot)]))  # dark and thin ones on top
        body = [*self._title(), *map(self._edge, edges), self._start(), *map(self._spot, self.spots)]
        legend, bottom = svg.legend(self._legend(), width=self.width, y=TOP + LINE * self.root.lines + 8.0)
        label = f"Prefix tree of {self.view.value_name} for the prompt {svg.spell(self.view.prompt)}"
        return svg.picture([*body, *legend], width=self.width, height=bottom + 8.0, label=label)

    def _title(self) -> Iterator[str]:
        prompt, room = svg.spell(self.view.prompt), self.width - 2 * svg.MARGIN
        heading = f"{prompt} ▸ {self._text(self.root.ids)}" if self.root.ids else prompt
        yield svg.text(svg.MARGIN, 18.0, svg.elide(heading, room, svg.LARGE), size=svg.LARGE, font_weight=600)
        words = f"What each next token is worth: {self.view.value_name}"
        words = f"{words} minus the value of its prefix (advantage)" if self.colour == "advantage" else words
        yield svg.text(svg.MARGIN, 37.0, svg.elide(words, room, svg.SMALL), size=svg.SMALL, fill=svg.SOFT)

    def _left(self, column: int) -> float:
        """The left border of a column's boxes."""
        return svg.MARGIN + START + GAP + column * self.step

    def _edge(self, spot: Spot) -> str:
        branch = spot.branch
        right, top, bottom = self._left(spot.column), _middle(spot.start), _middle(spot.line)
        left = right - GAP - (TAIL if spot.column else 0.0)
        bend = right - 0.5 * GAP
        curve = f"C{bend:.1f} {top:.1f} {bend:.1f} {bottom:.1f} {right:.1f} {bottom:.1f}"
        stroke, dashes = {"token": (svg.FAINT, None), "more": (svg.FAINT, "2 3"), "illegal": (svg.ALARM, "4 3")}[
            branch.kind
        ]
        return svg.element(
            "path",
            svg.tip(self._tip(branch)),
            d=f"M{left:.1f} {top:.1f}H{right - GAP:.1f}{curve}",
            fill="none",
            stroke=svg.INK if branch.greedy else stroke,
            stroke_width=marks.thickness(branch.flow / self.root.flow if branch.flow > 0.0 else 0.0),
            stroke_dasharray=dashes,
            stroke_opacity=None if branch.greedy else 0.75,
        )

    def _start(self) -> str:
        """The box of the text so far, with its value."""
        value = _write(self.numbers, self.root.value)
        box = self._box(svg.MARGIN, 0, START, fill=svg.CARD, stroke=svg.INK)
        words = svg.text(svg.MARGIN + START / 2, _middle(0), value, size=svg.SMALL, text_anchor="middle")
        return svg.element("g", svg.tip(f"{self._text(self.root.ids) or 'start'}: value {value}") + box + words)

    def _box(self, x: float, line: int, width: float, **style: object) -> str:
        return svg.element("rect", x=x, y=_middle(line) - CHIP / 2, width=width, height=CHIP, rx=4, **style)

    def _spot(self, spot: Spot) -> str:
        x, y = self._left(spot.column), _middle(spot.line)
        if spot.branch.kind == "more":
            content = svg.text(x + 5.0, y, f"+{spot.branch.count} more", size=svg.SMALL, fill=svg.SOFT)
        elif spot.branch.kind == "illegal":
            box = self._box(x, spot.line, self.box, fill=svg.CARD, stroke=svg.ALARM, stroke_dasharray="4 3")
            content = box + self._words("illegal", spot.branch.value, x, y, ink=svg.ALARM)
        else:
            content = self._token(spot, x, y)
        return svg.element("g", svg.tip(self._tip(spot.branch)) + content)

    def _token(self, spot: Spot, x: float, y: float) -> str:
        branch, number = spot.branch, self.number_of(spot.branch)
        fill = WHITE if math.isnan(number) else diverging(number - self.centre, self.limit)
        stroke, thick = (svg.INK, 2.0) if branch.greedy else (svg.RULE, 1.0)
        box = self._box(x, spot.line, self.box, fill=css(fill), stroke=stroke, stroke_width=thick)
        name = self.view.names[branch.ids[-1]]
        words = self._words(name, number, x, y, ink=css(text_colour(fill)), bold=branch.greedy, star=branch.best)
        behind = x + self.box + 0.5 * TAIL
        if branch.end:
            return box + words + marks.end(branch.end, behind, y)
        return box + words + (marks.dots(behind, y) if branch.open else "")

    def _words(
        self, name: str, number: float, x: float, y: float, *, ink: str, bold: bool = False, star: bool = False
    ) -> str:
        """A token at the left of its box and, where there is room, its number at the right."""
        shown, right = _write(self.numbers, number), x + self.box - 5.0
        room = self.box - 12.0 - (16.0 if star else 0.0)
        beside = room - svg.room_for(shown, svg.SMALL)
        if beside < min(22.0, svg.room_for(name)):
            shown, beside = "", room
        parts = [svg.text(x + 5.0, y, svg.elide(name, beside), fill=ink, font_weight=600 if bold else None)]
        if shown:
            parts.append(svg.text(right, y, shown, size=svg.SMALL, fill=ink, text_anchor="end"))
        if star:
            parts.append(marks.star(right - (svg.room_for(shown, svg.SMALL) + 12.0 if shown else 4.0), y, ink))
        return "".join(parts)

    def _tip(self, branch: Branch) -> str:
        name, text = self.view.value_name, self._text(branch.ids)
        taken = f"{self.view.flow_name} {'not known' if math.isnan(branch.flow) else f'{branch.flow:.6g}'}"
        if branch.kind == "more":
            values = f", {name} from {min(branch.values):.6g} to {max(branch.values):.6g}" if branch.values else ""
            return f"{text} + {branch.count} other tokens{values}\n{taken}"
        if branch.kind == "illegal":
            return f"{text} + a token that may not be written, which pays {branch.value:.6g}\n{taken}"
        value = "not known" if math.isnan(branch.value) else f"{branch.value:.6g}, advantage {branch.advantage:+.6g}"
        return "\n".join(
            [text, f"{name} {value}", taken, *([f"ends here: {marks.ENDS[branch.end]}"] if branch.end else [])]
        )

    def _text(self, ids: Sequence[int]) -> str:
        return " ".join(self.view.names[index] for index in ids)

    def _legend(self) -> Iterator[svg.Piece]:
        low, high = (self.numbers.write(self.centre + sign * self.limit) for sign in (-1.0, 1.0))
        what = "advantage" if self.colour == "advantage" else self.view.value_name
        middle = "the value of the start" if self.colour == "root" else "0"
        yield svg.scale_piece(low, high, f"{what}, centred at {middle}")
        yield marks.width_piece(self.view.flow_name, self.root.flow)
        branches = [spot.branch for spot in self.spots]
        yield from marks.sign_pieces(
            {branch.end for branch in branches},
            path=self.view.path_name if any(branch.greedy for branch in branches) else "",
            best=any(branch.best for branch in branches),
            unknown=any(branch.kind == "token" and math.isnan(branch.value) for branch in branches),
            open_ended=any(branch.open for branch in branches),
        )


def _place(parent: Branch, *, column: int, line: int) -> Iterator[Spot]:
    """Puts the first child beside its parent and the others below it."""
    start = line
    for child in parent.children:
        yield Spot(child, column, line, start)
        yield from _place(child, column=column + 1, line=line)
        line += child.lines


def _middle(line: int) -> float:
    return TOP + LINE * (line + 0.5)


def _write(numbers: Overlay, value: float) -> str:
    return "?" if math.isnan(value) else numbers.write(value)
