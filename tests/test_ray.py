"""Runs on a Ray cluster give what they give here, and whatever dies meanwhile, each of them is recorded once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest

from textgym.benchmarks import run_keys
from textgym.benchmarks.comparison import compare, read_problems, read_results
from textgym.benchmarks.ledger_file import LEDGER
from textgym.benchmarks.limits import RunLimits
from textgym.benchmarks.ray_cluster import RayTasks
from textgym.benchmarks.ray_connection import connected
from textgym.benchmarks.records import versions
from textgym.benchmarks.suites import Entry, Suite
from textgym.errors import ConfigurationError

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="kills processes"),
    # Ray leaves the pipes and processes of its cluster to its own exit handlers.
    pytest.mark.filterwarnings("ignore:(subprocess|unclosed):ResourceWarning"),
]

TINY = {"level": "tiny"}
UNIFORM = Entry(agent="uniform", steps=6400, env=TINY)
TABLE = Entry(agent="q_learning", steps=20_000, env=TINY, config={"lanes": 8})
DEADLINE = 90.0


def suite(*entries, seeds=(0,)):
    return Suite(name="onray", title="On Ray", entries=entries, seeds=seeds, episodes=10)


def fake(name, label=None, **config):
    return Entry(agent=f"fake_agents:{name}", steps=40, env=TINY, label=label or name, config=config)


def numbers(out):
    """Key -> record without costs and the paths of a traceback; a ledger that is not in order fails."""
    assert read_problems(out) == []
    return {result.spec.key: {**result.without_costs(), "trace": ""} for result in read_results(out)}


def lines(out):
    return [json.loads(line)["key"] for line in (out / LEDGER).read_bytes().splitlines()]


@pytest.fixture(scope="module")
def cluster():
    """A cluster of this process's own, with two cores."""
    before = signal.getsignal(signal.SIGTERM)
    with connected(cores=2):
        yield
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture(scope="module")
def mixed(cluster, tmp_path_factory):
    """Runs that go well, fail, cannot be sent, and kill the worker under them; and what was told of them."""
    folder, told = tmp_path_factory.mktemp("mixed"), []
    unsendable = Entry(agent="uniform", steps=40, env={**TINY, "reward": lambda prompt, text: 0.0}, label="lambda")
    entries = [UNIFORM, TABLE, fake("Crashing"), fake("Parricidal", note=1), unsendable]
    with contextlib.chdir(folder):
        compare(suite(*entries), folder / "ray", executor=RayTasks(), on_event=told.append)
        compare(suite(*entries[:-1]), folder / "here", processes=0)  # the parricide has done what it wanted to
    return folder, told


def test_results_equal_those_made_here(mixed):
    folder, _ = mixed
    there, here = numbers(folder / "ray"), numbers(folder / "here")
    assert {there[key]["spec"]["label"] for key in here} == {"uniform", "q_learning", "Crashing", "Parricidal"}
    assert {key: there[key] for key in here} == here


def test_folders_are_complete_and_nothing_else_is_left(mixed):
    folder, _ = mixed
    results = {result.spec.label: result for result in read_results(folder / "ray")}
    for label, result in results.items():
        place = folder / "ray" / result.spec.folder_name
        assert json.loads((place / "run.json").read_text(encoding="utf-8"))["spec"]["label"] == label
        assert (place / "agent" / "agent.json").is_file() == (result.status == "ok")
        assert (place / "output.txt").is_file() == (label != "lambda")
    machine = (folder / "ray" / results["uniform"].spec.folder_name / "machine.json").read_text(encoding="utf-8")
    assert set(json.loads(machine)["threads"].values()) == {"1"}
    assert len([item for item in (folder / "ray").iterdir() if item.is_dir()]) == len(results)


def test_a_run_that_fails_is_recorded_and_not_tried_again(mixed):
    folder, told = mixed
    failed = {result.spec.label: result.error for result in read_results(folder / "ray") if result.status != "ok"}
    assert set(failed) == {"Crashing", "lambda"}
    assert "FloatingPointError: the loss is <nan>" in failed["Crashing"]
    assert "cannot be sent to another process" in failed["lambda"]
    begun = [event.spec.label for event in told if event.kind == "started"]
    assert begun.count("Crashing") == 1


