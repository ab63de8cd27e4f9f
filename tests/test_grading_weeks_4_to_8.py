"""Weeks 4 to 8: the teacher's solutions earn everything, and each planted mistake loses exactly what it should."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

import pytest
import wrong_weeks_4_to_8
from grading_local import LocalStudent, questions

from textgym.course import grading

SOLUTIONS = Path(__file__).parent / "solutions"
WRONG = wrong_weeks_4_to_8.WEEKS
CASES = [pytest.param(week, name, id=f"{week}: {name}") for week, table in WRONG.items() for name in table]
STUDENTS = ("ada", "Zoë 17", *"abcdef")


def solution(week: str) -> str:
    return (SOLUTIONS / f"{week}.py").read_text(encoding="utf-8")


def lost(week: str, source: str, student: str, only: Container[str] | None = None) -> dict[str, int]:
    """The points that parts lose, those that lose any."""
    pupil: Any = LocalStudent(source)
    points = {}
    for part, variant in questions(week, student):
        if only is None or part.name in only:
            points[part.name] = part.points - grading.grade_part(part, variant, pupil).points
    return {name: count for name, count in points.items() if count}


def mistake(week: str, name: str) -> tuple[str, dict[str, int]]:
    """A solution with a planted mistake, and the points that each part loses."""
    old, new, expected = WRONG[week][name]
    source = solution(week)
    assert source.count(old) == 1
    return source.replace(old, new), expected


def test_there_are_ten_mistakes_a_week() -> None:
    assert {week: len(table) >= 10 for week, table in WRONG.items()} == dict.fromkeys(WRONG, True)


@pytest.mark.parametrize("week", WRONG)
def test_the_solution_earns_everything(week: str) -> None:
    assert not lost(week, solution(week), STUDENTS[0])


@pytest.mark.parametrize(("week", "name"), CASES)
def test_a_mistake_loses_what_it_should(week: str, name: str) -> None:
    source, expected = mistake(week, name)
    assert lost(week, source, STUDENTS[0], only=expected) == expected


@pytest.mark.slow
@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("week", WRONG)
def test_so_it_is_for_everybody(week: str, student: str) -> None:
    found = {"": lost(week, solution(week), student)}
    expected: dict[str, dict[str, int]] = {"": {}}
    for name in WRONG[week]:
        source, expected[name] = mistake(week, name)
        found[name] = lost(week, source, student)
    assert found == expected
