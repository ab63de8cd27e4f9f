"""Grading a submission: each part's questions are put to it, and the findings are added up."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textgym.course.assignment import Assignment, Finding, Part
from textgym.course.report import FORMATS, PartReport, Report
from textgym.course.sandbox import SandboxLimits, Student, Unanswered
from textgym.course.sandbox_limits import plain
from textgym.errors import ConfigurationError, unknown_name

__all__ = ["FORMATS", "WEEKS", "get", "grade", "grade_part"]

WEEKS = ("week1", "week2", "week3", "week4", "week5", "week6", "week7", "week8")


CONTAINER = (
    "docker run --rm --network none --read-only --tmpfs /tmp --memory 4g --pids-limit 128 -v $PWD:/work -w /work"
)
"""The beginning of a command that grades inside a container."""

MOST_SOURCE_BYTES = 1_000_000
ODD = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What answers of strange types and shapes may raise when they are looked at."""


def get(name: str) -> Assignment:
    """The assignment of this name.

    Raises:
        UnknownNameError: for a name that does not exist.
    """
    if name not in WEEKS:
        raise unknown_name("assignment", name, WEEKS)
    week: Assignment = importlib.import_module(f"textgym.course.weeks.{name}").WEEK
    return week


def grade(
    assignment: Assignment | str,
    submission: str | Path,
    *,
    student: str,
    confine: bool | None = None,
    limits: SandboxLimits | None = None,
) -> Report:
    """Grades a submission.

    Args:
        assignment: An assignment, or its name.
        submission: The file.
        student: The id, from which the variants are drawn.
        confine: Whether the submission must be confined by namespaces: True is an error where that cannot be, False
            does without, None tries.
        limits: What the submission may use; by default the assignment's own.

    Raises:
        ConfigurationError: for a file that cannot be read, and an empty id.
        SandboxError: if this system cannot run it as asked.
        UnknownNameError: for an unknown assignment.
    """
    week = get(assignment) if isinstance(assignment, str) else assignment
    started = time.monotonic()
    source = read_submission(Path(submission))
    variants = [week.variant(part, student) for part in week.parts]
    with Student(source, limits or week.limits, week.forbidden, confine) as pupil:
        parts = [grade_part(part, variant, pupil) for part, variant in zip(week.parts, variants, strict=True)]
        pupil.restart()
        notes = tuple(_notes(pupil))
    seconds = time.monotonic() - started
    return Report(week.name, week.title, student, tuple(parts), notes, pupil.printed.text, seconds)


def grade_part(part: Part[Any], variant: Any, student: Student) -> PartReport:
    """Puts the questions of one part to a submission."""
    findings: list[Finding] = []
    failure = None
    try:
        _require(part.needs, student)
        for finding in part.grade(variant, student):  # one by one: what was found before a failure counts
            findings.append(finding)  # noqa: PERF402
    except Unanswered as error:
        failure = f"{_capital(plain(str(error), 1000))}."
    except ODD as error:
        reason = plain(f"{type(error).__name__}: {error}")
        failure = f"An answer came that has not the form that was asked for ({reason})."
    return PartReport(part.name, part.points, tuple(findings), failure)


def _require(names: Sequence[str], student: Student) -> None:
    missing = [name for name in names if not student.defines(name)]
    if missing:
        raise Unanswered(f"the file defines no {' and no '.join(missing)}; the template shows what it should look like")


def _capital(sentence: str) -> str:
    """With a capital, unless it begins with the name of a function."""
    return sentence if sentence.partition(" ")[0].endswith("()") else sentence[:1].upper() + sentence[1:]


def _notes(student: Student) -> list[str]:
    """Sentences about how the submission ran."""
    notes = [f"The submission {attempt}." for attempt in student.attempts]
    if student.printed.count > len(student.printed.text):
        notes.append(f"The submission printed {student.printed.count:,} bytes; only the beginning was kept.")
    if student.warning is not None:
        notes.append(
            f"Warning: {student.warning}. For files of people whom you do not know, grade inside a container: "
            f"{CONTAINER} IMAGE textgym grade ..."
        )
    return notes


def read_submission(path: Path) -> str:
    """The text of a submitted file.

    Raises:
        ConfigurationError: if it is no file, too large or not UTF-8.
    """
    try:
        if path.stat().st_size > MOST_SOURCE_BYTES:
            raise ConfigurationError(
                f"{str(path)!r} has more than {MOST_SOURCE_BYTES:,} bytes; expected one Python file that a person wrote"
            )
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"the submission {str(path)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the submission {str(path)!r} is no UTF-8 text ({error})") from None
