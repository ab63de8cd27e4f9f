"""A comparison keeps what is finished, counts what failed, and goes on where it stopped."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from textgym.benchmarks import ledger_file, run_keys
from textgym.benchmarks.comparison import compare, read_plan, read_problems, read_results
from textgym.benchmarks.folder_lock import locked
from textgym.benchmarks.records import RunResult, versions
from textgym.benchmarks.report import build_report, table_lines
from textgym.benchmarks.suites import SUITES, Entry, Suite, get_suite
from textgym.errors import ConfigurationError, UnknownNameError

TINY = {"level": "tiny"}


def small(*entries, seeds=(0,)):
    return Suite(name="small", title="A small comparison", entries=entries, seeds=seeds, episodes=10)


UNIFORM = Entry(agent="uniform", steps=512, env=TINY)
TABLE = Entry(agent="q_learning", steps=4000, env=TINY)


def test_end_to_end_in_worker_processes(tmp_path):
    events = []
    suite = small(UNIFORM, TABLE, Entry(agent="fake_agents:Crashing", steps=40, env=TINY, label="crashing"))
    results = compare(suite, tmp_path, seeds=[0, 1], processes=2, on_event=events.append)
    assert [(r.spec.label, r.spec.seed, r.status) for r in results] == [
        (label, seed, status)
        for seed in (0, 1)
        for label, status in (("uniform", "ok"), ("q_learning", "ok"), ("crashing", "failed"))
    ]
    assert sorted(r.spec.key for r in read_results(tmp_path)) == sorted(r.spec.key for r in results)
    for result in results:
        folder = tmp_path / result.spec.folder_name
        assert (folder / "run.json").is_file()
        assert (folder / "agent").is_dir() == (result.status == "ok")
    kinds = [event.kind for event in events]
    assert kinds[0] == "plan"
    assert kinds.count("started") == kinds.count("finished") == 6
    assert events[-1].done == events[-1].total == 6
    assert "FAILED: in learn: FloatingPointError" in " ".join(event.message for event in events)
    table = table_lines(tmp_path)
    assert "q_learning" in table[2]  # best first
    assert any("crashing" in line and "0/2, 2 failed" in line for line in table)
    assert "FloatingPointError" in build_report(tmp_path).read_text(encoding="utf-8")


def test_workers_and_this_process_give_the_same_numbers(tmp_path):
    suite = small(TABLE)
    (here,) = compare(suite, tmp_path / "here", processes=0)
    (there,) = compare(suite, tmp_path / "there", processes=1)
    assert here.measures == there.measures
    assert here.curve == there.curve


def test_a_worker_that_dies_is_a_failed_run(tmp_path):
    (result,) = compare(small(Entry(agent="fake_agents:Dying", steps=40, env=TINY)), tmp_path, processes=1)
    assert result.status == "failed"
    assert "exit code 7" in result.error
    assert "exit code 7" in read_results(tmp_path)[0].error


def test_what_cannot_be_sent_to_a_worker_is_a_failed_run(tmp_path):
    entry = Entry(agent="uniform", steps=40, env={**TINY, "reward": lambda prompt, completion: 0.0})
    (result,) = compare(small(entry), tmp_path, processes=1)
    assert result.status == "failed"
    assert "cannot be sent to another process" in result.error


def without_costs(ledger):
    lines = (ledger if isinstance(ledger, bytes) else ledger.read_bytes()).splitlines()
    return [RunResult.from_json(json.dumps(json.loads(line)["record"])).without_costs() for line in lines]


def test_started_again_only_what_is_missing_is_run(tmp_path):
    suite, events = small(UNIFORM, Entry(agent="fake_agents:Crashing", steps=40, env=TINY)), []
    compare(suite, tmp_path, processes=0)
    before = (tmp_path / "ledger.jsonl").read_bytes()
    again = compare(suite, tmp_path, processes=0, on_event=events.append)
    assert [event.kind for event in events] == ["plan"]
    assert "2 of 2 runs finished, 1 failed earlier" in events[0].message
    assert (tmp_path / "ledger.jsonl").read_bytes() == before
    assert [result.status for result in again] == ["ok", "failed"]
    compare(suite, tmp_path, seeds=[0, 1], processes=0, on_event=events.append)
    assert [event.kind for event in events].count("started") == 2
    assert (tmp_path / "ledger.jsonl").read_bytes().startswith(before)


def test_a_changed_budget_is_refused_and_named(tmp_path):
    compare(small(UNIFORM), tmp_path, processes=0)
    with pytest.raises(ConfigurationError, match=r"uniform on TextGen-v0: steps was 512, now 256\. Go on"):
        compare(small(UNIFORM), tmp_path, budget=0.5, processes=0)
    assert [run["steps"] for run in read_plan(tmp_path)["runs"]] == [512]  # nothing was touched


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"config": {"learning_rate": 0.5}}, "config.learning_rate was 1.0, now 0.5"),
        ({"env": {"level": "tiny", "max_new_tokens": 3}}, "env.max_new_tokens was not given, now 3"),
        ({"reward_calls": 7}, "reward_calls was not given, now 7"),
    ],
)
def test_a_changed_entry_is_refused_and_named(change, field, tmp_path):
    compare(small(UNIFORM, TABLE), tmp_path, processes=0)
    with pytest.raises(ConfigurationError, match=f"q_learning on TextGen-v0: {field}"):
        compare(small(UNIFORM, replace(TABLE, **change)), tmp_path, processes=0)


def test_changed_code_is_refused_and_named(tmp_path, monkeypatch):
    compare(small(UNIFORM), tmp_path, processes=0)
    changed = {**versions(), "numpy": "9.9"}
    monkeypatch.setattr(run_keys, "_versions", lambda: tuple(changed.items()))
    with pytest.raises(ConfigurationError, match=r"versions.numpy was '2.*', now '9.9'\. Go on"):
        compare(small(UNIFORM), tmp_path, processes=0)


def test_other_seeds_agents_and_environments_may_be_added(tmp_path):
    compare(small(UNIFORM), tmp_path, processes=0)
    more = small(UNIFORM, TABLE, Entry(agent="uniform", steps=512, env_id="TextGen/Copy-v0"), seeds=(0, 1))
    assert len(compare(more, tmp_path, processes=0)) == 6
    assert len(compare(small(TABLE), tmp_path, processes=0)) == 1
    both = small(UNIFORM, Entry(agent="uniform", steps=64, env={"level": "easy"}))
    assert len(compare(both, tmp_path, processes=0)) == 2  # the same agent on another level, besides
    assert len(read_results(tmp_path)) == 7


def test_new_moves_what_is_there_aside(tmp_path):
    out, events = tmp_path / "out", []
    compare(small(UNIFORM), out, processes=0)
    before = (out / "ledger.jsonl").read_bytes()
    (result,) = compare(small(UNIFORM), out, budget=0.5, processes=0, resume=False, on_event=events.append)
    assert result.spec.steps == 256
    assert len(read_results(out)) == 1
    assert (tmp_path / "out-1" / "ledger.jsonl").read_bytes() == before
    assert events[0].message == f"what was in {out} is now in {out}-1"
    compare(small(UNIFORM), out, processes=0, resume=False)
    assert (tmp_path / "out-2").is_dir()
    compare(small(UNIFORM), tmp_path / "fresh", processes=0, resume=False)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["fresh", "out", "out-1", "out-2"]


def test_two_comparisons_in_one_folder_are_refused(tmp_path):
    with locked(tmp_path), pytest.raises(ConfigurationError, match="another process is running"):
        compare(small(UNIFORM), tmp_path, processes=0)
    assert len(compare(small(UNIFORM), tmp_path, processes=0)) == 1


def test_a_folder_that_nothing_can_be_written_into_is_one_sentence(tmp_path):
    (tmp_path / ".lock").mkdir()  # stands in for a folder that is read-only, which nothing is to an administrator
    with pytest.raises(ConfigurationError, match="nothing can be written into .*; give another folder"):
        compare(small(UNIFORM), tmp_path, processes=0)


def test_a_ledger_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(ledger_file.os, "fsync", full)
        with pytest.raises(ConfigurationError, match="No space left on device. What is finished is kept"):
            compare(small(UNIFORM), tmp_path, processes=0)
    assert len(compare(small(UNIFORM), tmp_path, processes=0)) == 1


def test_a_folder_that_cannot_be_renamed_is_one_sentence(tmp_path, monkeypatch):
    out = tmp_path / "out"
    compare(small(UNIFORM), out, processes=0)

    def refuse(self, target):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(ConfigurationError, match="cannot be given another name: Permission denied"):
        compare(small(UNIFORM), out, processes=0, resume=False)


def test_the_same_run_under_two_labels_is_refused(tmp_path):
    twin = replace(UNIFORM, label="twin")
    with pytest.raises(ConfigurationError, match="uniform and twin are the same run"):
        compare(small(UNIFORM, twin), tmp_path, processes=0)


def test_a_line_cut_off_by_a_kill_is_run_again(tmp_path):
    suite = small(UNIFORM, TABLE)
    compare(suite, tmp_path, processes=0)
    path = tmp_path / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert len(read_results(tmp_path)) == 1
    events = []
    compare(suite, tmp_path, processes=0, on_event=events.append)
    assert "cut off by a kill" in events[0].message
    assert [event.spec.label for event in events if event.kind == "started"] == ["q_learning"]
    assert without_costs(path) == without_costs(whole)


def test_interrupted_what_is_finished_stays_and_workers_are_ended(tmp_path):
    started = []

    def stop_at_the_first_result(event):
        if event.kind == "finished":
            raise KeyboardInterrupt
        started.append(event)

    endless = Entry(agent="uniform", steps=10**9, env=TINY, label="endless")
    with pytest.raises(KeyboardInterrupt):
        compare(small(endless, UNIFORM), tmp_path, processes=2, on_event=stop_at_the_first_result)
    assert [result.spec.label for result in read_results(tmp_path)] == ["uniform"]
    assert started[-1].kind == "interrupted"
    assert "1 of 2 runs finished" in started[-1].message
    page = build_report(tmp_path).read_text(encoding="utf-8")
    assert "1 of 2 runs are in this report" in page
    assert multiprocessing.active_children() == []


SCRIPT = """
import multiprocessing
import sys
from textgym.benchmarks.comparison import compare
from textgym.benchmarks.suites import Entry, Suite

