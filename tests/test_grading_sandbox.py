"""Hostile and broken submissions: contained, and reported in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from textgym.course import sandbox_watch
from textgym.course.sandbox import SandboxError, SandboxLimits, Student, Unanswered
from textgym.course.sandbox_pipes import ThreadedLineReader, TooLong
from textgym.course.wire import Served, function
from textgym.errors import BudgetSpent

SMALL = SandboxLimits(seconds=1.0, gigabytes=0.5, disk_megabytes=8)
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses Linux's C library")


def can_confine() -> bool:
    """Whether this system lets users make namespaces."""
    with Student("def f(): return 1", confine=None) as student:
        student.call("f")
        return student.warning is None


CONFINED = can_confine()
NAMESPACES = pytest.mark.skipif(not CONFINED, reason="no user namespaces here")


@pytest.fixture(params=[pytest.param(True, marks=NAMESPACES), False], ids=["confined", "plain"])
def confine(request: pytest.FixtureRequest) -> bool:
    """Whether in namespaces."""
    return bool(request.param)


@pytest.fixture
def ask(confine: bool) -> Callable[..., tuple[Student, str]]:
    """Runs f() of a source, and gives the submission and the sentence about it."""

    def run(source: str, limits: SandboxLimits = SMALL) -> tuple[Student, str]:
        with Student(source, limits, confine=confine) as student:
            try:
                answer = student.call("f")
            except Unanswered as error:
                return student, str(error)
            return student, f"answered {answer!r}"

    return run


def test_answers(ask: Callable[..., tuple[Student, str]]) -> None:
    student, sentence = ask("def f(): return (1, [2.5], {'a': None}, {(1, 2): True})")
    assert sentence == "answered (1, [2.5], {'a': None}, {(1, 2): True})"
    assert student.attempts == []


ALIVE = """
import ctypes, os
class Odd(Exception):
    def __str__(self): raise ValueError
def divides(): return 1 / 0
def returns_an_object(): return object()
def asks_for_memory(): return bytearray(10 * 2**30)
def interrupts(): raise KeyboardInterrupt
def leaves(): raise SystemExit(0)
def raises_oddly(): raise Odd
def nests():
    x = []
    for _ in range(10**5): x = [x]
    return x
