"""The benchmark of the solver: its problems are what it says, and its table has a line for each."""

from __future__ import annotations

import numpy as np
import pytest

from textgym.benchmarks import solving
from textgym.exact import solve


def test_the_neighbour_problem_is_solved_alike_by_both_engines() -> None:
    small = solving.neighbours(words=4, tokens=3)
    tree, machine = (solve("TextGen-v0", engine=engine, **small) for engine in ("tree", "automaton"))
    assert machine.optimal_return == pytest.approx(tree.optimal_return, abs=1e-9)
    assert machine.optimal_texts == tree.optimal_texts


def test_the_table_has_a_line_for_each_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solving, "problems", lambda: {"tiny": lambda: solve("TextGen-v0", level="tiny")})
    header, line = solving.report(rounds=1)
    assert header.split() == ["problem", "engine", "seconds", "GB"]
    name, engine, seconds, memory = line.split()
    assert (name, engine) == ("tiny", "tree")
    assert np.isfinite([float(seconds), float(memory)]).all()


def test_the_problems_are_those_of_the_documentation() -> None:
    assert [name.split(",")[0] for name in solving.problems()] == ["Reviews"] * 3 + ["1"]
