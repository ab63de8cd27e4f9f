"""What an agent leaves behind, threads and children, neither keeps a comparison waiting nor outlives its run."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from first_legal import FirstLegal

from textgym.benchmarks import workers
from textgym.benchmarks.agent_trials import try_agent
from textgym.benchmarks.comparison import compare
from textgym.benchmarks.limits import RunLimits
from textgym.benchmarks.processes import finish
from textgym.benchmarks.suites import Entry, Suite

HERE = __name__
SLEEP = "import time; time.sleep(600)"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="groups of processes are a matter of POSIX")


class Clean(FirstLegal):
    """Writes the end at once, and leaves nothing behind."""

    def __init__(self, seed=0, *, note=""):
        self.note = note

    def leave(self):
        pass

    def learn(self, envs, total_steps):
        self.leave()
        env = envs.vector(4)
        env.reset(seed=0)
        for _ in range(total_steps // 4):
            env.step([env.eos_id] * 4)

    def told(self, number):
        with Path(self.note).open("a", encoding="utf-8") as file:
            file.write(f"{number}\n")


class Threaded(Clean):
    def leave(self):
        threading.Thread(target=time.sleep, args=(600,)).start()


class Parent(Clean):
    """Starts a process, as vector environments of several processes do."""

    def leave(self):
        child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
        child.start()
        self.told(child.pid)


class Launcher(Clean):
    def leave(self):
        self.told(subprocess.Popen([sys.executable, "-c", SLEEP]).pid)


class Vanishing(Launcher):
    """Is gone without a word, while a child keeps all its files and pipes open."""

    def leave(self):
        self.told(subprocess.Popen([sys.executable, "-c", SLEEP], close_fds=False, pass_fds=_open_files()).pid)
        os._exit(7)


class Hanging(Launcher):
    def leave(self):
        super().leave()
        while True:
            time.sleep(1)


def _open_files():
    return tuple(number for number in range(3, 64) if _is_open(number))


def _is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def run(name, tmp_path, **limits):
    note = tmp_path / "children"
    config = {"note": str(note)}
    entries = (Entry(agent=f"{HERE}:{name}", steps=40, env={"level": "tiny"}, config=config),)
    suite = Suite(name="left", title="Left behind", entries=entries, seeds=(0,), episodes=5)
    (result,) = compare(suite, tmp_path / "out", processes=1, limits=RunLimits(**limits))
    return result, note


def all_end(note):
    """Whether every process whose number was noted is gone soon."""
    numbers = [int(line) for line in note.read_text(encoding="utf-8").split()]
    assert numbers
    deadline = time.monotonic() + 10.0
    while any(_lives(number) for number in numbers) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    return not any(_lives(number) for number in numbers)


def _lives(number):
    state = Path(f"/proc/{number}/stat")
    if state.is_file():
        return state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(number, 0)
    except OSError:
        return False
    return True


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(workers, "finish", partial(finish, patience=0.5))


def test_a_thread_that_goes_on_keeps_nobody_waiting(tmp_path):
    result, _ = run("Threaded", tmp_path)
    assert (result.status, result.steps > 0) == ("ok", True)


@pytest.mark.parametrize("name", ["Parent", "Launcher"])
def test_children_end_with_their_run(name, tmp_path):
    result, note = run(name, tmp_path)
    assert result.status == "ok"
    assert all_end(note)


def test_a_death_is_seen_though_a_child_keeps_the_pipe_open(tmp_path):
    result, note = run("Vanishing", tmp_path)
    assert (result.status, result.failure, result.stage) == ("failed", "died", "learn")
    assert result.error == "in learn: RuntimeError: the worker process died with exit code 7"
    assert all_end(note)


@pytest.mark.slow
def test_who_is_late_is_stopped_with_its_children_and_the_method_is_named(tmp_path):
    result, note = run("Hanging", tmp_path, seconds=15.0)
    assert (result.failure, result.stage) == ("timeout", "learn")
    assert result.error.startswith("in learn: TimeoutError: stopped after 0.25 minutes, the time limit of a run")
    assert all_end(note)


def test_an_agent_may_start_processes_in_its_trial_and_they_end_with_it(tmp_path):
    note = tmp_path / "children"
    assert try_agent(f"{HERE}:Parent", {"note": str(note)}).warnings == ()
    assert all_end(note)