def prints(): print("noise"); return float("nan")
"""


def test_after_an_exception_it_can_be_asked_again(confine: bool) -> None:
    said = {
        "divides": "divides() raised ZeroDivisionError: division by zero (line 5)",
        "returns_an_object": "returns_an_object() returned a value of type object: expected numbers, strings, "
        "lists, tuples, dicts or arrays",
        "asks_for_memory": "asks_for_memory() asked for more than the 0.5 GB of memory that it may use",
        "interrupts": "interrupts() raised KeyboardInterrupt (line 8)",
        "leaves": "leaves() ended the program by SystemExit: 0 (line 9)",
        "raises_oddly": "raises_oddly() raised Odd (line 10)",
        "nothing": "the file defines no nothing",
    }
    with Student(ALIVE, SMALL, confine=confine) as student:
        for name, sentence in said.items():
            with pytest.raises(Unanswered) as caught:
                student.call(name)
            assert str(caught.value) == sentence
        with pytest.raises(Unanswered, match=r"nests\(\) raised RecursionError"):
            student.call("nests")
        assert student.call("prints") != student.call("prints")  # NaN
    assert student.printed.text == "noise\nnoise\n"


ENDINGS = [
    ("def f():\n    while True: pass", "f() did not come to an end within 1 seconds, and was stopped"),
    ("import os\ndef f(): os._exit(0)", "f() ended the program with status 0 instead of answering"),
    ("def f(): return 'x' * 2**25", "f() sent an answer of more than 8 MB, and was stopped"),
    ("import time\ndef f(): time.sleep(1000)", "f() did not come to an end within 1 seconds, and was stopped"),
    ("while True: pass", "running the file did not come to an end within 1 seconds, and was stopped"),
    ("def f(:", "running the file raised SyntaxError: invalid syntax (line 1)"),
    ("import sys\nsys.exit(0)", "running the file ended the program by SystemExit: 0 (line 2)"),
    ("import os\nos._exit(3)", "running the file ended the program with status 3 instead of answering"),
    ("import ctypes\ndef f(): ctypes.string_at(0)", "f() was ended by signal 11 (SIGSEGV) instead of answering"),
    ("import os\ndef f(): os.closerange(3, 200)", "f() ended the program with status 0 instead of answering"),
    ("import os\ndef f():\n  while True: os.write(4, b'{}\\n' * 1000)", "f() sent something that is no answer"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("source", "sentence"), ENDINGS)
def test_however_it_ends_a_sentence_says_so(
    ask: Callable[..., tuple[Student, str]], source: str, sentence: str
) -> None:
    assert ask(source)[1].startswith(sentence)


@pytest.mark.parametrize(("source", "sentence"), ENDINGS[:3])
def test_a_sample_of_endings(source: str, sentence: str) -> None:
    with Student(source, SMALL) as student, pytest.raises(Unanswered) as caught:
        student.call("f")
    assert str(caught.value) == sentence


@pytest.mark.slow
@LINUX
def test_shared_memory_is_limited_by_the_watchdog(ask: Callable[..., tuple[Student, str]]) -> None:
    source = "import mmap\ndef f():\n  m = mmap.mmap(-1, 10 * 2**30)\n  for i in range(0, 10 * 2**30, 4096): m[i] = 1"
    assert ask(source, SandboxLimits(seconds=20, gigabytes=0.5))[1] == (
        "f() used more than the 0.5 GB of memory that it may use, and was stopped"
    )


ATTEMPTS = {
    "open('../outside', 'w')": "tried to write ../outside, which is outside its folder",
    "os.remove('/etc/hostname')": "tried to delete /etc/hostname, which is outside its folder",
    "os.fork()": "tried to start another process",
    "subprocess.run(['true'])": "tried to start another process",
    "socket.create_connection(('127.0.0.1', 9))": "tried to use the network",
    "os.kill(os.getppid(), 9)": "tried to send a signal to a process",
    "importlib.import_module('textgym.exact')": "tried to import textgym.exact, which would give the answers away",
    "importlib.import_module('textgym.course.weeks.week1')": "tried to import textgym.course.weeks, which would give "
    "the answers away",
}


def test_attempts_are_turned_away_and_reported(confine: bool) -> None:
    lines = "".join(f"def f{number}(): {attempt}\n" for number, attempt in enumerate(ATTEMPTS))
    with Student(f"import importlib, os, socket, subprocess\n{lines}", SMALL, confine=confine) as student:
        for number in range(len(ATTEMPTS)):
            with pytest.raises(Unanswered, match="raised (PermissionError|ImportError|ModuleNotFoundError)"):
                student.call(f"f{number}")
    assert student.attempts == [*dict.fromkeys(ATTEMPTS.values())]


@pytest.mark.slow
def test_a_submission_may_write_in_its_own_folder_but_not_much(ask: Callable[..., tuple[Student, str]]) -> None:
    assert ask("def f():\n  open('mine', 'w').write('x')\n  return open('mine').read()")[1] == "answered 'x'"
    assert "OSError" in ask("def f():\n  with open('big', 'wb') as file: file.write(bytes(2**25))")[1]


@pytest.mark.slow
def test_megabytes_of_output_are_cut(ask: Callable[..., tuple[Student, str]]) -> None:
    student, sentence = ask("def f():\n  for _ in range(400): print('x' * 10_000)\n  return 1")
    assert sentence == "answered 1"
    assert student.printed.count == 400 * 10_001
    assert len(student.printed.text) <= 20_000


def test_a_forged_grade_on_standard_output_is_only_output(ask: Callable[..., tuple[Student, str]]) -> None:
    student, sentence = ask('import os\ndef f():\n  os.write(1, b\'{"value": 1}\\n{"score": 100}\\n\')\n  return 2')
    assert sentence == "answered 2"
    assert student.printed.text == '{"value": 1}\n{"score": 100}\n'


@pytest.mark.slow
def test_what_it_leaves_running_ends_with_it(ask: Callable[..., tuple[Student, str]]) -> None:
    """A daemon that has left its parent, its group and its session."""
    source = """
import ctypes, time
libc = ctypes.CDLL(None)
def f():
    if libc.fork() == 0:
        libc.setsid()
        if libc.fork() == 0:
            time.sleep(1000)
        libc._exit(0)
    libc.wait(None)
    return 1
