"""What an assignment is: parts with points, drawn for each student, graded by findings.

An assignment asks for ONE Python file with named functions and classes. Each part draws a variant from the student's
id, says what is to be written, and asks the submission questions; what is right is worked out here, in the grader's
process, with :mod:`textgym.exact` or in closed form. A part's grade is the sum of its findings' points.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from zlib import crc32

import numpy as np

from textgym.course.sandbox import FORBIDDEN, SandboxLimits, Student
from textgym.errors import ConfigurationError

V = TypeVar("V")

TOTAL = 100
"""The points of an assignment."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        points: What it is worth.
        passed: Whether it is right.
        asked: What was asked, in words, without a full stop: ``"the return of [0, 0, 1] with gamma 0.5"``.
        came: What came instead, likewise: ``"came out as 1.0, not 0.25"``.
        look: Where to look, a sentence of its own: ``"The third reward is two steps away: gamma squared."``
    """

    points: int
    passed: bool
    asked: str
    came: str = ""
    look: str = ""

    @property
    def sentence(self) -> str:
        """What the student reads."""
        asked = self.asked[:1].upper() + self.asked[1:]
        return f"{asked}: right." if self.passed else f"{asked}: {self.came}. {self.look}".strip()


@dataclass(frozen=True, kw_only=True)
class Part(Generic[V]):
    """A part of an assignment.

    Attributes:
        name: One word or a few, for reports: ``"returns"``.
        points: What it is worth; its findings add up to this when everything is right.
        needs: The functions and classes of the submission that it asks.
        draw: A generator of the student's own -> the variant. Anything; what a student is asked to do differs by it.
        explain: The variant -> what is to be written, as text; the words of ``textgym grade --explain``.
        grade: (variant, submission) -> findings. It may stop at the first failure: what was not yielded is not earned.
            A question that is not answered raises :class:`~textgym.course.sandbox.Unanswered`, which it lets pass.
        stream: Parts with the same stream draw from the same random numbers; by default each has its own.
    """

    name: str
    points: int
    needs: tuple[str, ...]
    draw: Callable[[np.random.Generator], V]
    explain: Callable[[V], str]
    grade: Callable[[V, Student], Iterator[Finding]]
    stream: str | None = None


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What students hand in at the end of a week.

    Attributes:
        name: ``"week1"``, as on the command line.
        title: What it is about.
        goal: What is learned, in a sentence or two.
        parts: Three or four parts, 100 points in all.
        template: The file that students fill in: imports, and a stub with a docstring for each function. It runs.
        limits: What a submission may use.
        forbidden: Modules that a submission may not import, since they would give the answers away.

    Raises:
        ConfigurationError: unless the parts add up to 100 points.
    """

    name: str
    title: str
    goal: str
    parts: tuple[Part[Any], ...]
    template: str
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    forbidden: tuple[str, ...] = FORBIDDEN

    def __post_init__(self) -> None:
        points = sum(part.points for part in self.parts)
        if points != TOTAL:
            raise ConfigurationError(f"the parts of {self.name} add up to {points} points; expected {TOTAL}")

    def variant(self, part: Part[V], student: str) -> V:
        """What this student is asked in a part."""
        return part.draw(generator(student, self.name, part.stream or part.name))


def generator(student: str, *names: str) -> np.random.Generator:
    """The random numbers of a student for one purpose: a function of the id's SHA-256 and the names alone.

    Upper case makes no difference, nor do spaces around an id, the two ways in which Unicode writes an accent, wide
    digits, and signs that cannot be seen, such as the mark at the beginning of a spreadsheet's file.

    Raises:
        ConfigurationError: for an empty id.

    Example:
        >>> one, same, other = (generator(name, "week1").integers(1 << 60) for name in ("ada", " Ada", "bob"))
        >>> bool(one == same), bool(one == other)
        (True, False)
    """
    plain = _plain_id(student)
    if not plain:
        raise ConfigurationError("an empty student id: expected a name or number, from which the variants are drawn")
    digest = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()
    entropy = int.from_bytes(digest[:16], "big")
    sequence = np.random.SeedSequence(entropy, spawn_key=tuple(crc32(name.encode()) for name in names))
    return np.random.default_rng(sequence)


def _plain_id(student: str) -> str:
    seen = "".join(letter for letter in student if unicodedata.category(letter) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold()).split())


def near(answer: Any, truth: Any, tolerance: float = 1e-6) -> bool:
    """Whether an answer has the shape of the truth and is equal to it up to rounding; False for what is no number.

    Example:
        >>> near([1.0, 2.0], np.array([1.0, 2.0])), near("1", 1.0), near(None, 1.0), near([1.0], 1.0)
        (True, False, False, False)
    """
    try:
        given = np.asarray(answer)
        right = np.asarray(truth)
        if given.dtype.kind not in "biuf" or given.shape != right.shape:
            return False
        return bool(np.allclose(given, right, rtol=tolerance, atol=tolerance))
    except (TypeError, ValueError, OverflowError):
        return False


def shown(value: Any) -> str:
    """An answer as a sentence can hold it: short, and numbers rounded.

    Example:
        >>> shown(0.1 + 0.2), shown([1.0, 2.0]), shown(None)
        ('0.3', '[1, 2]', 'None')
    """
    if isinstance(value, bool | np.bool_):
        text = str(bool(value))
    elif isinstance(value, float | np.floating):
        text = f"{value:.6g}"
    elif isinstance(value, np.ndarray):
        text = shown(value.tolist())
    elif isinstance(value, list | tuple):
        text = ", ".join(shown(item) for item in value[:20]) + (", ..." if len(value) > 20 else "")
        text = f"[{text}]" if isinstance(value, list) else f"({text})"
    else:
        text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
