"""The folder of a run holds all that is needed to understand and to repeat it, or is not there."""

import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from textgym.benchmarks import machine, run_files
from textgym.benchmarks.meter import Meter
from textgym.benchmarks.records import RunResult, RunSpec
from textgym.benchmarks.run_files import begin, move_aside, partial_folder, publish, remove_partial, write_run
from textgym.benchmarks.run_keys import seal
from textgym.benchmarks.runs import run

SPEC = RunSpec(agent="q_learning", env_id="TextGen-v0", steps=20_000, seed=0, env={"level": "easy"}, episodes=10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "run"
    run(seal([SPEC])[0], place)
    return place


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_everything_is_there(folder):
    names = {item.name for item in folder.iterdir()}
    assert names == {
        "agent", "config.json", "curve.jsonl", "exit.json", "machine.json", "packages.txt", "run.json", "texts.jsonl"
    }  # fmt: skip
    assert [item.name for item in folder.parent.iterdir()] == ["run"]


def test_the_config_is_all_that_the_key_is_made_of(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    known = {name: config[name] for name in asdict(SPEC) if name in config}
    assert RunSpec(**known).key == config["key"] == seal([SPEC])[0].key
    assert config["agent_config"]["learning_rate"] == 1.0
    assert config["facts"]["agent_config"] == config["agent_config"]


def test_twenty_texts_at_fixed_moments(folder):
    texts = read_lines(folder / "texts.jsonl")
    assert len(texts) == 20
    steps = np.array([text["steps"] for text in texts]).reshape(5, 4)
    assert (np.diff(steps.ravel()) >= 0).all()
    np.testing.assert_allclose(steps.mean(axis=1), np.linspace(0, 20_000, 5), atol=400)
    assert set(texts[0]) == {"steps", "prompt", "completion", "reward", "gold"}
    assert np.mean([text["reward"] for text in texts[-4:]]) > np.mean([text["reward"] for text in texts[:4]])


def test_curve_packages_machine_and_exit(folder):
    record = RunResult.from_json((folder / "run.json").read_text(encoding="utf-8"))
    assert read_lines(folder / "curve.jsonl") == record.curve != []
    packages = (folder / "packages.txt").read_text(encoding="utf-8").splitlines()
    assert f"numpy=={np.__version__}" in packages
    assert packages == sorted(packages, key=lambda line: line.partition("==")[0].lower())
    found = json.loads((folder / "machine.json").read_text(encoding="utf-8"))
    assert found["processor"]
    assert found["cores"] >= found["available_cores"] >= 1
    exit_state = json.loads((folder / "exit.json").read_text(encoding="utf-8"))
    assert exit_state == {"status": "ok", "failure": "", "stage": "", "error": "", "exit_code": 0}


def test_a_run_says_what_it_cost(folder):
    record = RunResult.from_json((folder / "run.json").read_text(encoding="utf-8"))
    assert record.cpu_seconds > 0.0
    assert record.peak_memory_bytes > 10_000_000
    assert (record.gpu, record.gpu_seconds) == ("", 0.0)
    assert "cpu_seconds" not in record.without_costs()


def test_texts_of_a_meter_that_saw_few():
    assert Meter(100).texts.describe()["moments"] == []


def test_a_repeated_run_replaces_the_earlier_attempt(tmp_path):
    for status in ("failed", "ok"):
        place = begin(tmp_path / "run")
        (place / status).mkdir()
        write_run(place, RunResult(spec=SPEC, status=status))
        publish(place, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "exit.json").read_text(encoding="utf-8"))["status"] == "ok"
    assert not (tmp_path / "run" / "failed").exists()
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


def test_files_of_somebody_else_stay(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine", encoding="utf-8")
    place = begin(tmp_path / "run")
    (place / "agent").mkdir()
    write_run(place, RunResult(spec=SPEC, status="ok"))
    publish(place, tmp_path / "run")
    assert (tmp_path / "run" / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "run" / "run.json").is_file()
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


def test_what_killed_processes_left_is_removed(tmp_path):
    (begin(tmp_path / "run") / "half").touch()
    partial_folder(tmp_path / "other", 17).mkdir()
    (tmp_path / "kept").mkdir()
    remove_partial(tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["kept"]


def test_a_folder_is_moved_to_the_first_free_name(tmp_path):
    out = tmp_path / "out"
    assert move_aside(out) is None
    for number in (1, 2, 3):
        out.mkdir()
        assert move_aside(out) is None  # there is nothing in it
        (out / "file").write_text(str(number), encoding="utf-8")
        moved = move_aside(out)
        assert moved == tmp_path / f"out-{number}"
        assert (moved / "file").read_text(encoding="utf-8") == str(number)


def test_a_gpu_is_named_and_its_time_counted(monkeypatch):
    class Cuda:
        is_initialized = staticmethod(lambda: True)
        get_device_name = staticmethod(lambda index: "Fast")
        device_count = staticmethod(lambda: 2)

    torch = type("Torch", (), {"cuda": Cuda, "get_num_threads": staticmethod(lambda: 1)})
    monkeypatch.setitem(machine.sys.modules, "torch", torch)
    clock = machine.CostClock()
    first, second = clock.read(), clock.read()
    assert 0.0 < first.gpu_seconds < second.gpu_seconds
    assert machine.describe()["gpu"] == machine.used_gpu() == "Fast"


def test_names_are_where_they_belong():
    assert run_files.OUTPUT == "output.txt"
    assert partial_folder(run_files.Path("a") / "run", 7) == run_files.Path("a") / ".run.7.partial"


CHILD = "from textgym.benchmarks.machine import peak_memory; print(peak_memory())"
PARENT = f"""
import subprocess, sys
held = b"x" * 400_000_000
print(subprocess.run([sys.executable, "-c", {CHILD!r}], capture_output=True, text=True, check=True).stdout)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a process is not charged for its parent")
def test_a_process_is_not_charged_for_the_memory_of_its_parent():
    printed = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, check=True).stdout
    assert 5_000_000 < int(printed) < 300_000_000
