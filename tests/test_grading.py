"""Grading: reports, formats, the command, and answers of every odd kind."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grading_local import LocalStudent, solution, wrong_solution

from textgym.cli import main
from textgym.course import grading, sandbox_folders
from textgym.course.assignment import Assignment, Finding, Part, generator, near
from textgym.course.sandbox import Student
from textgym.course.wire import Decoder, Encoder, WireError, function
from textgym.errors import ConfigurationError, UnknownNameError

HALF = """
def double(x):
    print("working")
    return 2 * x

def halve(x):
    raise RuntimeError("out of order")
"""


def draw(rng: np.random.Generator) -> int:
    return int(rng.integers(2, 1_000_000))


def explain(variant: int) -> str:
    return f"double and halve {variant}"


def grade_double(variant: int, student: Student) -> Iterator[Finding]:
    for points, number in ((30, variant), (20, -variant)):
        came = student.call("double", number)
        yield Finding(points, near(came, 2 * number), f"the double of {number}", f"{came} came", "Add it to itself.")


def grade_halve(variant: int, student: Student) -> Iterator[Finding]:
    yield Finding(10, True, "nothing yet")
    yield Finding(40, near(student.call("halve", variant), variant / 2), "the half")


TOY = Assignment(
    name="toy",
    title="Two functions",
    goal="Double and halve.",
    parts=(
        Part(name="double it", points=50, needs=("double",), draw=draw, explain=explain, grade=grade_double),
        Part(name="halve it", points=50, needs=("halve",), draw=draw, explain=explain, grade=grade_halve),
    ),
    template="",
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> grading.Report:
    """A submission with one right function and one that raises."""
    file = tmp_path_factory.mktemp("submission") / "half.py"
    file.write_text(HALF, encoding="utf-8")
    return grading.grade(TOY, file, student="ada", confine=False)


def test_a_report_adds_up_and_says_why(report: grading.Report) -> None:
    double, halve = report.parts
    assert (double.points, halve.points, report.points, report.possible) == (50, 10, 60, 100)
    assert double.sentences[0].startswith("Right: the double of ")
    assert halve.sentences == ["halve() raised RuntimeError: out of order (line 7)."]
    assert report.printed == "working\nworking\n"
    assert report.notes[-1].startswith("Warning: files and network are not confined, as asked. ")
    assert "docker run --rm --network none" in report.notes[-1]


def test_gradescope(report: grading.Report) -> None:
    """The keys and types that Gradescope's specification names."""
    data = json.loads(json.dumps(report.gradescope()))
    assert (data["score"], data["visibility"], data["stdout_visibility"]) == (60, "visible", "hidden")
    assert data["execution_time"] > 0
    assert [(test["name"], test["score"], test["max_score"], test["status"]) for test in data["tests"]] == [
        ("double it", 50, 50, "passed"),
        ("halve it", 10, 50, "failed"),
    ]
    assert data["tests"][1]["output"] == "halve() raised RuntimeError: out of order (line 7)."
    assert {test["number"] for test in data["tests"]} == {"1", "2"}
    known = {"score", "max_score", "status", "name", "number", "output", "output_format", "visibility"}
    assert all(test.keys() <= known for test in data["tests"])


def test_otter(report: grading.Report) -> None:
    """What ``GradingResults.from_ottr_json`` of Otter-Grader looks up, and the points that it would add up."""
    earned = possible = 0
    for file in json.loads(json.dumps(report.otter()))["test_file_results"]:
        assert file["filename"].startswith("toy_")
        for result in file["test_case_results"]:
            case = result["test_case"]
            assert {"name", "code", "hidden", "points", "success_message", "failure_message"} == case.keys()
            assert result["passed"] == (result["error"] is None) == (case["failure_message"] is None)
            possible += case["points"]
            earned += case["points"] * result["passed"]
    assert (earned, possible) == (60, 100)


