"""Tracking: what happened, in JSONL always, in TensorBoard and Weights & Biases where they are asked for."""

import json
import sys
import time
import types

import pytest

from textgym.benchmarks import tracking
from textgym.benchmarks.comparison import compare
from textgym.benchmarks.ledger import Event
from textgym.benchmarks.records import Measure, RunResult, RunSpec
from textgym.benchmarks.suites import Entry, Suite
from textgym.benchmarks.tracking import FILE, Tracker, points_of, read_tracking
from textgym.errors import MissingDependencyError, UnknownNameError

SPEC = RunSpec(agent="uniform", env_id="TextGen-v0", steps=100, seed=3, env={"level": "tiny"}, config={"lanes": 4})


def result(**changes):
    curve = [
        {"steps": 50, "reward": 0.5, "gold": None, "n": 3},
        {"steps": 100, "reward": 0.75, "gold": 0.25, "n": 4},
    ]
    measure = Measure(play="greedy", split="all", score="gold", mean=-0.5, standard_error=0.1, normalized=0.875, n=10)
    settings = {"status": "ok", "steps": 96, "episodes": 7, "reward_calls": 6, "train_seconds": 2.0, "curve": curve}
    return RunResult(spec=SPEC, measures=[measure], **{**settings, **changes})


def finished(found):
    return Event(kind="finished", message="done", done=1, total=2, spec=found.spec, result=found)


def test_the_numbers_of_a_run_are_its_curve_and_then_its_evaluations():
    first, second, last = points_of(result())
    assert (first.step, first.values) == (50, {"training/reward": 0.5, "training/n": 3.0})
    assert (second.step, second.values["training/gold"]) == (100, 0.25)
    assert last.step == 100  # not before the end of the curve, although 96 tokens were written
    assert last.values == {
        "episodes": 7.0,
        "reward_calls": 6.0,
        "train_seconds": 2.0,
        "greedy/all/gold": -0.5,
        "greedy/all/gold/normalized": 0.875,
    }


def test_the_file_is_always_written_and_says_which_run(tmp_path):
    tracker = Tracker(tmp_path, clock=lambda: 12.3456)
    tracker(Event(kind="plan", message="2 runs", done=0, total=2))
    tracker(finished(result()))
    plan, done, *points = read_tracking(tmp_path)
    assert plan == {"event": "plan", "time": 12.346, "message": "2 runs", "done": 0, "total": 2}
    assert (done["event"], done["status"], done["seed"], done["agent"]) == ("finished", "ok", 3, "uniform")
    assert (done["environment"], done["run"]) == ("TextGen-v0(level=tiny)", SPEC.folder_name)
    assert [(point["event"], point["run"], point["step"]) for point in points] == [
        ("point", SPEC.folder_name, step) for step in (50, 100, 100)
    ]
    assert points[-1]["greedy/all/gold"] == -0.5


def test_progress_is_thinned_out(tmp_path):
    told = []
    tracker = Tracker(tmp_path, on_event=told.append)
    for steps in range(1, 101):
        tracker(Event(kind="progress", message="", done=0, total=1, spec=SPEC, steps=steps))
    assert [event.steps for event in told] == list(range(1, 101))  # who listens too hears everything
    assert [line["step"] for line in read_tracking(tmp_path)] == list(range(5, 101, 5))


def test_a_line_cut_off_by_a_kill_does_not_spoil_the_next(tmp_path):
    plan = Event(kind="plan", message="1 run", done=0, total=1)
    Tracker(tmp_path)(plan)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes() + b'{"event": "fini')
    Tracker(tmp_path)(plan)
    assert [line["event"] for line in read_tracking(tmp_path)] == ["plan", "plan"]


