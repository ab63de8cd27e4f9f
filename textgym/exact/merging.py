"""Conversations that look alike, or of which the same matters, as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import SolveError
from textgym.exact.tree import Floats

Rows = NDArray[np.int64]

State = dict[str, NDArray[Any]]
"""A core's state, with places counted from each row's begin."""

Summary = Callable[[State], NDArray[np.int64] | None]

COMPARED = 256
"""Of the conversations that are said to be alike, at most so many are played on to see whether they are."""


@dataclass(frozen=True, eq=False)
class Frontier:
    """The conversations that have not ended, a row for each prompt and key that may stand behind them.

    Attributes:
        state: The core's state.
        weights: ``(M,)`` the probability of each row under play that may write anything.
        node: ``(M,)`` number of what can be seen, or of what matters of that.
        first: ``(N,)`` a row for each node.
        twins: Rows, and others of the same nodes that have other tokens, for comparison.
    """

    state: State
    weights: Floats
    node: Rows
    first: Rows
    twins: tuple[State, State] = field(repr=False)

    @property
    def shares(self) -> Floats:
        """``(M,)`` the probability of each row, given what can be seen."""
        found: Floats = self.weights / _add_up(self.node, self.weights)[self.node]
        return found

    @classmethod
    def gather(cls, state: State, weights: Floats, summarise: Summary) -> tuple[Frontier, Rows]:
        """Merges rows with equal tokens or equal summary; where they differ, one conversation stands for all.

        Args:
            state: M rows.
            weights: ``(M,)`` their probabilities.
            summarise: State -> ``(M, W)`` what matters of each conversation; None where all tokens do.

        Returns:
            The frontier, and the node ``(M,)`` of each row.

        Raises:
            SolveError: where conversations have the same summary and tell different things of what is hidden.
        """
        _, begin, history = _distinct(state["tokens"])
        hidden = np.column_stack([history, state["prompt_indices"], state["keys"].view(np.int64)])
        rows, kept, pair = _distinct(hidden)
        pairs = _Pairs(take(state, kept), rows[:, 0], rows[:, 1:], _add_up(pair, weights))
        seen = summarise(take(state, begin))
        if seen is None:
            nothing = take(state, begin[:0])
            first = np.searchsorted(pairs.history, np.arange(len(begin)))
            return cls(pairs.state, pairs.mass, pairs.history, first, (nothing, nothing)), history
        _, chosen, node = _distinct(seen)
        return pairs.merge(chosen, node), node[history]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Conversations, each with all that may stand behind it.

    Attributes:
        state: The core's state, in the order of the conversations.
        history: ``(K,)`` number of the conversation.
        hidden: ``(K, 2)`` prompt and key.
        mass: ``(K,)`` probability.
    """

    state: State
    history: Rows
    hidden: NDArray[np.int64]
    mass: Floats

    def merge(self, chosen: Rows, node: Rows) -> Frontier:
        """One conversation for each node.

        Args:
            chosen: ``(N,)`` the conversation that stands for each node.
            node: ``(H,)`` the node of each conversation.
        """
        of_pair = node[self.history]
        _, _, joined = _distinct(np.column_stack([of_pair, self.hidden]))
        total = _add_up(joined, self.mass)[joined]
        _check_hidden(of_pair, self.history, total, self.mass)
        stay = np.flatnonzero(chosen[of_pair] == self.history)
        stay = stay[np.argsort(of_pair[stay], kind="stable")]
        first = np.searchsorted(of_pair[stay], np.arange(len(chosen)))
        return Frontier(take(self.state, stay), total[stay], of_pair[stay], first, self._twins(chosen, node))

    def _twins(self, chosen: Rows, node: Rows) -> tuple[State, State]:
        """Conversations that stand for a node, and others of the same nodes."""
        last = np.empty(len(chosen), dtype=np.int64)
        last[node] = np.arange(len(node))
        differ = np.flatnonzero(last != chosen)[:COMPARED]
        one, other = (take(self.state, np.searchsorted(self.history, ends[differ])) for ends in (chosen, last))
        return one, other


def _check_hidden(node: Rows, history: Rows, total: Floats, mass: Floats) -> None:
    """Whether all conversations of a node make the same prompts and keys as likely."""
    here = mass / _add_up(history, mass)[history]
    there = total / _add_up(node, mass)[node]
    if not np.allclose(here, there, rtol=0.0, atol=1e-9):
        raise SolveError(
            "two conversations have the same summary, but tell different things of what the partner hides; let "
            "summary(batch) tell all that can be concluded from a conversation"
        )


def _add_up(groups: Rows, weights: Floats) -> Floats:
    """The sum of the weights of each group."""
    return np.asarray(np.bincount(groups, weights), dtype=np.float64)


def take(state: State, rows: Rows) -> State:
    """The state in these rows."""
    return {name: value[rows] for name, value in state.items()}


def _distinct(rows: NDArray[Any]) -> tuple[NDArray[Any], Rows, Rows]:
    """The different rows in order, where each stands first, and which of them each row is."""
    found, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return found, first, which.reshape(-1)
