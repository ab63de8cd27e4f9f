"""Killed at any moment and started again, a comparison gives what an undisturbed one gives, byte for byte."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from textgym.benchmarks.comparison import read_problems, read_results
from textgym.benchmarks.ledger_file import LEDGER
from textgym.benchmarks.records import RunResult

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills a process group")

SCRIPT = """
import sys
from textgym.benchmarks.comparison import compare
from textgym.benchmarks.suites import Entry, Suite

if __name__ == "__main__":
    env = {"level": "tiny"}
    entries = (
        Entry(agent="uniform", steps=6400, env=env),
        Entry(agent="q_learning", steps=20000, env=env, config={"lanes": 8}),
        Entry(agent="fake_agents:Crashing", steps=40, env=env),
    )
    suite = Suite(name="killed", title="Killed", entries=entries, seeds=range(int(sys.argv[2])), episodes=20)
    compare(suite, sys.argv[1], processes=int(sys.argv[3]))
"""


class Comparison:
    """Runs the script in a process group of its own."""

    def __init__(self, folder, *, seeds, processes):
        self.folder, self._rest = folder, [str(seeds), str(processes)]
        self._script = folder / "script.py"
        self._script.write_text(SCRIPT, encoding="utf-8")
        self._paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

    def run(self, out, *, kill_after=None):
        """True if it came to its end, False if it was killed before."""
        command = [sys.executable, str(self._script), str(out), *self._rest]
        environment = {**os.environ, "PYTHONPATH": self._paths, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            assert process.wait(timeout=600 if kill_after is None else kill_after) == 0
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False
        return True

    def undisturbed(self):
        """What it gives, and the seconds it takes."""
        start = time.monotonic()
        assert self.run(self.folder / "undisturbed")
        return contents(self.folder / "undisturbed"), time.monotonic() - start


def contents(out):
    """Every file of a comparison, without what differs when the same run is repeated."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file():
            found[path.relative_to(out).as_posix()] = path.read_bytes()
    lines = [json.loads(line) for line in found[LEDGER].splitlines()]
    records = {line["key"]: RunResult.from_json(json.dumps(line["record"])).without_costs() for line in lines}
    assert len(records) == len(lines)  # no run twice
    found[LEDGER] = json.dumps(records, sort_keys=True)
    for name in [name for name in found if name.endswith("run.json")]:
        found[name] = RunResult.from_json(found[name].decode()).without_costs()
    return found


def differing(found, expected):
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def kill_and_resume(comparison, expected, seconds, *, kills, rng):
    """Kills at random moments and goes on, in one folder after another, until there were so many kills."""
    done, number, half_way = 0, 0, 0
    while done < kills:
        number += 1
        out = comparison.folder / f"killed-{number}"
        while done < kills and not comparison.run(out, kill_after=rng.uniform(0.0, seconds)):
            done += 1
            ledger = out / LEDGER
            if ledger.is_file():
                assert read_problems(out) == []
                half_way += 0 < len(read_results(out)) < len(json.loads(expected[LEDGER]))
        assert comparison.run(out)
        assert differing(contents(out), expected) == []
    return half_way


def test_two_kills(tmp_path):
    comparison = Comparison(tmp_path, seeds=2, processes=0)
    expected, seconds = comparison.undisturbed()
    assert len(json.loads(expected[LEDGER])) == 6
    kill_and_resume(comparison, expected, seconds, kills=2, rng=np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize("processes", [0, 2])
def test_twenty_kills(processes, tmp_path):
    comparison = Comparison(tmp_path, seeds=5 if processes == 0 else 2, processes=processes)
    expected, seconds = comparison.undisturbed()
    half_way = kill_and_resume(comparison, expected, seconds, kills=20, rng=np.random.default_rng(processes))
    assert half_way >= 4  # enough of them in mid-run


def children_of(number):
    """The processes that a process has started; each worker is the head of a group of its own."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # gone meanwhile
            if int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1]) == number:
                found.add(int(path.parent.name))
    return found


def lives(number):
    try:
        return Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks for processes in /proc")
def test_workers_die_with_their_parent_and_leave_no_harm(tmp_path):
    """Only the parent is killed, not the group: its workers must end by themselves."""
    comparison = Comparison(tmp_path, seeds=3, processes=2)
    expected, _ = comparison.undisturbed()
    out = tmp_path / "out"
    command = [sys.executable, str(tmp_path / "script.py"), str(out), *comparison._rest]
    environment = {**os.environ, "PYTHONPATH": comparison._paths}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    while not (out / LEDGER).is_file():
        assert process.poll() is None
    workers = children_of(process.pid)
    assert len(workers) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while any(map(lives, workers)):
        assert time.monotonic() < deadline, "workers outlived their parent by a minute"
    assert comparison.run(out)
    assert differing(contents(out), expected) == []
