"""Findings about arrays: where an answer first differs from the truth, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgym.course.assignment import Finding, shown
from textgym.course.sandbox import Raised, Student


@dataclass(frozen=True)
class Silence:
    """What stands for the answer of a function that raised.

    Attributes:
        reason: A sentence about it, without a full stop.
    """

    reason: str


def ask(student: Student, name: str, *args: Any) -> Any:
    """What a function of the submission returns, or :class:`Silence` if it raises: the other findings go on.

    Raises:
        Unanswered: if its process came to an end; then the rest of the part is lost.
    """
    try:
        return student.call(name, *args)
    except Raised as error:
        return Silence(str(error))


def judge(points: int, asked: str, answer: Any, truth: Any, look: str, *, tolerance: float = 1e-6) -> Finding:
    """Compares an answer with a number or an array of numbers.

    Args:
        points: What it is worth.
        asked: What was asked, in words.
        answer: Whatever came.
        truth: What is right.
        look: Where to look if it is wrong.
        tolerance: Relative and absolute.
    """
    came = difference(answer, truth, tolerance=tolerance)
    return Finding(points, not came, asked, came, "" if isinstance(answer, Silence) else look)


def difference(answer: Any, truth: Any, *, tolerance: float = 1e-6) -> str:
    """What is wrong with an answer, in words; empty where nothing is.

    Example:
        >>> difference([1.0, 2.5], [1.0, 2.0])
        'entry 1 came out as 2.5, not 2'
        >>> difference(None, [1.0])
        'None came, and not an array of 1 number'
        >>> difference([[1.0]], [1.0])
        'an array of shape (1, 1) came, and not one of shape (1,)'
    """
    if isinstance(answer, Silence):
        return answer.reason
    right = np.asarray(truth, dtype=np.float64)
    given = _numbers(answer)
    if given is None:
        return f"{shown(answer)} came, and not {_kind(right)}"
    if given.shape != right.shape:
        other = f"one of shape {right.shape}" if given.ndim and right.ndim else _shape(right)
        return f"{_shape(given)} came, and not {other}"
    wrong = np.argwhere(~np.isclose(given, right, rtol=tolerance, atol=tolerance))
    if not len(wrong):
        return ""
    place = tuple(wrong[0].tolist())
    name = f"entry {place[0] if len(place) == 1 else list(place)}" if place else "it"
    came, wanted = float(given[place]), float(right[place])
    if shown(came) == shown(wanted):
        return f"{name} came out as {came!r}, not {wanted!r}: more than {tolerance:g} away"
    return f"{name} came out as {shown(came)}, not {shown(wanted)}"


def same(answer: Any, truth: Any, *, tolerance: float = 1e-6) -> bool:
    """Whether an answer equals the truth up to rounding."""
    return not difference(answer, truth, tolerance=tolerance)


def misfit(answer: Any, *shape: int, finite: bool = True) -> str:
    """Why an answer is no array of (finite) numbers of this shape, in words; empty where it is.

    Example:
        >>> misfit([1.0, 2.0], 2), misfit([1.0, float("nan")], 2), misfit([1.0], 2)
        ('', 'numbers that are not finite came', 'an array of shape (1,) came, and not one of shape (2,)')
    """
    given = None if isinstance(answer, Silence) else _numbers(answer)
    if given is None or given.shape != shape:
        return difference(answer, np.zeros(shape))
    return "" if not finite or np.isfinite(given).all() else "numbers that are not finite came"


def idle(answer: Any) -> str:
    """Why finite numbers say nothing: they are all the same. Empty where they differ.

    Example:
        >>> idle([0.0, 0.0]), idle([0.0, 1.0])
        ('the same number came for all of them', '')
    """
    return "" if np.ptp(np.asarray(answer, dtype=np.float64)) else "the same number came for all of them"


def pair(answer: Any) -> tuple[Any, Any]:
    """The two halves of an answer; twice the answer itself where it has not two."""
    if isinstance(answer, Sequence) and not isinstance(answer, str) and len(answer) == 2:
        return answer[0], answer[1]
    return answer, answer


def _numbers(answer: Any) -> np.ndarray[Any, Any] | None:
    try:
        given = np.asarray(answer)
    except ValueError:  # lists of different lengths
        return None
    return given if given.dtype.kind in "biuf" else None


def _kind(right: np.ndarray[Any, Any]) -> str:
    if not right.ndim:
        return "a number"
    return f"an array of {right.size} number{'s' * (right.size != 1)}"


def _shape(array: np.ndarray[Any, Any]) -> str:
    return f"an array of shape {array.shape}" if array.ndim else "a single number"
