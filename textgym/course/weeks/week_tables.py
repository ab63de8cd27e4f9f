"""The truth of week 2 as tables of dicts, the way students write them."""

from __future__ import annotations

from typing import Any

import numpy as np

from textgym.course.models import Model, State
from textgym.exact import TreePolicy, TreeSolution, solve

Table = dict[State, dict[int, float]]
"""State -> id -> value or probability."""


def solution_of(model: Model, **options: Any) -> TreeSolution:
    """The exact solution of a model."""
    solution = solve(model.task(), engine="tree", **options)
    assert isinstance(solution, TreeSolution)
    return solution


def q_table(model: Model, gamma: float) -> Table:
    """Q* as a table of dicts."""
    solution = solution_of(model, discount=gamma)
    return {
        state: {action: float(solution.q(state)[action]) for action in model.legal(state)} for state in model.states()
    }


def tree_policy(solution: TreeSolution, policy: Table) -> TreePolicy:
    """A table of probabilities on the arrays of a solution."""
    columns = solution.tree.columns.tolist()
    return TreePolicy(
        tuple(
            np.array([[[policy[tuple(ids)].get(action, 0.0) for action in columns] for ids in level.tokens.tolist()]])
            for level in solution.tree.levels
        )
    )