if __name__ == "__main__":
    env = {"level": "tiny"}
    endless = Entry(agent="uniform", steps=10**9, env=env, label="endless")
    entries = (Entry(agent="uniform", steps=512, env=env), endless)
    suite = Suite(name="small", title="small", entries=entries, seeds=(0,), episodes=10)
    try:
        compare(suite, sys.argv[1], processes=2, on_event=lambda event: print(event.kind, flush=True))
    finally:
        print("workers left:", len(multiprocessing.active_children()))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends a signal to a process group")
def test_ctrl_c_on_a_terminal(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, str(script), str(tmp_path / "out")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while process.stdout.readline().strip() != "finished":
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert "interrupted" in output
    assert errors.count("Traceback") == 1  # the parent's own KeyboardInterrupt, nothing from the workers
    assert [result.status for result in read_results(tmp_path / "out")] == ["ok"]
    assert "workers left: 0" in output


@pytest.mark.parametrize("text", ['{"suite": ', "[1]"])
def test_a_damaged_plan_is_an_error_that_says_what_to_do(text, tmp_path):
    (tmp_path / "plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"plan\.json' is damaged .*start the comparison again"):
        build_report(tmp_path)


def test_the_plan_says_what_is_to_be_run(tmp_path):
    compare(small(UNIFORM, seeds=(3, 5)), tmp_path, processes=0)
    plan = read_plan(tmp_path)
    assert (plan["suite"], plan["title"]) == ("small", "A small comparison")
    assert [run["seed"] for run in plan["runs"]] == [3, 5]
    assert set(plan["versions"]) >= {"python", "numpy"}


def test_a_folder_without_a_comparison_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="holds no comparison"):
        read_results(tmp_path)
    (tmp_path / "ledger.jsonl").write_text('{"a": 1}\n', encoding="utf-8")
    assert read_results(tmp_path) == []
    assert "line 1 is no record" in read_problems(tmp_path)[0]


def test_suites_are_checked():
    demo = get_suite("demo")
    assert {entry.agent for entry in demo.entries} == {"uniform", "q_learning", "dqn", "ppo"}
    assert len(demo.specs()) == 4 * len(demo.seeds)
    assert [spec.agent for spec in demo.specs(seeds=[4], agents=["ppo"])] == ["ppo"]
    assert demo.specs(budget=0.1)[0].steps == demo.entries[0].steps // 10
    with pytest.raises(UnknownNameError, match="Did you mean 'demo'"):
        get_suite("dem")
    with pytest.raises(UnknownNameError, match="Did you mean 'ppo'"):
        demo.specs(agents=["pppo"])
    for wrong in ({"budget": 0}, {"budget": float("nan")}, {"seeds": []}, {"seeds": [1, 1]}, {"seeds": [-1]}):
        with pytest.raises(ConfigurationError):
            demo.specs(**wrong)
    with pytest.raises(ConfigurationError, match="one label"):
        small(UNIFORM, UNIFORM).specs()
    with pytest.raises(ConfigurationError, match="processes"):
        compare(small(UNIFORM), Path("unused"), processes=-1)


def test_every_suite_serialises():
    for suite in SUITES.values():
        for spec in suite.specs():
            assert json.loads(json.dumps(spec.parts()))["agent"] == spec.agent