def test_a_missing_function_is_named(tmp_path: Path) -> None:
    file = tmp_path / "empty.py"
    file.write_text("x = 1\n", encoding="utf-8")
    found = grading.grade(TOY, file, student="ada", confine=False)
    assert found.points == 0
    assert found.parts[0].sentences == ["The file defines no double; the template shows what it should look like."]


def test_an_assignment_has_a_hundred_points() -> None:
    with pytest.raises(ConfigurationError, match="add up to 50 points; expected 100"):
        replace(TOY, parts=TOY.parts[:1])


def test_variants_are_a_function_of_the_id_alone() -> None:
    drawn = [int(generator(" Ada ", "week1", part).integers(1000)) for part in ("returns", "legal actions")]
    assert drawn == [929, 34]
    with pytest.raises(ConfigurationError, match="an empty student id"):
        generator("  ", "week1")


def test_unknown_weeks_are_named() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'week3'"):
        grading.get("wek3")


# ---- answers of every odd kind -------------------------------------------------------------------------------------

ODD = [
    "10**400",
    "float('nan')",
    "[[]]",
    "{(): {0: 'x'}}",
    "(None, None, None)",
    "(0, 1, 2)",
    "np.zeros((2, 3))",
    "[float('inf')] * 3",
    "{'a': [1, (2,)]}",
]


@pytest.mark.parametrize("week", ["week1", "week2"])
@pytest.mark.parametrize("odd", ODD)
def test_odd_answers_are_wrong_answers(week: str, odd: str) -> None:
    assignment = grading.get(week)
    names = {name for part in assignment.parts for name in part.needs}
    source = "import numpy as np\n" + "".join(f"def {name}(*args): return {odd}\n" for name in names)
    pupil: Any = LocalStudent(source)
    for part in assignment.parts:
        found = grading.grade_part(part, assignment.variant(part, "ada"), pupil)
        assert found.points < found.possible


@pytest.mark.parametrize("odd", ["'x'", "10**400", "np.zeros(2)"])
def test_odd_learners_learn_nothing(odd: str) -> None:
    source = f"""
import numpy as np
class Learner:
    def __init__(self, seed): pass
    def learn(self, env, steps):
        env.reset()
        try: env.step({odd})
        except Exception: pass
    def act(self, observation, action_mask): return {odd}
    def value(self, observation, action): return {odd}
"""
    assignment = grading.get("week3")
    pupil: Any = LocalStudent(source)
    points = [grading.grade_part(p, assignment.variant(p, "ada"), pupil).points for p in assignment.parts]
    assert points[:3] == [0, 0, 0]


