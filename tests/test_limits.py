"""Whatever an agent does, its run is recorded with a sentence that says what, and the other runs go on."""

import json
import re
import subprocess
import sys

import pytest

from textgym.benchmarks.comparison import compare, read_results
from textgym.benchmarks.limits import RunLimits, captured_output, cut_output, limits_of
from textgym.benchmarks.losses import describe_exit
from textgym.benchmarks.records import RunSpec
from textgym.benchmarks.runs import run
from textgym.benchmarks.suites import Entry, Suite
from textgym.errors import ConfigurationError

TINY = {"level": "tiny"}
LIMITS = RunLimits(seconds=20.0, output_bytes=10_000)


def nothing(prompt, completion):
    """A reward that is no number."""
    return float("nan")


def spec(agent, **more):
    return RunSpec(agent=f"fake_agents:{agent}", env_id="TextGen-v0", steps=40, seed=0, env=TINY, episodes=5, **more)


@pytest.mark.parametrize(
    ("agent", "stage", "failure", "message"),
    [
        ("Crashing", "learn", "error", "FloatingPointError: the loss is <nan>"),
        ("Swallowing", "learn", "budget", "the budget of 40 steps is spent (40 made, 4 more asked)"),
        ("Swallowing", "learn", "budget", "BudgetSpent was swallowed 100 times: let it pass, or stop there"),
        (
            "Shapeless",
            "evaluation",
            "error",
            "act() returned shape (1,) of type int64 for 5 observations; expected one",
        ),
        ("Fractional", "evaluation", "error", "act() returned shape (5,) of type float64 for 5 observations"),
        ("Illegal", "evaluation", "error", "10000 is outside the action space"),
        ("Forgetful", "save", "error", "save(path) wrote nothing"),
        ("Speechless", "making the agent", "error", "fake_agents:Speechless has no method act or write"),
        ("Seedless", "making the agent", "error", "expected __init__(self, seed=0, ...)"),
        ("Nobody", "making the agent", "error", "unknown agent"),
    ],
)
def test_a_run_says_which_method_failed_what_came_and_what_was_expected(agent, stage, failure, message, tmp_path):
    result = run(spec(agent), tmp_path / "run")
    assert (result.status, result.stage, result.failure) == ("failed", stage, failure)
    assert result.error.startswith(f"in {stage}: ")
    assert message in result.error
    exit_state = json.loads((tmp_path / "run" / "exit.json").read_text(encoding="utf-8"))
    assert (exit_state["status"], exit_state["failure"], exit_state["error"]) == ("failed", failure, result.error)


def test_a_reward_that_is_no_number_is_a_failed_run(tmp_path):
    bad = RunSpec(agent="uniform", env_id="TextGen-v0", steps=64, seed=0, env={**TINY, "reward": nothing}, episodes=5)
    result = run(bad, tmp_path / "run")
    assert (result.status, result.stage) == ("failed", "learn")
    assert "nan" in result.error
    json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def bad_company(tmp_path_factory):
    """A comparison of agents that misbehave, each in a process of its own, and of one that does not."""
    out = tmp_path_factory.mktemp("bad")
    names = ["Chatty", "Stubborn", "Dying"]
    entries = [Entry(agent=f"fake_agents:{name}", steps=40, env=TINY, label=name) for name in names]
    entries.append(Entry(agent="uniform", steps=64, env=TINY))
    suite = Suite(name="bad", title="Bad company", entries=tuple(entries), seeds=(0,), episodes=5)
    results = compare(suite, out, processes=2, limits=LIMITS)
    return out, {result.spec.label: result for result in results}


def test_the_others_go_on(bad_company):
    out, results = bad_company
    assert {label: result.status for label, result in results.items()} == {
        "Chatty": "ok", "Stubborn": "failed", "Dying": "failed", "uniform": "ok"
    }  # fmt: skip
    assert len(read_results(out)) == 4
    assert not list(out.glob(".*.partial"))


def test_megabytes_are_cut_with_a_note(bad_company):
    out, results = bad_company
    text = (out / results["Chatty"].spec.folder_name / "output.txt").read_bytes()
    assert len(text) < 10_100
    assert text.lstrip().startswith(b"0\n")
    assert text.endswith(b"\n[cut here: the run printed more than 10,000 bytes]\n")


def test_who_swallows_everything_is_ended(bad_company):
    _, results = bad_company
    result = results["Stubborn"]
    assert result.failure == "budget"
    assert "learn() went on after its budget was spent: it asked for 1,000 more steps" in result.error


