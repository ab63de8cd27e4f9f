"""The ledger loses nothing that is finished, and believes nothing that was not written by the comparison."""

import json

import pytest

from textgym.benchmarks.comparison import compare, read_problems, read_results
from textgym.benchmarks.ledger import Ledger
from textgym.benchmarks.ledger_file import LEDGER, line_of, read_ledger
from textgym.benchmarks.records import RunResult, RunSpec
from textgym.benchmarks.report import build_report
from textgym.benchmarks.suites import Entry, Suite
from textgym.errors import ConfigurationError


def spec(seed=0, **more):
    return RunSpec(agent="uniform", env_id="TextGen-v0", steps=64, seed=seed, **more)


def write(folder, *lines):
    (folder / LEDGER).write_bytes(b"".join(lines))
    return folder / LEDGER


LINES = [line_of(RunResult(spec=spec(seed), status="ok", task="Ünïcode")) for seed in range(4)]


def test_a_line_has_its_key_and_is_json():
    line = json.loads(LINES[1])
    assert line["key"] == spec(1).key
    assert RunResult.from_json(json.dumps(line["record"])).spec == spec(1)
    assert LINES[1].count(b"\n") == 1


def test_what_is_written_is_read_in_its_order(tmp_path):
    contents = read_ledger(write(tmp_path, LINES[2], LINES[0], b"\n", LINES[1]))
    assert [result.spec.seed for result in contents.results.values()] == [2, 0, 1]
    assert (contents.problems, contents.torn) == ([], False)
    assert read_ledger(tmp_path / "none").results == {}


@pytest.mark.parametrize("cut", range(1, len(LINES[0]), 97))
def test_a_torn_last_line_is_healed_wherever_it_was_cut(cut, tmp_path):
    path = write(tmp_path, LINES[0], LINES[1][:cut])
    assert [result.spec.seed for result in read_results(tmp_path)] == [0]
    assert read_problems(tmp_path) == []
    told = []
    ledger = Ledger(tmp_path, [spec(0), spec(1)], told.append)
    assert path.read_bytes() == LINES[0]
    assert "cut off" in told[0].message
    ledger.finished(RunResult(spec=spec(1), status="ok", task="Ünïcode"))
    assert path.read_bytes() == LINES[0] + LINES[1]


EDITS = {
    "a number": (LINES[1].replace(b'"steps": 64', b'"steps": 65'), "edited"),
    "the status": (LINES[1].replace(b'"status": "ok"', b'"status": "no"'), "edited"),
    "the key": (LINES[1].replace(spec(1).key.encode(), spec(9).key.encode()), "edited"),
    "the checksum": (LINES[1].replace(b'"checksum": "', b'"checksum": "0')[:-1] + b"\n", "no record"),
    "spaces": (json.dumps(json.loads(LINES[1]), separators=(",", ":")).encode() + b"\n", "no record"),
    "rubbish": (b"rubbish\n", "no record"),
    "a list": (b"[]\n", "no record"),
    "a repetition": (LINES[0], "repeats line 1"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_or_repeated_line_is_reported_and_left_out(name, tmp_path):
    line, message = EDITS[name]
    path = write(tmp_path, LINES[0], line, LINES[2])
    before = path.read_bytes()
    assert [result.spec.seed for result in read_results(tmp_path)] == [0, 2]
    (problem,) = read_problems(tmp_path)
    assert f"{LEDGER}, line 2" in problem
    assert message in problem
    with pytest.raises(ConfigurationError, match=f"line 2.*{message}.*--new"):
        Ledger(tmp_path, [spec(0)])
    assert path.read_bytes() == before


def test_a_record_under_the_key_of_another_run_is_reported(tmp_path):
    swapped = RunResult(spec=spec(1), status="ok")
    swapped.spec.__dict__["key"] = spec(3).key
    write(tmp_path, line_of(swapped))
    assert read_results(tmp_path) == []
    assert "its key does not belong" in read_problems(tmp_path)[0]


def test_a_run_is_never_recorded_twice(tmp_path):
    told = []
    ledger = Ledger(tmp_path, [spec(0)], told.append)
    for status in ("ok", "failed"):
        ledger.finished(RunResult(spec=spec(0), status=status))
    assert [result.status for result in read_results(tmp_path)] == ["ok"]
    assert "finished twice" in told[-1].message


SUITE = Suite(
    name="s", title="s", entries=(Entry(agent="uniform", steps=64, env={"level": "tiny"}),), seeds=(0,), episodes=5
)


def test_results_of_an_earlier_version_are_read_but_not_gone_on_with(tmp_path):
    old = RunResult(spec=spec(0), status="ok")
    (tmp_path / "results.jsonl").write_text(old.to_json() + "\n" + old.to_json()[:50], encoding="utf-8")
    assert [result.spec for result in read_results(tmp_path)] == [spec(0)]
    assert build_report(tmp_path).is_file()
    with pytest.raises(ConfigurationError, match=r"results\.jsonl of an earlier version.*--new"):
        compare(SUITE, tmp_path, processes=0)
    compare(SUITE, tmp_path, processes=0, resume=False)
    assert len(read_results(tmp_path)) == 1


def test_an_edited_ledger_stops_a_comparison_and_new_starts_another(tmp_path):
    out = tmp_path / "out"
    compare(SUITE, out, processes=0)
    path = out / LEDGER
    path.write_bytes(path.read_bytes().replace(b'"status": "ok"', b'"status": "OK"'))
    with pytest.raises(ConfigurationError, match="line 1 was edited after it was written"):
        compare(SUITE, out, processes=0)
    compare(SUITE, out, processes=0, resume=False)
    assert read_problems(out) == []
    assert read_problems(tmp_path / "out-1") != []


def test_new_leaves_a_folder_of_something_else_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="no folder of a comparison"):
        compare(SUITE, tmp_path, processes=0, resume=False)
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.txt"]
