"""Reads a learned Q-table on the tree of its environment: what it knows, and how often it was there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.core import GenerationCore
from textgym.errors import ConfigurationError, SolveError
from textgym.exact import AutomatonSolution, TreeSolution
from textgym.exact.policies import Frame, read_table
from textgym.exact.tree import Levels


@dataclass(frozen=True, eq=False)
class Learned:
    """A learned table on the prefixes of a tree, for one prompt; arrays ``(N, K)`` for each length of prefix.

    Attributes:
        q: Learned values; NaN where nothing was learned.
        choices: How often the agent wrote each id there while it learned; None where nobody counted.
    """

    q: Levels
    choices: Levels | None

    @property
    def visits(self) -> Levels | None:
        """``(N,)`` how often the agent stood at each prefix; None where nobody counted."""
        return None if self.choices is None else tuple(level.sum(axis=1) for level in self.choices)


def check_tree(solution: Any) -> TreeSolution:
    """The solution that a table is held against.

    Raises:
        ConfigurationError: where it is missing.
        SolveError: where it has no tree.
    """
    if isinstance(solution, AutomatonSolution):
        raise SolveError(
            "an AutomatonSolution knows states, not prefixes, so there is no tree to draw; use solve(..., "
            "engine='tree') on a level that is small enough"
        )
    if not isinstance(solution, TreeSolution):
        raise ConfigurationError(
            f"solution={solution!r}: a Q-table is drawn on the tree of its environment; expected "
            "solution=textgym.exact.solve(...)"
        )
    return solution


def read_learned(table: Any, solution: TreeSolution, prompt: str | int | None) -> Learned:
    """Reads a learned table for one prompt.

    Args:
        table: What :func:`textgym.exact.policies.read_table` takes; a mapping may be for one of several prompts.
        solution: Has the tree.
        prompt: Text or row.

    Raises:
        SolveError: for a table of the wrong shape, or one that knows nothing of the prompt.
    """
    group = solution.index.find(prompt)
    frame = solution.frame()
    choices = None
    if isinstance(table, list | tuple):
        q = [level[group] for level in read_table(table, frame)]
    else:
        alone = replace(frame, prompts=(frame.prompts[group],))
        q = [level[0] for level in read_table(table, alone)]
        choices = None if isinstance(table, Mapping) else _read_choices(table, alone)
    q = [np.where(level.legal, known, np.nan) for known, level in zip(q, solution.tree.levels, strict=True)]
    if all(np.isnan(level).all() for level in q):
        name = solution.task.prompts.texts[frame.prompts[group]]
        raise SolveError(
            f"the Q-table knows nothing of the prompt {name!r}: it was learned from other prompts, or not at all"
        )
    return Learned(tuple(q), choices)


def _read_choices(agent: Any, frame: Frame) -> Levels | None:
    """``(N, K)`` how often an agent wrote each id, if it has ``visits`` of the shape of its table."""
    counts = np.asarray(getattr(agent, "visits", 0), dtype=np.float64)
    if counts.shape != np.shape(agent.q):
        return None
    counts = np.vstack([counts, np.zeros(counts.shape[1])])  # the last row stands for prefixes never seen

    def look_up(observations: Any, masks: NDArray[np.bool_], core: GenerationCore, level: int) -> Any:
        return np.array([agent.rows.get(tokens.tobytes(), -1) for tokens in core.tokens])

    return tuple(counts[rows[0]][:, frame.tree.columns] for rows in frame.ask(look_up))
