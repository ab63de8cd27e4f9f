"""A submission in the test's own process: the same questions and answers as in the sandbox, without a process each."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from textgym.course import grading
from textgym.course.assignment import Part
from textgym.course.sandbox import Raised
from textgym.course.wire import Decoder, Encoder, Handle, Served

SOLUTIONS = Path(__file__).parent / "solutions"


class StandIn:
    """What a submission holds of an object that the grader answers for."""

    def __init__(self, served: Served) -> None:
        self.__dict__.update({name: there(answer) for name, answer in served.methods.items()}, **served.fields)

    def __call__(self, *args: Any) -> Any:
        return self.__dict__["__call__"](*args)


def there(answer: Any) -> Any:
    """A method whose arguments and answers travel."""
    return lambda *args, **kwargs: travel(answer(*travel(list(args)), **travel(kwargs)))


def travel(value: Any) -> Any:
    """What arrives at the other end of the wire."""
    return Decoder().decode(json.loads(json.dumps(Encoder().encode(value))))


def arrive(value: Any, kept: dict[int, Any]) -> Any:
    """What arrives over there: stand-ins, kept objects, and problems."""
    serving: dict[int, Served] = {}
    data = json.loads(json.dumps(Encoder(serving).encode(value)))
    return Decoder(lambda number, methods, fields: StandIn(serving[number]), kept).decode(data)


class LocalStudent:
    """Looks like :class:`textgym.course.sandbox.Student`, kept objects and served ones included."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.restart()

    def restart(self) -> None:
        self.names: dict[str, Any] = {}
        self.kept: dict[int, Any] = {}
        self.memory: dict[Any, Any] = {}
        exec(compile(self.source, "submission.py", "exec"), self.names)

    def defines(self, name: str) -> bool:
        return name in self.names

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return travel(self._run(name, self.names[name], args, kwargs))

    def new(self, name: str, *args: Any) -> Handle:
        self.kept[len(self.kept)] = self._run(name, self.names[name], args, {})
        return Handle(len(self.kept) - 1)

    def on(self, handle: Handle, method: str, *args: Any) -> Any:
        return travel(self._run(method, getattr(self.kept[handle.number], method), args, {}))

    def _run(self, name: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return function(*(arrive(argument, self.kept) for argument in args), **travel(kwargs))
            except Exception as error:
                raise Raised(f"{name}() raised {type(error).__name__}: {error}") from None


def solution(week: str) -> str:
    """The teacher's solution."""
    return (SOLUTIONS / f"{week}.py").read_text(encoding="utf-8")


def wrong_solution(week: str, old: str, new: str) -> str:
    """The teacher's solution with one place changed."""
    text = solution(week)
    assert text.count(old) == 1, old
    return text.replace(old, new)


@cache
def questions(week: str, student: str) -> tuple[tuple[Part[Any], Any], ...]:
    """The parts of a week with the variants of a student; grading changes none of them."""
    assignment = grading.get(week)
    return tuple((part, assignment.variant(part, student)) for part in assignment.parts)


def points_lost(week: str, source: str, student: str, *, only: str | None = None) -> dict[str, int]:
    """Part -> points that it loses, for those that lose any; perhaps of one part alone."""
    assignment = grading.get(week)
    pupil: Any = LocalStudent(source)
    parts = [part for part in assignment.parts if only in (None, part.name)]
    reports = [grading.grade_part(part, assignment.variant(part, student), pupil) for part in parts]
    assert sum(report.possible for report in reports) == 100 or only
    assert all(report.sentences for report in reports)
    return {report.name: report.possible - report.points for report in reports if not report.is_right}
