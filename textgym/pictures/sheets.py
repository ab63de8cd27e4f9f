"""Cuts what is to be shown out of a learned table and Q*: the most visited prefixes and the largest errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from textgym.exact import TreeSolution
from textgym.exact.tree import Floats, Levels
from textgym.pictures.folding import Place
from textgym.pictures.learned import Learned
from textgym.pictures.views import follow, uniform_play


@dataclass(frozen=True)
class Mistake:
    """A learned value and the exact one; ``visits`` is NaN where nobody counted."""

    ids: tuple[int, ...]
    learned: float
    exact: float
    visits: float

    @property
    def difference(self) -> float:
        """Learned minus exact."""
        return self.learned - self.exact


@dataclass(frozen=True, eq=False)
class Sheet:
    """Some prefixes of a table, R of them, and K tokens.

    Attributes:
        prefixes: The ids of each prefix.
        visits: ``(R,)`` how often the agent stood there; None where nobody counted.
        ids: ``(K,)`` the tokens.
        legal: ``(R, K)`` whether they may be written there.
        learned: ``(R, K)`` learned values; NaN where nothing is known.
        exact: ``(R, K)`` Q*.
        learned_choices: ``(R,)`` the id that a greedy player of the table writes; -1 where nothing is known.
        exact_choices: ``(R,)`` a best id.
        wrong: ``(R,)`` whether the former is worth less than the latter.
    """

    prefixes: tuple[tuple[int, ...], ...]
    visits: Floats | None
    ids: NDArray[np.int64]
    legal: NDArray[np.bool_]
    learned: Floats
    exact: Floats
    learned_choices: NDArray[np.int64]
    exact_choices: NDArray[np.int64]
    wrong: NDArray[np.bool_]

    def keep(self, count: int) -> Sheet:
        """The same with at most so many tokens: greedy choices first, then those that come nearest to being best."""
        best = np.where(self.legal, self.exact, -np.inf)
        behind = (best.max(axis=1, keepdims=True) - best).min(axis=0)
        chosen = np.isin(self.ids, [*self.learned_choices, *self.exact_choices])
        kept = np.sort(np.lexsort((behind, ~chosen))[:count])
        return replace(
            self,
            ids=self.ids[kept],
            legal=self.legal[:, kept],
            learned=self.learned[:, kept],
            exact=self.exact[:, kept],
        )


def cut(learned: Learned, solution: TreeSolution, group: int, *, rows: int) -> Sheet:
    """The most visited prefixes that the table knows; where nobody counted, those that uniform play reaches most."""
    tree = solution.tree
    counts = learned.visits or follow(tree, uniform_play(tree))[0]
    counts = tuple(np.where(np.isnan(q).all(axis=1), 0.0, at) for at, q in zip(counts, learned.q, strict=True))
    places = [(length, row) for length, row in _largest(counts, rows) if counts[length][row] > 0]
    legal, learned_q, exact = (
        np.array([level[length][row] for length, row in places])
        for level in ([level.legal for level in tree.levels], learned.q, [level[group] for level in solution.q_values])
    )
    mine, best = _choices(learned_q, legal), _choices(exact, legal)
    lines, used = np.arange(len(places)), np.flatnonzero(legal.any(axis=0))
    short = exact[lines, best] - exact[lines, mine] > 1e-9 * np.maximum(1.0, np.abs(exact[lines, best]))
    return Sheet(
        prefixes=tuple(_ids(solution, place) for place in places),
        visits=None if learned.visits is None else np.array([counts[length][row] for length, row in places]),
        ids=tree.columns[used],
        legal=legal[:, used],
        learned=learned_q[:, used],
        exact=exact[:, used],
        learned_choices=np.where(mine < 0, -1, tree.columns[mine]),
        exact_choices=tree.columns[best],
        wrong=(mine >= 0) & short,
    )


def _choices(q: Floats, legal: NDArray[np.bool_]) -> NDArray[np.int64]:
    """``(R,)`` the column of the best known value in each line, the first of equal ones; -1 where none is known."""
    known = np.where(legal & ~np.isnan(q), q, -np.inf)
    return np.where(np.isfinite(known).any(axis=1), known.argmax(axis=1), -1)


@dataclass(frozen=True)
class Errors:
    """How far a table is from Q*: how many values are known, their mean and largest absolute error, the worst."""

    known: int
    mean: float
    largest: float
    worst: tuple[Mistake, ...]


def find_errors(learned: Learned, solution: TreeSolution, group: int, *, count: int) -> Errors:
    """Compares all known values of a prompt with the exact ones."""
    sizes = [np.abs(q - exact[group]) for q, exact in zip(learned.q, solution.q_values, strict=True)]
    known = np.concatenate([size[~np.isnan(size)] for size in sizes])
    flat = [np.where(np.isnan(size), -np.inf, size).ravel() for size in sizes]
    columns = solution.tree.columns
    worst = []
    for length, place in _largest(flat, min(count, len(known))):
        row, column = divmod(place, len(columns))
        worst.append(
            Mistake(
                (*_ids(solution, (length, row)), int(columns[column])),
                float(learned.q[length][row, column]),
                float(solution.q_values[length][group, row, column]),
                float("nan") if learned.choices is None else float(learned.choices[length][row, column]),
            )
        )
    return Errors(len(known), float(known.mean()), float(known.max()), tuple(worst))


def _largest(levels: Sequence[Floats] | Levels, count: int) -> list[Place]:
    """Level and row of the largest numbers, the largest first; of equal ones the shorter prefix."""
    everything = np.concatenate(levels)
    starts = np.cumsum([0, *map(len, levels)])
    order = np.argsort(-everything, kind="stable")[:count]
    lengths = np.searchsorted(starts, order, side="right") - 1
    return [(int(length), int(place - starts[length])) for length, place in zip(lengths, order, strict=True)]


def _ids(solution: TreeSolution, place: Place) -> tuple[int, ...]:
    return tuple(solution.tree.levels[place[0]].tokens[place[1]].tolist())