def test_a_comparison_tells_it_everything(tmp_path):
    entries = (
        Entry(agent="uniform", steps=64, env={"level": "tiny"}),
        Entry(agent="fake_agents:Crashing", steps=40, env={"level": "tiny"}, label="crashing"),
    )
    suite = Suite(name="small", title="small", entries=entries, seeds=(0,), episodes=10)
    (good, bad) = compare(suite, tmp_path, processes=0, on_event=Tracker(tmp_path))
    lines = list(read_tracking(tmp_path))
    assert [line["event"] for line in lines if line["event"] != "point"][:1] == ["plan"]
    ends = {line["agent"]: line for line in lines if line["event"] == "finished"}
    assert (ends["uniform"]["status"], ends["crashing"]["status"]) == ("ok", "failed")
    assert "the loss is <nan>" in ends["crashing"]["error"]
    scores = [line["greedy/all/gold"] for line in lines if "greedy/all/gold" in line]
    assert scores == [good.measure("greedy", "all", "gold").mean]
    told = [line for line in lines if line.get("run") == bad.spec.folder_name and "training/n" in line]
    curve = [line["training/reward"] for line in told]
    assert curve == [point["reward"] for point in bad.curve]


def test_what_cannot_be_tracked_says_so(tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match="Did you mean 'tensorboard'"):
        Tracker(tmp_path, ["tensorbord"])
    for package in ("tensorboard.compat.proto", "wandb"):
        monkeypatch.setitem(sys.modules, package, None)
    for sink in ("tensorboard", "wandb"):
        with pytest.raises(MissingDependencyError, match=f"--track {sink} needs the package '{sink}'"):
            Tracker(tmp_path, [sink])


def test_tensorboard_reads_what_is_written(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Tracker(tmp_path, ["tensorboard"])(finished(result()))
    read = EventAccumulator(str(tmp_path / "tensorboard" / SPEC.folder_name))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("training/reward")] == [(50, 0.5), (100, 0.75)]
    assert [(event.step, event.value) for event in read.Scalars("training/gold")] == [(100, 0.25)]
    assert [(event.step, event.value) for event in read.Scalars("greedy/all/gold/normalized")] == [(100, 0.875)]


class FakeRun:
    def __init__(self, settings):
        self.settings, self.logged, self.exit_code = settings, [], None

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self, exit_code):
        self.exit_code = exit_code


@pytest.mark.parametrize(("variable", "mode"), [(None, "offline"), ("online", "online")])
def test_weights_and_biases_is_offline_unless_the_user_says_otherwise(variable, mode, tmp_path, monkeypatch):
    runs = []
    fake = types.SimpleNamespace(
        init=lambda **settings: runs.append(FakeRun(settings)) or runs[-1], Settings=types.SimpleNamespace
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)  # the real one takes seconds to import
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    tracker = Tracker(tmp_path, ["wandb"])
    tracker(finished(result(status="failed")))
    (run,) = runs
    assert (run.settings["mode"], run.settings["dir"], run.settings["project"]) == (mode, str(tmp_path), "textgym")
    assert (run.settings["group"], run.settings["name"]) == ("TextGen-v0(level=tiny)", "uniform seed 3")
    assert run.settings["config"]["options"] == {"lanes": 4}
    assert [step for step, _ in run.logged] == [50, 100, 100]
    assert run.exit_code == 1


@pytest.mark.slow
def test_weights_and_biases_writes_an_offline_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    Tracker(tmp_path, ["wandb"])(finished(result()))
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    expected = (b"training/reward", b"greedy/all/gold/normalized", b"uniform seed 3")
    deadline = time.monotonic() + 60  # its service writes the file by itself, shortly after the end of the run
    while not all(name in file.read_bytes() for name in expected):
        assert time.monotonic() < deadline, file.read_bytes()
    assert not list((tmp_path / "wandb").glob("run-*"))  # nothing that has been sent


def test_sinks_are_named_for_the_command_line():
    assert set(tracking.SINKS) == {"tensorboard", "wandb"}
    assert json.loads(tracking._as_json({"f": len})) == {"f": "builtins:len"}
