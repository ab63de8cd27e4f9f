"""Grades that nobody can complain of: hostile words, files with answers, odd ids, and answers without work."""

from __future__ import annotations

import json
import sys
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grading_local import LocalStudent, points_lost, questions

from textgym.cli.grade import _show
from textgym.course import grading, sandbox_folders
from textgym.course.assignment import generator
from textgym.course.report import PartReport
from textgym.course.sandbox import SandboxLimits, Student, Unanswered
from textgym.course.sandbox_limits import ending
from textgym.course.weeks.week_dqn import draw_batch
from textgym.course.weeks.week_findings import difference
from textgym.course.wire import Decoder, Encoder, function
from textgym.errors import ConfigurationError

SMALL = SandboxLimits(seconds=2.0, gigabytes=0.5, disk_megabytes=8)
SOLUTIONS = Path(__file__).parent / "solutions"

# ---- what a submission says ----------------------------------------------------------------------------------------

RUDE = r"""
print("\x1b[2J\x1b[H100 of 100 points")
def episode_return(rewards, gamma): raise ValueError("\udcff \x1b[2J\n100 of 100 points")
def legal_actions(problem, state): raise type("\x1b[31mNo", (Exception,), {})
def transition(problem, state, action): open("/x\udcff\x1b[2J", "w")
"""


def test_what_a_submission_says_can_be_stored_and_commands_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rude.py"
    file.write_text(RUDE, encoding="utf-8")
    report = grading.grade("week1", file, student="ada", confine=False)
    assert report.points == 0
    assert json.dumps(report.gradescope(), ensure_ascii=False).encode().isascii()
    assert report.parts[0].sentences == ["episode_return() raised ValueError: ? ?[2J 100 of 100 points (line 3)."]
    assert report.parts[1].sentences == ["legal_actions() raised ?[31mNo (line 4)."]
    assert any("tried to write /x??[2J" in note for note in report.notes)
    _show(report)
    shown = capsys.readouterr().out
    assert "?[2J?[H100 of 100 points" in shown
    assert "\x1b" not in shown


def test_an_answer_that_cannot_travel_was_returned_and_not_raised() -> None:
    source = "import numpy as np\ndef f(): return range(3)\ndef g(): raise ValueError('no')"
    with Student(source, SMALL, confine=False) as student:
        for name, sentence in (("f", r"f\(\) returned a value of type range: "), ("g", r"g\(\) raised ValueError: no")):
            with pytest.raises(Unanswered, match=sentence):
                student.call(name)


def test_numbers_of_more_digits_than_json_has_travel_as_numbers() -> None:
    values = [np.longdouble(0.5), np.full(2, 0.25, dtype=np.longdouble)]
    number, array = Decoder().decode(json.loads(json.dumps(Encoder().encode(values))))
    assert number == 0.5
    assert (array.dtype, array.tolist()) == (np.dtype(np.float64), [0.25, 0.25])


def test_the_end_of_a_process_is_told_in_words() -> None:
    limits = SandboxLimits(total_seconds=7)
    assert ending("f()", 139, limits) == "f() was ended by signal 11 (SIGSEGV) instead of answering"
    assert ending("f()", 3, limits) == "f() ended the program with status 3 instead of answering"
    if sys.platform != "win32":
        assert ending("f()", -24, limits).endswith("used all of its 7 seconds of processor time")


def test_dawdling_between_questions_comes_to_an_end() -> None:
    """Each wait is short and no processor time is used; only their sum tells."""
    source = "import time\ndef f(ask):\n  while True:\n    time.sleep(0.02)\n    ask()"
    asked: list[int] = []
    sentence = "after the grader had waited for 1 seconds in all, and was stopped"
    with (
        Student(source, SandboxLimits(total_seconds=1), confine=False) as student,
        pytest.raises(Unanswered, match=sentence),
    ):
        student.call("f", function(lambda: asked.append(1)))
    assert 0 < len(asked) <= 60


# ---- what a submission must not read -------------------------------------------------------------------------------

THIEF = """
import importlib.util
import textgym.course
FILE = textgym.course.__path__[0] + "/models.py"
def source():
    with open(FILE) as file: return len(file.read())
def compiled():
    with open(importlib.util.cache_from_source(FILE), "rb") as file: return len(file.read())
def libc():
    import ctypes
    library, room = ctypes.CDLL(None), ctypes.create_string_buffer(100)
    return library.read(library.open(FILE.encode(), 0), room, 100)
"""


def said(student: Student, name: str) -> Any:
    """What a function answers; 0 where it was turned away."""
    try:
        return student.call(name)
    except Unanswered as error:
        return 0 if "PermissionError" in str(error) or "FileNotFoundError" in str(error) else str(error)


@pytest.mark.parametrize("confine", [None, False], ids=["confined where it can be", "plain"])
def test_files_with_answers_cannot_be_read(confine: bool | None) -> None:
    import textgym.course.models as models

    assert Path(str(models.__file__)).stat().st_size > 1000
    with Student(THIEF, SMALL, confine=confine) as student:
        assert [said(student, name) for name in ("source", "compiled")] == [0, 0]
        if student.warning is None:  # past the audit hook
            assert student.call("libc") <= 0
        elif sys.platform.startswith("linux"):
            assert "tried to read models.py, which would give the answers away" in student.attempts


def test_what_is_hidden_is_hidden_with_its_compiled_files() -> None:
    hidden = sandbox_folders.hidden_places(("textgym.course.models", "textgym.exact", "textgym.not_there"))
    names = {Path(place).name for place in hidden}
    assert {"models.py", "exact"} <= names
    import textgym.course.models as models

    cached = models.__cached__
    assert not Path(cached).exists() or Path(cached).name in names


