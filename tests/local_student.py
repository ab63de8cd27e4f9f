"""A submission in the tests' own process, and the questions that a student is asked, drawn once."""

from __future__ import annotations

import json
import warnings
from functools import cache
from typing import Any

from textgym.course import grading
from textgym.course.assignment import Part
from textgym.course.sandbox import Raised
from textgym.course.wire import Decoder, Encoder


class LocalStudent:
    """A submission in this process: the same questions and answers as in the sandbox, without a process each."""

    def __init__(self, source: str) -> None:
        self.names: dict[str, Any] = {}
        exec(compile(source, "submission.py", "exec"), self.names)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return travel(self.names[name](*travel(list(args)), **travel(kwargs)))
            except Exception as error:
                raise Raised(f"{name}() raised {type(error).__name__}: {error}") from None

    def defines(self, name: str) -> bool:
        return name in self.names

    def restart(self) -> None:
        pass


def travel(value: Any) -> Any:
    """What arrives at the other end of the wire."""
    return Decoder().decode(json.loads(json.dumps(Encoder().encode(value))))


@cache
def questions(week: str, student: str) -> tuple[tuple[Part[Any], Any], ...]:
    """The parts of a week with the variants of a student; grading changes none of them."""
    assignment = grading.get(week)
    return tuple((part, assignment.variant(part, student)) for part in assignment.parts)