def test_a_worker_that_dies_has_its_run_begun_anew_and_recorded_once(mixed):
    folder, told = mixed
    (note,) = [event.message for event in told if event.kind == "note"]
    assert note.startswith("Parricidal seed 0: its Ray worker or machine is gone (WorkerCrashedError); begun anew, att")
    assert note.endswith("attempt 2 of 4")
    begun = [event.spec.label for event in told if event.kind == "started"]
    assert begun.count("Parricidal") == 2
    assert len(lines(folder / "ray")) == len(set(lines(folder / "ray"))) == 5
    assert [event.kind for event in told].count("finished") == 5


def test_started_again_nothing_is_left_to_do(mixed):
    folder, _ = mixed
    before, told = (folder / "ray" / LEDGER).read_bytes(), []
    compare(suite(UNIFORM, TABLE), folder / "ray", executor=RayTasks(address="127.0.0.1:1"), on_event=told.append)
    assert [event.kind for event in told] == ["plan"]
    assert (folder / "ray" / LEDGER).read_bytes() == before


def test_who_is_late_is_stopped_and_who_writes_too_much_fails(cluster, tmp_path):
    limits = RunLimits(seconds=0.06)
    (late,) = compare(suite(fake("Hanging")), tmp_path / "late", executor=RayTasks(limits=limits))
    assert (late.status, late.failure) == ("failed", "timeout")
    assert "stopped after 0.001 minutes, the time limit of a run" in late.error
    large_of = RayTasks(folder_bytes=30_000)
    (large,) = compare(suite(TABLE), tmp_path / "large", executor=large_of)
    assert (large.status, large.stage) == ("failed", "sending its folder")
    assert "at most 30,000 are sent back from another machine" in large.error
    assert large.steps > 19_000
    assert not (tmp_path / "large" / large.spec.folder_name / "agent").exists()