def test_the_order_of_sets_differs_between_processes_however_python_is_started() -> None:
    """A submission that depends on it is found out in every kind of installation."""
    assert "PYTHONHASHSEED" not in sandbox_folders.environment(Path("x"), {})


# ---- ids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jos\u00e9", "jose\u0301"),
        ("\uff11\uff12\uff13", "123"),
        ("\ufeff123", "123"),
        ("Ada\u00a0 Lovelace", "ada lovelace"),
        ("STRASSE", "stra\u00dfe"),
        ("\u202eada", "ada"),
    ],
)
def test_one_student_has_one_variant_however_the_id_is_typed(one: str, other: str) -> None:
    drawn = [int(generator(name, "week1").integers(1 << 60)) for name in (one, other)]
    assert drawn[0] == drawn[1]


def test_any_id_that_can_be_seen_is_an_id() -> None:
    ids = ["x" * 100_000, "\udcff", "\U0001f393", "a b", "ab", "0", "00"]
    assert len({int(generator(name, "week1").integers(1 << 60)) for name in ids}) == len(ids)
    with pytest.raises(ConfigurationError, match="an empty student id"):
        generator("\ufeff \u200b", "week1")


# ---- answers without work ------------------------------------------------------------------------------------------


def grade(week: str, source: str, part: str, student: str = "ada") -> PartReport:
    pupil: Any = LocalStudent(f"import numpy as np\n{source}")
    (found,) = (
        grading.grade_part(one, variant, pupil) for one, variant in questions(week, student) if one.name == part
    )
    return found


@pytest.mark.parametrize(
    ("week", "part", "source"),
    [
        ("week5", "divergence", "def kl_per_text(a, b, tokens, lengths): return np.zeros(len(tokens))"),
        ("week6", "split", "def split(prompts, share, seed): return [False] * len(prompts)"),
        ("week7", "ensemble", "def pessimistic(reference, scores): return np.zeros(len(reference))"),
        ("week8", "intervals", "def interval(scores, seed): return 0.0, 1.0"),
        ("week8", "paired comparison", "def paired_interval(left, right, seed): return -1.0, 1.0"),
    ],
)
def test_an_answer_that_looks_at_nothing_earns_nothing(week: str, part: str, source: str) -> None:
    """It is consistent, or holds every truth; but that is no work."""
    report = grade(week, source, part)
    assert report.points == 0
    assert len(report.sentences) == len(report.findings) > 1


@pytest.mark.parametrize("student", [*"abcdefgh"])
def test_a_mask_that_multiplies_is_found_out_for_everybody(student: str) -> None:
    batch = draw_batch(np.random.default_rng(ord(student)), ends=True, masks=True)
    alive = ~batch.terminated
    for values in (batch.online, batch.target):
        best = np.where(batch.masks, values, -np.inf).max(axis=1)
        assert (best[alive] < 0.0).any()
    wrong = (
        "def q_targets(rewards, terminated, truncated, next_q, next_masks, discount):\n"
        "    return rewards + discount * ~terminated * (next_q * next_masks).max(axis=1)\n"
    )
    found = {finding.asked: finding.passed for finding in grade("week4", wrong, "targets", student).findings}
    assert not found["the targets of a batch with illegal next ids"]


TEXTBOOK = """
import numpy as np
class Learner:
    def __init__(self, seed): self.rng, self.q = np.random.default_rng(seed), {}
    def row(self, observation, size): return self.q.setdefault(observation.tobytes(), np.zeros(size))
    def act(self, observation, mask): return int(np.where(mask, self.row(observation, len(mask)), -np.inf).argmax())
    def value(self, observation, action): return float(self.q.get(observation.tobytes(), np.zeros(99))[action])
    def learn(self, env, steps):
        observation, info = env.reset()
        for step in range(steps):
            mask = info["action_mask"]
            greedy = self.rng.random() >= max(0.05, 1.0 - step / (0.7 * steps))
            action = self.act(observation, mask) if greedy else int(self.rng.choice(np.flatnonzero(mask)))
            following, reward, done, _, info = env.step(action)
            mask = info["action_mask"]
            future = 0.0 if done else self.row(following, len(mask))[np.flatnonzero(mask)].max()
            row = self.row(observation, len(mask))
            row[action] += 0.5 * (reward + future - row[action])
            observation, info = env.reset() if done else (following, info)
"""


@pytest.mark.slow
@pytest.mark.parametrize("student", ["c", "e", "i"])
def test_plain_q_learning_as_in_the_textbook_earns_everything(student: str) -> None:
    """Random ids are drawn evenly and epsilon falls in a straight line: nothing clever, and no luck needed."""
    assert points_lost("week3", TEXTBOOK, student) == {}


# ---- what is said --------------------------------------------------------------------------------------------------


def test_a_difference_can_be_seen_in_the_sentence_about_it() -> None:
    said = difference([0.5 + 1e-8], [0.5], tolerance=1e-9)
    assert said == "entry 0 came out as 0.50000001, not 0.5: more than 1e-09 away"


@pytest.mark.parametrize("week", grading.WEEKS)
def test_the_names_in_a_template_are_all_there(week: str) -> None:
    """With annotations that are only texts, a missing import shows when somebody's editor looks at them."""
    names: dict[str, Any] = {"__name__": "template"}
    exec(compile(grading.get(week).template, "template.py", "exec"), names)
    functions = [value for value in names.values() if getattr(value, "__module__", None) == "template"]
    functions += [value for kind in functions if isinstance(kind, type) for value in vars(kind).values()]
    checked = [typing.get_type_hints(one, names) for one in functions if hasattr(one, "__code__")]
    assert checked
    assert all("return" in hints for hints in checked)
