"""What came out: points and sentences for each part; as text, and as the JSON of Gradescope and Otter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textgym.course.assignment import Finding

FORMATS = ("gradescope", "otter")


@dataclass(frozen=True)
class PartReport:
    """The grade of a part.

    Attributes:
        name: Of the part.
        possible: Its points.
        findings: What was looked at.
        failure: Why the rest was not looked at, a sentence, or None.
    """

    name: str
    possible: int
    findings: tuple[Finding, ...]
    failure: str | None = None

    @property
    def points(self) -> int:
        """The points earned."""
        return sum(finding.points for finding in self.findings if finding.passed)

    @property
    def is_right(self) -> bool:
        """Whether nothing is missing."""
        return self.points == self.possible

    @property
    def sentences(self) -> list[str]:
        """What to tell the student: all that is wrong, or that everything is right."""
        wrong = [finding.sentence for finding in self.findings if not finding.passed]
        if self.failure:
            wrong.append(self.failure)
        right = ", ".join(finding.asked for finding in self.findings)
        return wrong or [f"Right: {right}."]


@dataclass(frozen=True)
class Report:
    """The grade of a submission.

    Attributes:
        assignment: Its name.
        title: Its title.
        student: The id.
        parts: The parts in order.
        notes: Warnings, and what the submission tried that is not allowed; sentences.
        printed: What the submission printed, cut.
        seconds: How long grading took.
    """

    assignment: str
    title: str
    student: str
    parts: tuple[PartReport, ...]
    notes: tuple[str, ...]
    printed: str
    seconds: float

    @property
    def points(self) -> int:
        """The points earned."""
        return sum(part.points for part in self.parts)

    @property
    def possible(self) -> int:
        """The points that could be earned."""
        return sum(part.possible for part in self.parts)

    def gradescope(self) -> dict[str, Any]:
        """The content of Gradescope's ``results.json``.

        See https://gradescope-autograders.readthedocs.io/en/latest/specs/.
        """
        tests = [
            {
                "name": part.name,
                "number": str(number),
                "score": part.points,
                "max_score": part.possible,
                "status": "passed" if part.is_right else "failed",
                "output": "\n".join(part.sentences),
                "output_format": "text",
                "visibility": "visible",
            }
            for number, part in enumerate(self.parts, start=1)
        ]
        return {
            "score": self.points,
            "execution_time": round(self.seconds, 1),
            "output": "\n".join([f"{self.title}: {self.points} of {self.possible} points.", *self.notes]),
            "output_format": "text",
            "visibility": "visible",
            "stdout_visibility": "hidden",
            "tests": tests,
            "extra_data": {"assignment": self.assignment, "student": self.student},
        }

    def otter(self) -> dict[str, Any]:
        """What Otter-Grader's ``GradingResults.from_ottr_json`` reads: a test file for each part."""
        return {"test_file_results": [self._otter_file(part) for part in self.parts]}

    def _otter_file(self, part: PartReport) -> dict[str, Any]:
        cases = [_otter_case(f.asked, f.points, f.passed, f.sentence) for f in part.findings]
        missing = part.possible - sum(finding.points for finding in part.findings)
        if missing:
            cases.append(_otter_case("the rest", missing, False, part.failure or ""))
        return {"filename": f"{self.assignment}_{part.name.replace(' ', '_')}.py", "test_case_results": cases}


def _otter_case(name: str, points: int, passed: bool, sentence: str) -> dict[str, Any]:
    case = {
        "name": name,
        "code": "",
        "points": points,
        "hidden": False,
        "success_message": sentence if passed else None,
        "failure_message": None if passed else sentence,
    }
    return {"passed": passed, "error": None if passed else sentence, "test_case": case}
