"""Weeks 1 to 3: the teacher's solutions earn everything, and each planted mistake loses exactly what it should."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from grading_local import SOLUTIONS, points_lost, solution, wrong_solution
from wrong_weeks_1_to_3 import WEEKS

from textgym.course import grading
from textgym.course.assignment import generator
from textgym.course.models import model_of
from textgym.course.problems import draw_problem
from textgym.course.sandbox import SandboxLimits
from textgym.exact import TreeSolution, solve

QUICK = [(week, name) for week in ("week1", "week2") for name in WEEKS[week]]
TRAINED = [("week3", name) for name in WEEKS["week3"]]
BUSY = SandboxLimits(seconds=60.0)


def check(week: str, name: str, students: tuple[str, ...]) -> None:
    old, new, lost = WEEKS[week][name]
    for student in students:
        assert points_lost(week, wrong_solution(week, old, new), student) == lost, student


@pytest.mark.parametrize(("week", "name"), QUICK)
def test_planted_mistakes_lose_what_is_meant(week: str, name: str) -> None:
    check(week, name, ("ada",))


@pytest.mark.slow
@pytest.mark.parametrize(("week", "name"), QUICK)
def test_planted_mistakes_lose_the_same_whoever_makes_them(week: str, name: str) -> None:
    check(week, name, tuple("bcdefg"))


@pytest.mark.slow
@pytest.mark.parametrize(("week", "name"), TRAINED)
def test_planted_mistakes_of_a_learner_lose_what_is_meant(week: str, name: str) -> None:
    check(week, name, ("ada", "bob", "cyd"))


@pytest.mark.parametrize("name", ["now and then any id is explored", "one step too many", "the seed is not used"])
def test_conduct_of_a_learner(name: str) -> None:
    old, new, lost = WEEKS["week3"][name]
    assert points_lost("week3", wrong_solution("week3", old, new), "ada", only="conduct") == lost


def test_there_are_at_least_ten_for_each_week() -> None:
    assert all(len(mistakes) >= 10 for mistakes in WEEKS.values())


@pytest.mark.parametrize("week", ["week1", "week2"])
def test_the_teachers_solution_earns_everything_whoever_hands_it_in(week: str) -> None:
    assert [points_lost(week, solution(week), f"student {number}") for number in range(4)] == [{}] * 4


@pytest.mark.slow
def test_the_teachers_learner_earns_everything_whoever_hands_it_in() -> None:
    assert [points_lost("week3", solution("week3"), f"student {number}") for number in range(12)] == [{}] * 12


@pytest.mark.parametrize("week", ["week1", "week2", pytest.param("week3", marks=pytest.mark.slow)])
def test_the_teachers_solution_earns_everything_in_the_sandbox(week: str) -> None:
    report = grading.grade(week, SOLUTIONS / f"{week}.py", student="ada", limits=BUSY)
    assert [part.sentences for part in report.parts if not part.is_right] == []
    assert report.points == report.possible == 100


@pytest.mark.parametrize("week", ["week1", pytest.param("week2", marks=pytest.mark.slow), "week3"])
def test_the_template_defines_what_is_needed_and_earns_nothing(week: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(grading.get(week).template, encoding="utf-8")
    report = grading.grade(week, file, student="ada", limits=BUSY, confine=False)
    assert report.points == 0
    assert all("NotImplementedError" in " ".join(part.sentences) for part in report.parts)


@pytest.mark.parametrize("week", ["week1", "week2", "week3"])
def test_students_get_variants_of_their_own(week: str) -> None:
    assignment = grading.get(week)
    for part in assignment.parts:
        one, same, other = (assignment.variant(part, student) for student in ("ada", "ada", "bob"))
        assert one == same
        assert one != other
        assert part.explain(one) != part.explain(other)
        assert all(name in assignment.template for name in part.needs)


@pytest.mark.parametrize(("shortest", "repeats", "prompts"), [(1, True, 1), (2, False, 2)])
def test_a_model_and_its_task_agree(shortest: int, repeats: bool, prompts: int) -> None:
    """Masks, steps and scores of the model against those that ``solve`` finds in the environment."""
    rng = generator("ada", "models")
    model = model_of(draw_problem(rng, budget=4, shortest=shortest, repeats=repeats, prompts=prompts))
    solution = solve(model.task(), engine="tree")
    assert isinstance(solution, TreeSolution)
    states = list(model.states())
    assert len(states) == solution.tree.node_count
    for state, prompt in itertools.product(states, model.prompts):
        legal = model.legal(state)
        assert np.flatnonzero(solution.legal(list(state), prompt)).tolist() == legal
        for action in legal:
            following, reward, over = model.step(state, action, prompt)
            right = reward if over else solution.value(list(following), prompt)
            assert solution.q(list(state), prompt)[action] == pytest.approx(right, abs=1e-12)
