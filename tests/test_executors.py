"""Executors are chosen by name, and what travels between machines arrives as it was."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from textgym.benchmarks.comparison import compare, read_results
from textgym.benchmarks.executors import InThisProcess, LocalProcesses, make_executor
from textgym.benchmarks.ledger import Ledger
from textgym.benchmarks.limits import RunLimits
from textgym.benchmarks.records import RunSpec
from textgym.benchmarks.run_keys import changes_here, own_modules, seal
from textgym.benchmarks.shipping import importable, own_sources, pack, unpack, work_folder
from textgym.benchmarks.suites import Entry, Suite
from textgym.benchmarks.workers import AnotherRunError, turns
from textgym.cli import app
from textgym.errors import ConfigurationError, MissingDependencyError, UnknownNameError

TINY = {"level": "tiny"}
SUITE = Suite(
    name="small", title="Small", entries=(Entry(agent="uniform", steps=512, env=TINY),), seeds=(0, 1), episodes=5
)


def spec(agent="uniform", **more):
    return RunSpec(agent=agent, env_id="TextGen-v0", steps=40, seed=0, env=TINY, episodes=5, **more)


def length(prompt, completion):
    """A reward of one's own."""
    return float(len(completion))


def test_executors_are_chosen_by_name():
    assert make_executor(processes=0) == InThisProcess()
    limits = RunLimits(seconds=3.0)
    assert make_executor("local", processes=2, limits=limits) == LocalProcesses(processes=2, limits=limits)
    with pytest.raises(UnknownNameError, match="unknown executor 'loacl'. Did you mean 'local'"):
        make_executor("loacl")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"processes": -1}, "processes=-1: expected a number of workers"),
        ({"processes": 0, "limits": RunLimits(seconds=1.0)}, "limits of time and memory need worker processes"),
        ({"address": "10.0.0.1:6379"}, "address='10.0.0.1:6379' is for the executor 'ray'"),
        ({"name": "ray", "processes": 0}, "processes=0 means this process"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        make_executor(**arguments)


class Backwards:
    """An executor of one's own."""

    def run(self, specs, ledger):
        InThisProcess().run(list(reversed(specs)), ledger)


def test_an_executor_of_ones_own_will_do(tmp_path):
    results = compare(SUITE, tmp_path, executor=Backwards())
    assert [result.spec.seed for result in results] == [0, 1]
    assert [result.spec.seed for result in read_results(tmp_path)] == [1, 0]
    with pytest.raises(ConfigurationError, match="processes, limits and address belong to the executor"):
        compare(SUITE, tmp_path, executor=Backwards(), processes=2)


def test_without_ray_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'textgym\[ray\]'"):
        compare(SUITE, tmp_path / "out", executor="ray")
    assert not (tmp_path / "out").exists()


def test_ray_is_imported_only_when_it_is_asked_for(tmp_path):
    code = """
import sys
from textgym.benchmarks import comparison, executors, suites
suite = suites.Suite(name="s", title="s", seeds=(0,), episodes=5,
                     entries=(suites.Entry(agent="uniform", steps=64, env={"level": "tiny"}),))
comparison.compare(suite, sys.argv[1], processes=0)
print([name for name in ("ray", "torch") if name in sys.modules])
"""
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--executor", "slurm"], "unknown executor 'slurm'. Did you mean one of these: local, ray"),
        (["--address", "10.0.0.1:6379"], "address='10.0.0.1:6379' is for the executor 'ray'"),
    ],
)
def test_the_command_refuses_it_before_it_touches_anything(words, message, tmp_path):
    found = CliRunner().invoke(app, ["bench", "run", "--out", str(tmp_path / "out"), *words])
    assert message in str(found.exception)
    assert not (tmp_path / "out").exists()


# ---- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["10.0.0.1", "ray://10.0.0.1:10001", "head:port", ":6379"])
def test_an_address_that_is_none_is_refused(address, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(ConfigurationError, match=f"address='{address}': expected HOST:PORT of the head node"):
        compare(SUITE, tmp_path, executor="ray", address=address)


def test_a_port_where_nobody_listens_is_refused(tmp_path):
    pytest.importorskip("ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=f"nothing answers at the Ray address '{address}'.*ray status"):
            compare(SUITE, tmp_path, executor="ray", address=address)
    assert read_results(tmp_path) == []


def test_a_port_where_something_else_listens_is_refused():
    pytest.importorskip("ray")
    from textgym.benchmarks.ray_connection import check_answers

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=f"no Ray cluster answered at '{address}' within 3 s. Check that"):
            check_answers(address, seconds=3.0)


# ---- what travels ----------------------------------------------------------------------------------------------------


@pytest.fixture
def laboratory(tmp_path, monkeypatch):
    """A package of one's own, and a single module beside it."""
    package = tmp_path / "shop" / "mylab" / "inner"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("", encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "agent.py").write_text("from .. import sizes\n\n\nclass Agent:\n    pass\n", encoding="utf-8")
    (package.parent / "sizes.py").write_text("import helpers_of_mine\nimport numpy\n", encoding="utf-8")
    (tmp_path / "shop" / "helpers_of_mine.py").write_text("ONE = 1\n", encoding="utf-8")
    (package.parent / "unused.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "shop")
    return tmp_path


def test_modules_of_ones_own_are_found_wherever_a_run_names_them():
    assert own_modules(spec("mylab.agent:Agent", config={"net": {"head": "mylab.heads:Wide"}})) == {
        "mylab.agent",
        "mylab.heads",
    }
    assert own_modules(replace(spec(), env={**TINY, "reward": length})) == {"test_executors"}
    assert own_modules(spec("q_learning")) == own_modules(spec("textgym.agents.q_learning:QLearning")) == set()


def test_their_sources_travel_with_what_they_import_from_beside_them(laboratory):
    found = own_sources([spec("mylab.inner.agent:Agent"), spec("numpy.linalg:Agent"), spec("json:Agent")])
    names = ["__init__.py", "inner/__init__.py", "inner/agent.py", "sizes.py"]
    assert sorted(found) == sorted([*(f"mylab/{name}" for name in names), "helpers_of_mine.py"])
    assert found["mylab/inner/agent.py"] == (laboratory / "shop/mylab/inner/agent.py").read_bytes()
    assert own_sources([spec()]) == {}


def test_sources_that_arrived_are_imported_by_a_process_started_meanwhile(laboratory, tmp_path, monkeypatch):
    found = own_sources([spec("mylab.inner.agent:Agent")])
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(laboratory / "shop")])
    before = list(sys.path)
    with importable(found, tmp_path / "sources"):
        assert sys.path == [*before, str(tmp_path / "sources")]  # last, so that what is there is taken first
        assert (tmp_path / "sources/mylab/inner/agent.py").is_file()
    assert sys.path == before