def test_a_cluster_with_other_versions_is_refused(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(run_keys, "_versions", lambda: tuple({**versions(), "numpy": "9.9"}.items()))
    with pytest.raises(ConfigurationError, match=r"is refused: uniform on .* versions\.numpy was '9\.9', now '2\."):
        compare(suite(UNIFORM), tmp_path, executor=RayTasks())
    assert read_results(tmp_path) == []


def test_another_address_than_the_connected_one_is_refused(cluster, tmp_path):
    with pytest.raises(ConfigurationError, match=r"is connected to the Ray cluster .*, not '10\.0\.0\.1:6379'"):
        compare(suite(UNIFORM), tmp_path, executor="ray", address="10.0.0.1:6379")


@pytest.mark.slow
def test_after_so_many_workers_the_run_is_recorded_as_lost(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    executor = RayTasks(attempts=2)
    lost, fine = compare(suite(fake("Parricidal", note=9), UNIFORM), tmp_path / "out", executor=executor)
    assert (lost.status, lost.failure, fine.status) == ("failed", "died", "ok")
    assert "2 Ray workers or machines died under this run" in lost.error
    assert (tmp_path / "out" / lost.spec.folder_name / "run.json").is_file()
    assert len(list(tmp_path.glob("parricide-*"))) == 2


# ---- processes that are killed ---------------------------------------------------------------------------------------

SCRIPT = """
import signal
import sys
from textgym.benchmarks.comparison import compare
from textgym.benchmarks.suites import Entry, Suite

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
    out, executor, address, steps, seeds = sys.argv[1:]
    env = {"level": "tiny"}
    entries = (
        Entry(agent="uniform", steps=6400, env=env),
        Entry(agent="q_learning", steps=int(steps), env=env, config={"lanes": 8}),
        Entry(agent="fake_agents:Crashing", steps=40, env=env),
    )
    suite = Suite(name="killed", title="Killed", entries=entries, seeds=range(int(seeds)), episodes=20)
    compare(suite, out, processes=2 if executor == "local" or not address else None, executor=executor,
            address=address or None, on_event=lambda event: print(event.kind, event.message, flush=True))
"""


def start(folder, out, *, executor="ray", address="", steps=20_000, seeds=1, mark=""):
    script = folder / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "TEXTGYM_MARK": mark}
    command = [sys.executable, str(script), str(out), executor, address, str(steps), str(seeds)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def read_until(process, kind, *, count=1):
    """Reads what a driver tells until it has told so often of one kind of event."""
    read = []
    while count:
        line = process.stdout.readline()
        assert line, f"the driver ended too early: {''.join(read)}"
        read.append(line)
        count -= line.startswith(kind)
    return "".join(read)


def processes(mark):
    """Every process that inherited a mark: its number -> its command."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"TEXTGYM_MARK={mark}".encode() in (place / "environ").read_bytes():
                command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if command:  # else it is a zombie
                    found[int(place.name)] = command
    return found


def stat(process):
    """The fields of /proc/PID/stat from the state on."""
    return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()


def busiest(mark):
    """The run that has computed longest, the worker that watches over it, and the node's own process."""
    runs = [process for process, command in processes(mark).items() if "spawn_main" in command]
    run = max(runs, key=lambda process: int(stat(process)[11]))
    worker = int(stat(run)[1])
    return run, worker, int(stat(worker)[1])


def descendants(ancestor, mark):
    """All processes below one, among those with a mark."""
    parents = {process: int(stat(process)[1]) for process in processes(mark)}
    found = {ancestor}
    for _ in parents:
        found |= {process for process, parent in parents.items() if parent in found}
    return found - {ancestor}


def wait_until(what, message):
    deadline = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < deadline, message
        threading.Event().wait(0.1)  # looking through all processes costs time that they need to end


linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")


@linux
@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_all_processes_end_with_the_driver(how, tmp_path):
    mark = uuid4().hex
    driver = start(tmp_path, tmp_path / "out", steps=10**8, mark=mark)
    try:
        told = read_until(driver, "progress q_learning")
        assert any("spawn_main" in command for command in processes(mark).values())  # the process of a run
        os.killpg(driver.pid, how) if how == signal.SIGINT else os.kill(driver.pid, how)
        wait_until(lambda: not processes(mark), f"outlived their driver: {processes(mark)}")
        told += driver.communicate(timeout=DEADLINE)[0]
    finally:
        for process in processes(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    assert ("\ninterrupted interrupted: " in told) == (how == signal.SIGINT)
    finished = read_results(tmp_path / "out") if (tmp_path / "out" / LEDGER).is_file() else []
    assert all(result.spec.label != "q_learning" for result in finished)
    assert not list((tmp_path / "out").glob(".*.partial"))


@pytest.fixture
def machines():
    """A head without cores, and three nodes with one each."""
    from ray.cluster_utils import Cluster

    mark = uuid4().hex
    before = os.environ.get("PYTHONPATH"), os.environ.get("TEXTGYM_MARK")
    os.environ["TEXTGYM_MARK"] = mark
    options = {"object_store_memory": 80 * 1024**2, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
    nodes = [made.add_node(num_cpus=1, object_store_memory=80 * 1024**2) for _ in range(3)]
    made.wait_for_nodes()
    try:
        yield made, nodes, mark
    finally:
        ray.shutdown()
        made.shutdown()
        for name, value in zip(("PYTHONPATH", "TEXTGYM_MARK"), before, strict=True):
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        for process in processes(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


@linux
@pytest.mark.slow
def test_a_node_and_a_worker_are_killed_and_nothing_is_lost(machines, tmp_path):
    made, nodes, mark = machines
    expected = start(tmp_path, tmp_path / "expected", executor="local", steps=400_000, seeds=3)
    assert "interrupted" not in expected.communicate(timeout=600)[0]
    out = tmp_path / "out"
    driver = start(tmp_path, out, address=made.address, steps=400_000, seeds=3)
    told = read_until(driver, "progress q_learning")
    _, worker, _ = busiest(mark)
    os.kill(worker, signal.SIGKILL)
    told += read_until(driver, "note")
    told += read_until(driver, "progress q_learning")
    _, _, raylet = busiest(mark)
    (node,) = [node for node in nodes if node.all_processes["raylet"][0].process.pid == raylet]
    below = descendants(raylet, mark)
    made.remove_node(node, allow_graceful=False)
    for process in below:  # without their node workers go on for a while, as they could not if a machine were lost
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    told += read_until(driver, "note")
    told += driver.communicate(timeout=600)[0]
    assert driver.returncode == 0, told
    assert told.count("begun anew, attempt") >= 2, told
    assert len(lines(out)) == len(set(lines(out))) == 9
    assert numbers(out) == numbers(tmp_path / "expected")
    assert not list(out.glob(".*.partial"))
    wait_until(lambda: not [c for c in processes(mark).values() if "spawn_main" in c], "a run outlived its comparison")
