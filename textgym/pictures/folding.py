"""Chooses what of a prefix tree is drawn: a tree of a thousand texts folded into a few dozen lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from textgym.pictures.views import View

FEW = 4
"""Lines of a prefix away from the greedy path: the best, the most visited, the worst, and one for all others."""

Place = tuple[int, int]
"""Length of a prefix and its row among those of this length."""


@dataclass
class Branch:
    """A line of the picture: a token after its prefix, several of them, or a token that may not be written.

    Attributes:
        kind: ``"token"``, ``"more"`` (``count`` tokens in one line) or ``"illegal"`` (all illegal ones).
        ids: The text up to this token.
        value: What writing it is worth; NaN where that is not known.
        advantage: That minus what its prefix is worth.
        flow: How often it is written; NaN where that is not known.
        greedy: Whether the greedy path leads here.
        best: Whether a best text begins like this, where the view knows.
        end: Why the text ends here: ``"eos"``, ``"length"``, ``"stop"``; empty where it goes on.
        place: Where the text goes on.
        count: How many tokens the line stands for.
        values: Of those, what is known.
        children: What is drawn after it.
    """

    kind: str
    ids: tuple[int, ...]
    value: float = math.nan
    advantage: float = math.nan
    flow: float = math.nan
    greedy: bool = False
    best: bool = False
    end: str = ""
    place: Place | None = None
    count: int = 1
    values: tuple[float, ...] = ()
    children: list[Branch] = field(default_factory=list)

    def walk(self) -> Iterator[Branch]:
        """This branch and all after it, from top to bottom."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def open(self) -> bool:
        """Whether the text goes on though nothing more is drawn."""
        return self.place is not None and not self.children

    @property
    def lines(self) -> int:
        """How many lines it takes: its first child stands in its own line."""
        return max(1, sum(child.lines for child in self.children))


def grow(view: View, prefix: Sequence[int], *, depth: int, rows: int) -> Branch:
    """The tree that is drawn: first all along the greedy path, then what is visited most, while there are lines left.

    Args:
        view: What there is.
        prefix: Ids where the picture begins.
        depth: Tokens after the prefix.
        rows: Lines that should do; the greedy path is shown even if it takes more.
    """
    place = view.tree.find(prefix)
    root = Branch(
        "token",
        tuple(prefix),
        float(view.values[place[0]][place[1]]),
        flow=float(view.reached[place[0]][place[1]]),
        greedy=True,
        best=view.truth is not None,
        place=place,
    )
    branch: Branch | None = root
    while branch is not None and branch.place is not None and len(branch.ids) < len(prefix) + depth:
        branch.children = fold(view, branch, max(FEW, rows // depth))
        branch = next((child for child in branch.children if child.greedy), None)
    _fill(view, root, depth=len(prefix) + depth, rows=rows)
    return root


def _fill(view: View, root: Branch, *, depth: int, rows: int) -> None:
    """Draws on where most texts go, then where the value is largest."""
    waiting = [branch for branch in root.walk() if _can_grow(branch, depth)]
    left = rows - root.lines
    while waiting:
        branch = max(waiting, key=lambda one: (_sortable(one.flow), _sortable(one.value)))
        waiting.remove(branch)
        branch.children = fold(view, branch, FEW)
        left -= len(branch.children) - 1
        if left < 0:
            branch.children = []
            return
        waiting += [child for child in branch.children if _can_grow(child, depth)]


def _can_grow(branch: Branch, depth: int) -> bool:
    return branch.open and len(branch.ids) < depth


def fold(view: View, branch: Branch, most: int) -> list[Branch]:
    """What is drawn after a prefix, the greedy choice first, then by value.

    Of more than ``most`` tokens the greedy one, the best, the most visited and the worst are kept, then again the best;
    the others are summed up in one line.
    """
    children = sorted(_children(view, branch), key=lambda one: (not one.greedy, -_sortable(one.value)))
    if len(children) > most:
        known = [child for child in children if not math.isnan(child.value)] or children
        best, worst = (choose(known, key=lambda one: _sortable(one.value)) for choose in (max, min))
        busiest = max(children, key=lambda one: _sortable(one.flow))
        order = [children[0], best, busiest, worst, *children]
        named = len({child.ids for child in order[:4]})
        kept = list(dict.fromkeys(child.ids for child in order))[: max(named, most - 1)]
        rest = [child for child in children if child.ids not in kept]
        children = [child for child in children if child.ids in kept]
        children.insert(len(children) - 1, _sum_up(branch, rest))
    return children + _illegal(view, branch)


def _children(view: View, branch: Branch) -> list[Branch]:
    """Every token that may come next."""
    length, row = _place(branch)
    level, greedy = view.tree.levels[length], view.greedy(length, row)
    return [
        Branch(
            "token",
            (*branch.ids, int(view.tree.columns[column])),
            value=float(view.q[length][row, column]),
            advantage=float(view.q[length][row, column] - view.values[length][row]),
            flow=float(view.flow[length][row, column]),
            greedy=branch.greedy and column == greedy,
            best=branch.best and view.is_best(length, row, column),
            end=_end(view, length, row, column),
            place=(length + 1, int(level.child[row, column])) if level.child[row, column] >= 0 else None,
        )
        for column in np.flatnonzero(level.legal[row]).tolist()
    ]


def _end(view: View, length: int, row: int, column: int) -> str:
    if view.tree.levels[length].child[row, column] >= 0:
        return ""
    if view.tree.columns[column] in view.task.tokenizer.eos_ids:
        return "eos"
    return "length" if length + 1 == view.task.budget else "stop"


def _sum_up(branch: Branch, rest: Sequence[Branch]) -> Branch:
    known = [child.flow for child in rest if not math.isnan(child.flow)]
    values = tuple(child.value for child in rest if not math.isnan(child.value))
    flow = math.fsum(known) if known else math.nan
    return Branch("more", branch.ids, flow=flow, values=values, count=len(rest))


def _illegal(view: View, branch: Branch) -> list[Branch]:
    """One line for the illegal tokens, where a policy writes any."""
    length, row = _place(branch)
    flow, cost = view.broken(length, row), float(view.tree.levels[length].illegal[view.group, row])
    return [Branch("illegal", branch.ids, value=cost, flow=flow)] if flow > 0.0 else []


def _place(branch: Branch) -> Place:
    assert branch.place is not None, "nothing comes after a text that has ended"
    return branch.place


def _sortable(number: float) -> float:
    return -math.inf if math.isnan(number) else number