"""
    if sys.platform == "win32":
        pytest.skip("no fork")
    student, sentence = ask(source)
    assert sentence == "answered 1"
    assert sandbox_watch.marked(student.mark) == []


@LINUX
def test_forking_without_end(ask: Callable[..., tuple[Student, str]]) -> None:
    """By the C library, past the audit hook."""
    source = "import ctypes\nlibc = ctypes.CDLL(None)\ndef f():\n  while True: libc.fork()"
    student, sentence = ask(source, SandboxLimits(seconds=5.0))
    assert sentence in (
        "f() started more than 32 processes, and was stopped",
        "f() did not come to an end within 5 seconds, and was stopped",
    )
    assert sandbox_watch.marked(student.mark) == []


# ---- what only namespaces hold: past the audit hook, by the C library ----------------------------------------------


@pytest.fixture
def confined() -> Callable[[str], object]:
    """What f() of a source answers inside namespaces."""

    def run(source: str) -> object:
        with Student(source, SMALL, confine=True) as student:
            return student.call("f")

    return run


@NAMESPACES
def test_nothing_is_seen_but_what_is_needed(confined: Callable[[str], object], tmp_path: Path) -> None:
    secret = tmp_path / "solution.py"
    secret.write_text("the answer", encoding="utf-8")
    assert secret.exists()
    hidden = [str(secret), __file__, "/etc/passwd", "/home", "/var"]
    assert confined(f"import os\ndef f(): return [path for path in {hidden!r} if os.path.exists(path)]") == []
    weeks = "import os, textgym.course as c\ndef f(): return os.listdir(os.path.join(c.__path__[0], 'weeks'))"
    assert confined(weeks) == []


@NAMESPACES
def test_nothing_can_be_written_outside(confined: Callable[[str], object], tmp_path: Path) -> None:
    places = [str(tmp_path / "x"), "/x", "/usr/x", "/tmp/x", str(Path(sys.prefix) / "x"), "/dev/x"]
    source = (
        f"import ctypes\nlibc = ctypes.CDLL(None)\ndef f(): return [libc.creat(p.encode(), 0o600) for p in {places!r}]"
    )
    assert confined(source) == [-1] * len(places)
    assert not (tmp_path / "x").exists()


@NAMESPACES
def test_there_is_no_network_and_no_way_out(confined: Callable[[str], object]) -> None:
    source = """
import ctypes, os
libc = ctypes.CDLL(None)
def f():
    with open("/proc/net/dev") as file: devices = [line.split(":")[0].strip() for line in file if ":" in line]
    rights = [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")]
    others = [name for name in os.listdir("/proc") if name.isdecimal() and int(name) > 20]
    return devices, rights, libc.unshare(0x10000000), libc.mount(b"x", b"/", b"tmpfs", 0, None), libc.kill(1, 9), others
"""
    devices, rights, unshared, mounted, _, others = confined(source)  # type: ignore[misc]
    assert devices == ["lo"]
    assert rights == ["0" * 16]
    assert (unshared, mounted, others) == (-1, -1, [])


def test_where_confining_fails_a_warning_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from textgym.course import sandbox_folders

    monkeypatch.setattr(sandbox_folders, "confined_command", lambda *_: "the kernel says no")
    with Student("def f(): return 1", SMALL) as student:
        assert student.call("f") == 1
        assert student.warning == "files and network are not confined here (the kernel says no)"
    with Student("def f(): return 1", SMALL, confine=True) as student, pytest.raises(SandboxError, match="says no"):
        student.call("f")


# ---- what goes to and fro ------------------------------------------------------------------------------------------


def test_objects_kept_over_there_and_served_from_here() -> None:
    source = """
class Agent:
    def __init__(self, seed): self.seen = [seed]
    def learn(self, env, f):
        state = env.reset()
        try:
            while True: self.seen.append(env.step(state))
        except Exception as error: self.seen.append(type(error).__name__)
        self.seen.append(f(env.size))
    def show(self): return self.seen
"""
    left = [3]

    def step(state: int) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise BudgetSpent("that was all")
        return state + left[0]

    env = Served({"reset": lambda: 10, "step": step}, {"size": 7})
    with Student(source, SMALL, confine=False) as student:
        agent = student.new("Agent", 5)
        student.on(agent, "learn", env, function(lambda size: size * 2))
        assert student.on(agent, "show") == [5, 12, 11, 10, "BudgetSpent", 14]


def test_a_new_process_forgets() -> None:
    with Student("seen = []\ndef f():\n  seen.append(1)\n  return len(seen)", SMALL, confine=False) as student:
        assert [student.call("f"), student.call("f")] == [1, 2]
        student.restart()
        assert student.call("f") == 1


def test_the_grader_is_not_touched_by_what_a_submission_patches() -> None:
    patch = "import textgym.errors\ntextgym.errors.suggestion = lambda *a: 'patched'\n"
    source = f"{patch}def f(): return textgym.errors.suggestion()"
    from textgym.errors import suggestion

    with Student(source, SMALL, confine=False) as student:
        assert student.call("f") == "patched"
    assert suggestion("rewrad", ["reward"]) != "patched"


def test_nothing_is_left_of_a_submission() -> None:
    with Student("def f(): return __import__('os').getcwd()", SMALL, confine=False) as student:
        folder = Path(str(student.call("f")))
        assert folder.is_dir()
    assert not folder.exists()
    assert sandbox_watch.marked(student.mark) == []


def test_the_reader_for_windows() -> None:
    with subprocess.Popen([sys.executable, "-c", "print('one'); print('x' * 100)"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        reader = ThreadedLineReader(process.stdout, 50)
        assert reader.get(30.0) == f"one{os.linesep}".encode()
        assert isinstance(reader.get(30.0), TooLong)
        assert reader.get(0.01) is None
        reader.close()