def test_who_dies_leaves_a_folder(bad_company):
    out, results = bad_company
    folder = out / results["Dying"].spec.folder_name
    assert results["Dying"].failure == "died"
    assert json.loads((folder / "exit.json").read_text(encoding="utf-8"))["exit_code"] == 7
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["error"] == results["Dying"].error
    assert (folder / "output.txt").is_file()
    assert results["Dying"].error.startswith("in learn: ")


def test_who_is_late_is_stopped_and_recorded(tmp_path):
    entries = (Entry(agent="fake_agents:Hanging", steps=40, env=TINY),)
    suite = Suite(name="slow", title="Slow", entries=entries, seeds=(0,), episodes=5)
    (hung,) = compare(suite, tmp_path, processes=1, limits=RunLimits(seconds=0.06))
    assert (hung.status, hung.failure) == ("failed", "timeout")
    assert "stopped after 0.001 minutes, the time limit of a run; it had made 0 steps" in hung.error
    assert (tmp_path / hung.spec.folder_name / "run.json").is_file()
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.slow
def test_who_hangs_is_stopped(tmp_path):
    entries = (Entry(agent="fake_agents:Hanging", steps=40, env=TINY), Entry(agent="uniform", steps=64, env=TINY))
    suite = Suite(name="slow", title="Slow", entries=entries, seeds=(0,), episodes=5)
    hung, fine = compare(suite, tmp_path, processes=2, limits=RunLimits(seconds=30.0))
    assert fine.status == "ok"
    assert (hung.status, hung.failure) == ("failed", "timeout")
    assert "in learn: TimeoutError: stopped after 0.5 minutes, the time limit of a run" in hung.error
    assert (tmp_path / hung.spec.folder_name / "output.txt").read_text(encoding="utf-8") == "waiting\n"
    again = compare(suite, tmp_path, processes=2)  # it is recorded, and not tried again without a limit
    assert [result.failure for result in again] == ["timeout", ""]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux only")
def test_who_wants_too_much_memory_is_refused_it(tmp_path):
    entries = (Entry(agent="fake_agents:Hoarding", steps=40, env=TINY),)
    suite = Suite(name="big", title="Big", entries=entries, seeds=(0,), episodes=5)
    (result,) = compare(suite, tmp_path, processes=1, limits=limits_of(None, 1.0))
    assert (result.status, result.failure, result.stage) == ("failed", "memory", "learn")
    assert "Unable to allocate 16.0 GiB" in result.error
    assert result.peak_memory_bytes < 2**31  # shared libraries count here, and not for the limit


def test_limits_are_checked(tmp_path):
    for wrong in ({"seconds": 0}, {"seconds": float("nan")}, {"memory_bytes": -1}, {"output_bytes": 0}):
        with pytest.raises(ConfigurationError, match="expected a number above 0"):
            RunLimits(**wrong)
    suite = Suite(name="one", title="One", entries=(Entry(agent="uniform", steps=64, env=TINY),))
    with pytest.raises(ConfigurationError, match="need worker processes"):
        compare(suite, tmp_path, processes=0, limits=RunLimits(seconds=1.0))
    assert limits_of(0.5, 2.0) == RunLimits(seconds=30.0, memory_bytes=2 * 1024**3)


def test_the_system_without_memory_limits_says_so(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigurationError, match="memory cannot be limited on darwin"):
        RunLimits(memory_bytes=1)


def test_little_output_is_kept_as_it_is(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom textgym.benchmarks.limits import captured_output\n"
        "with captured_output(Path(sys.argv[1])):\n    print('one')\n    os.system('echo two')\n"
        "    print('three', file=sys.stderr)\nprint('four')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "o")], capture_output=True, text=True, check=True)
    assert sorted((tmp_path / "o").read_text(encoding="utf-8").split()) == ["one", "three", "two"]
    assert (done.stdout, done.stderr) == ("four\n", "")
    assert captured_output.__doc__
    cut_output(tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("minutes", "gigabytes", "message"),
    [
        (0.0, None, "--timeout 0: expected minutes"),
        (-3.0, 1.0, "--timeout -3"),
        (None, 0.0, "--memory 0: expected gig"),
    ],
)
def test_limits_are_named_as_they_were_given(minutes, gigabytes, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        limits_of(minutes, gigabytes)


def test_exit_codes_are_put_into_words():
    assert "killed (SIGSEGV), most often a crash in compiled code" in describe_exit(-11)[0]
    assert describe_exit(None) == ("the worker process died with exit code None", "died")
    assert describe_exit(-250)[0] == "the worker process was killed (signal 250)"