def test_what_travels_arrives_and_what_does_not_is_refused() -> None:
    values = [None, True, 3, 2.5, "é", [1, (2, "x")], {(1, 2): [3]}, np.arange(6, dtype=np.int8).reshape(2, 3)]
    data = json.loads(json.dumps(Encoder().encode(values)))
    found = Decoder().decode(data)
    assert found[:-1] == values[:-1]
    assert found[-1].dtype == np.int8
    assert np.array_equal(found[-1], values[-1])  # type: ignore[arg-type]
    for value in (object(), {1, 2}, b"x", np.array(["x"]), 1j, function(len), TOY):
        with pytest.raises(WireError):
            Encoder().encode(value)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"$object": "os:system", "fields": []},
        {"$handle": 0},
        {"$served": 0, "methods": [], "fields": []},
        {"$array": "O", "shape": [1], "items": [1]},
        {"$array": "<f8", "shape": [3], "items": [1]},
        {"$array": "<i8", "shape": [1], "items": [2**70]},
        {"$dict": [[[1], 2]]},
        {"$tuple": 3},
    ],
)
def test_a_submission_cannot_send_what_only_the_grader_may(data: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        Decoder().decode(data)


CHEATS = {
    "it says that it is right": """
import sys
import numpy as np
import textgym.course.wire
class Right(float):
    def __eq__(self, other): return True
    __hash__ = float.__hash__
def episode_return(rewards, gamma): return Right(1.0)
def legal_actions(problem, state): return Right(1.0)
""",
    "it patches the grader": """
from textgym.course import assignment, report
assignment.near = lambda *args: True
report.PartReport.points = 100
def episode_return(rewards, gamma): return 0.5
""",
    "it writes a grade": """
import json, os
with open("results.json", "w") as file: json.dump({"score": 100}, file)
print(json.dumps({"score": 100, "value": 1}))
os._exit(0)
""",
}


@pytest.mark.parametrize("name", CHEATS)
def test_cheating_earns_nothing(name: str, tmp_path: Path) -> None:
    file = tmp_path / "cheat.py"
    file.write_text(CHEATS[name], encoding="utf-8")
    found = grading.grade("week1", file, student="ada")
    assert found.points == 0
    assert found.possible == 100
    assert all(part.sentences for part in found.parts)
    assert [path.name for path in tmp_path.iterdir()] == ["cheat.py"]


# ---- the command ---------------------------------------------------------------------------------------------------


def textgym(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit status of the command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["textgym", *words])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code


def test_grading_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, results = tmp_path / "mine.py", tmp_path / "results.json"
    file.write_text(wrong_solution("week1", "ids.remove(problem.booster)", "pass"), encoding="utf-8")
    words = ("grade", "week1", "--submission", str(file), "--student", "ada", "--json", str(results))
    assert textgym(monkeypatch, *words) == 0
    shown = capsys.readouterr().out
    assert "17 of 25  legal actions" in shown
    assert "may not be the first word, and there is no empty text." in " ".join(shown.split())
    assert shown.rstrip().endswith("92 of 100 points")
    assert json.loads(results.read_text(encoding="utf-8"))["score"] == 92
    assert textgym(monkeypatch, *words, "--format", "otter") == 0
    assert len(json.loads(results.read_text(encoding="utf-8"))["test_file_results"]) == 4


def test_insisting_on_confinement_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no fault of the submission: the command fails, and nobody gets 0 points."""
    monkeypatch.setattr(sandbox_folders, "confined_command", lambda *_: "the kernel says no")
    file = tmp_path / "mine.py"
    file.write_text(solution("week1"), encoding="utf-8")
    words = ("grade", "week1", "--submission", str(file), "--student", "ada", "--confine")
    assert textgym(monkeypatch, *words) == 2
    assert "error: this system cannot confine a submission (the kernel says no)" in capsys.readouterr().err


def test_explaining_and_templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert textgym(monkeypatch, "grade", "week2", "--explain", "--student", "ada") == 0
    shown = capsys.readouterr().out
    assert "1. optimal values (25 points)" in shown
    assert "soft_value(game, temperature)" in shown
    file = tmp_path / "mine.py"
    assert textgym(monkeypatch, "grade", "week2", "--template", str(file)) == 0
    assert file.read_text(encoding="utf-8") == grading.get("week2").template
    assert textgym(monkeypatch, "grade", "week2", "--template", str(file)) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("wek1",), "unknown assignment 'wek1'. Did you mean 'week1'?"),
        (("week1",), "--student is missing"),
        (("week1", "--student", "ada"), "--submission is missing"),
        (("week1", "--student", " ", "--submission", __file__), "an empty student id"),
        (("week1", "--student", "ada", "--submission", "nowhere.py"), "'nowhere.py' cannot be read"),
        (("week1", "--student", "ada", "--submission", sys.executable), "is no UTF-8 text"),
        (("week1", "--student", "ada", "--format", "otte"), "unknown format 'otte'. Did you mean 'otter'?"),
        (("week1", "--student", "ada", "--json", "x/y.json", "--submission", __file__), "there is no folder"),
    ],
)
def test_bad_commands_end_with_status_2(
    words: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert textgym(monkeypatch, "grade", *words) == 2
    assert sentence in capsys.readouterr().err


def test_the_solutions_are_not_in_the_package() -> None:
    """Students must not find them on their own disk."""
    package = Path(grading.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    for week in ("week1", "week2", "week3"):
        body = max(solution(week).split("\n\n\n"), key=len)
        assert not any(body in text for text in texts)