def test_what_stands_in_the_script_itself_cannot_travel():
    with pytest.raises(ConfigurationError, match=r"in the script that is running \(__main__\).*move it into a module"):
        own_sources([spec("__main__:Agent")])


def test_a_folder_arrives_as_it_was(tmp_path):
    (tmp_path / "a" / "agent").mkdir(parents=True)
    (tmp_path / "a" / "run.json").write_bytes(b"{}\r\n")
    (tmp_path / "a" / "agent" / "weights").write_bytes(bytes(range(256)))
    files = pack(tmp_path / "a", 260)
    unpack(files, tmp_path / "b")
    assert pack(tmp_path / "b") == files == {"run.json": b"{}\r\n", "agent/weights": bytes(range(256))}
    with pytest.raises(ConfigurationError, match=r"holds 260 bytes, most of them in agent/weights; at most 259 are"):
        pack(tmp_path / "a", 259)


@pytest.mark.parametrize("name", ["../outside", "/outside", "agent/../../outside"])
def test_nothing_is_written_outside_of_the_folder(name, tmp_path):
    with pytest.raises(ConfigurationError, match="leads out of the folder"):
        unpack({"run.json": b"{}", name: b""}, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_what_killed_workers_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with work_folder() as mine:
        left = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
        left.mkdir()
        with work_folder():
            assert (mine.is_dir(), left.is_dir()) == (True, os.name == "nt")
    assert not mine.is_dir()


# ---- a worker that is not what the driver takes it for ---------------------------------------------------------------


OWN_AGENT = """
from fake_agents import Steady


class Agent(Steady):
    width = 1
"""


def test_a_source_that_changes_while_the_comparison_runs_makes_no_run(tmp_path, monkeypatch):
    source = tmp_path / "agent_that_is_edited.py"
    source.write_text(OWN_AGENT, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    entry = Entry(agent="agent_that_is_edited:Agent", steps=40, env=TINY)
    suite = replace(SUITE, entries=(entry,))

    def edit(event):
        if event.kind == "finished":
            source.write_text(OWN_AGENT.replace("width = 1", "width = 2"), encoding="utf-8")

    with pytest.raises(AnotherRunError, match=r"changed while the comparison ran: agent_that.*: agent_source was '"):
        compare(suite, tmp_path / "out", processes=1, on_event=edit)
    assert [result.spec.seed for result in read_results(tmp_path / "out")] == [0]
    source.write_text(f"# a comment changes nothing\n{OWN_AGENT}", encoding="utf-8")
    assert [result.status for result in compare(suite, tmp_path / "out", processes=1)] == ["ok", "ok"]
    assert not list((tmp_path / "out").glob(".*.partial"))


def test_other_versions_and_sources_are_named():
    (sealed,) = seal([spec("q_learning")])
    assert changes_here(sealed) == []
    other = {**sealed.facts["versions"], "numpy": "9.9"}
    changed = replace(sealed, facts={**sealed.facts, "versions": other, "agent_source": "0" * 64})
    here = sealed.facts
    assert [str(change) for change in changes_here(changed)] == [
        f"agent_source was '000000000000000...', now '{here['agent_source'][:15]}...'",
        f"versions.numpy was '9.9', now '{here['versions']['numpy']}'",
    ]
    assert changes_here(spec()) == []  # nothing is known of it


def test_a_process_refuses_a_run_that_would_be_another_one(tmp_path):
    (sealed,) = seal([spec()])
    changed = replace(sealed, facts={**sealed.facts, "versions": {**sealed.facts["versions"], "numpy": "9.9"}})
    ledger = Ledger(tmp_path, [changed])
    with pytest.raises(ConfigurationError, match=r"uniform on TextGen-v0 would be another run: versions.numpy"):
        list(turns([changed], ledger, 1))
    assert ledger.results == {}
    assert not [path for path in Path(tmp_path).rglob("*") if path.is_file()]
