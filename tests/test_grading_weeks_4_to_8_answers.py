"""Weeks 4 to 8: whatever a submission answers, the grader says something sensible; and the sandbox runs them all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from grading_local import LocalStudent, questions

from textgym.course import grading
from textgym.course.report import PartReport
from textgym.course.weeks.week_findings import Silence, difference, judge, misfit

SOLUTIONS = Path(__file__).parent / "solutions"
WEEKS = ("week4", "week5", "week6", "week7", "week8")
NONSENSE = {
    "nothing": "None",
    "words": "'right'",
    "an empty list": "[]",
    "not a number": "float('nan')",
    "infinity": "[float('inf'), -float('inf')]",
    "a ragged list": "[[1.0], [1.0, 2.0]]",
    "a dict": "{'Copy': 1.0, 'Sort': None, 'Reviews': 'x', 'Brackets': []}",
    "three numbers": "(1.0, 2.0, 3.0)",
    "a number": "0.123",
    "a large number": "10 ** 400",
    "an array like the first argument": "arguments[0]",
}


def functions(week: str) -> list[str]:
    return [name for part in grading.get(week).parts for name in part.needs]


def grade(week: str, source: str, student: str = "ada") -> list[PartReport]:
    pupil: Any = LocalStudent(source)
    return [grading.grade_part(part, variant, pupil) for part, variant in questions(week, student)]


@pytest.mark.parametrize("week", WEEKS)
def test_the_template_earns_nothing_and_says_why(week: str) -> None:
    for report in grade(week, grading.get(week).template):
        assert report.points == 0
        assert report.findings
        assert all("raised NotImplementedError" in finding.sentence for finding in report.findings)


@pytest.mark.parametrize("answer", NONSENSE)
@pytest.mark.parametrize("week", WEEKS)
def test_nonsense_is_graded_like_anything_else(week: str, answer: str) -> None:
    source = "\n".join(f"def {name}(*arguments):\n    return {NONSENSE[answer]}\n" for name in functions(week))
    reports = grade(week, source)
    assert sum(report.points for report in reports) <= 10
    for report in reports:
        assert report.failure is None
        assert sum(finding.points for finding in report.findings) <= report.possible
        assert all(re.fullmatch(r"[^\n]{10,700}[.]", finding.sentence) for finding in report.findings)


@pytest.mark.parametrize("week", WEEKS)
def test_a_part_is_explained_with_its_functions_and_the_students_own_numbers(week: str) -> None:
    mine, same, others = (
        [part.explain(variant) for part, variant in questions(week, name)] for name in ("ada", "ADA ", "bob")
    )
    for part, text in zip(grading.get(week).parts, mine, strict=True):
        assert all(f"{name}(" in text for name in part.needs)
        assert len(text) < 1200
    assert mine == same != others


OTHER_WAYS = {
    "a fit by somebody else's optimiser": (
        "week6",
        "    games, scores = wins + wins.T, np.zeros(len(wins))\n",
        "    from scipy.optimize import minimize\n\n"
        "    loss = lambda scores: 0.5 * penalty * (scores**2).sum() - log_likelihood(scores, wins)\n"
        "    return minimize(loss, np.zeros(len(wins))).x\n",
    ),
    "the divergence of whole texts": (
        "week5",
        "    per_token = (np.exp(policy) * (policy - reference)).sum(axis=-1)\n",
        "    ids = np.minimum(tokens, logits.shape[-1] - 1)[..., None]\n"
        "    per_token = np.take_along_axis(policy - reference, ids, axis=-1)[..., 0]\n",
    ),
    "an interval that is stretched for few seeds": (
        "week8",
        "    return low, high\n",
        "    middle = np.mean([task.mean() for task in tasks])\n"
        "    return middle + 1.21 * (low - middle), middle + 1.21 * (high - middle)\n",
    ),
    "ties shared by sorting": (
        "week7",
        "    policy = np.zeros(len(reference))\n    below = 0.0\n",
        "    most = np.array([reference[proxy <= value].sum() for value in proxy]).clip(0.0, 1.0)\n"
        "    least = np.array([reference[proxy < value].sum() for value in proxy])\n"
        "    with np.errstate(invalid='ignore', divide='ignore'):\n"
        "        kept = reference * (most**n - least**n) / (most - least)\n"
        "    return np.where(reference > 0, kept, 0.0)\n"
        "    policy = np.zeros(len(reference))\n    below = 0.0\n",
    ),
}


@pytest.mark.parametrize("name", OTHER_WAYS)
def test_other_right_ways_earn_everything(name: str) -> None:
    week, old, new = OTHER_WAYS[name]
    source = (SOLUTIONS / f"{week}.py").read_text(encoding="utf-8")
    assert source.count(old) == 1
    assert [report.sentences for report in grade(week, source.replace(old, new)) if not report.is_right] == []


def test_torch_earns_everything() -> None:
    pytest.importorskip("torch")
    reports = grade("week5", (SOLUTIONS / "week5_torch.py").read_text(encoding="utf-8"))
    assert [report.sentences for report in reports if not report.is_right] == []


@pytest.mark.parametrize("week", WEEKS)
def test_findings_add_up_to_the_points_of_a_part(week: str) -> None:
    reports = grade(week, (SOLUTIONS / f"{week}.py").read_text(encoding="utf-8"))
    for report, part in zip(reports, grading.get(week).parts, strict=True):
        assert sum(finding.points for finding in report.findings) == part.points == report.points


def test_the_first_difference_is_named() -> None:
    assert difference([[1.0, 2.0], [3.0, 5.0]], [[1.0, 2.0], [3.0, 4.0]]) == "entry [1, 1] came out as 5, not 4"
    assert difference(1.0, 2.0) == "it came out as 1, not 2"
    assert difference([1.0], 2.0) == "an array of shape (1,) came, and not a single number"
    assert difference(2.0, [2.0]) == "a single number came, and not an array of shape (1,)"
    assert difference(Silence("f() raised ValueError"), 2.0) == "f() raised ValueError"
    assert misfit(Silence("f() raised ValueError"), 2) == "f() raised ValueError"
    assert judge(3, "one", 1, 1.0, "Look.").passed


# ---- in the sandbox -------------------------------------------------------------------------------------------------


def points(tmp_path: Path, week: str, source: str) -> dict[str, int]:
    file = tmp_path / "submission.py"
    file.write_text(source, encoding="utf-8")
    report = grading.grade(week, file, student="ada")
    return {part.name: part.points for part in report.parts}


@pytest.mark.slow
@pytest.mark.parametrize("week", WEEKS)
def test_solutions_earn_everything_in_the_sandbox(tmp_path: Path, week: str) -> None:
    found = points(tmp_path, week, (SOLUTIONS / f"{week}.py").read_text(encoding="utf-8"))
    assert sum(found.values()) == 100


def test_a_split_by_the_order_of_a_set_is_another_one_in_another_process(tmp_path: Path) -> None:
    source = (SOLUTIONS / "week6.py").read_text(encoding="utf-8")
    assert source.count("sorted(set(prompts))") == 1
    found = points(tmp_path, "week6", source.replace("sorted(set(prompts))", "list(set(prompts))"))
    assert found == {"judgements": 25, "fit": 35, "split": 16, "accuracy": 20}


def test_the_answers_cannot_be_imported(tmp_path: Path) -> None:
    source = (SOLUTIONS / "week8.py").read_text(encoding="utf-8")
    shortcut = (
        "    from textgym.benchmarks.stats import interquartile_mean\n    return interquartile_mean(sum(scores, []))"
    )
    head, _, tail = source.partition("    ordered = np.sort(")
    found = points(tmp_path, "week8", f"{head}{shortcut}\n\n\n{tail[tail.index('def resampled_means') :]}")
    assert found == {"scores": 18, "intervals": 30, "paired comparison": 20, "held-out prompts": 20}
