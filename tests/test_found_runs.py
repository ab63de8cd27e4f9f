"""Archives of runs: small files that tell what the folders tell."""

from __future__ import annotations

import gzip
import json

import pytest
from test_leaderboard import accept, write, write_both
from typer.testing import CliRunner

from textgym.benchmarks.exports import markdown
from textgym.benchmarks.found_runs import find_runs, write_archive
from textgym.benchmarks.leaderboard import build_leaderboard, tables
from textgym.cli import app
from textgym.errors import ConfigurationError


def lines_of(*places):
    return [line for table in tables(build_leaderboard(places)) for line in markdown(table)]


@pytest.fixture
def comparison(tmp_path):
    out = tmp_path / "core"
    accept(out, write_both(out, "good", 0.9, 0.94))
    write_both(out, "bad", 0.1, 0.14, result={"trace": "a\u2028b", "error": "lost\nhere"})
    return out


def test_an_archive_makes_the_leaderboard_of_its_folders(comparison, tmp_path):
    archive = tmp_path / "core.jsonl.gz"
    assert write_archive([comparison], archive) == 4
    assert lines_of(archive) == lines_of(comparison)
    assert [(run.verdict, run.machine) for run in find_runs([archive])] == [
        (run.verdict, run.machine) for run in find_runs([comparison])
    ]
    assert sorted(run.verdict for run in find_runs([archive])) == ["unverified"] * 2 + ["verified"] * 2


def test_the_same_runs_in_a_folder_and_an_archive_count_once(comparison, tmp_path):
    write_archive([comparison], tmp_path / "core.jsonl.gz")
    assert len(build_leaderboard([comparison, tmp_path / "core.jsonl.gz"]).runs) == 4


def test_an_archive_of_the_same_runs_is_the_same_file_and_small(comparison, tmp_path):
    for name in ("one", "two"):
        write_archive([comparison], tmp_path / f"{name}.jsonl.gz")
    one = (tmp_path / "one.jsonl.gz").read_bytes()
    assert one == (tmp_path / "two.jsonl.gz").read_bytes()
    assert len(one) < sum(path.stat().st_size for path in comparison.rglob("run.json")) / 2
    write_archive([tmp_path / "one.jsonl.gz"], tmp_path / "again.jsonl.gz")
    assert (tmp_path / "again.jsonl.gz").read_bytes() == one


def change(path, **changes):
    first, *rest = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    changed = json.dumps({**json.loads(first), **changes})
    path.write_bytes(gzip.compress("\n".join([changed, *rest]).encode()))


def test_wrong_archives_are_refused(comparison, tmp_path):
    archive = tmp_path / "core.jsonl.gz"
    with pytest.raises(ConfigurationError, match=r"expected a name that ends in \.jsonl\.gz"):
        write_archive([comparison], tmp_path / "core.zip")
    with pytest.raises(ConfigurationError, match="nothing to archive"):
        write_archive([tmp_path], archive)
    assert not archive.exists()
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ConfigurationError, match="is no archive of runs"):
        find_runs([tmp_path / "notes.txt"])
    write_archive([comparison], archive)
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-20])
    with pytest.raises(ConfigurationError, match="is damaged"):
        find_runs([archive])
    for wrong in ({"verdict": "surely"}, {"record": {"steps": 1}}, {"record": None}):
        archive.write_bytes(whole)
        change(archive, **wrong)
        with pytest.raises(ConfigurationError, match="line 1: no run"):
            find_runs([archive])


def test_an_edited_number_is_found(comparison, tmp_path):
    archive = tmp_path / "core.jsonl.gz"
    write_archive([comparison], archive)
    text = gzip.decompress(archive.read_bytes()).decode("utf-8")
    number = str(find_runs([archive])[0].result.measures[0].mean)
    assert f'"mean": {number}' in text
    edited = text.replace(f'"mean": {number}', '"mean": 0.99', 1)
    archive.write_bytes(gzip.compress(edited.encode("utf-8")))
    with pytest.raises(ConfigurationError, match="line 1 was edited after it was written"):
        find_runs([archive])


def test_runs_that_were_never_asked_for_held_out_prompts_are_not_mixed_with_others(comparison, tmp_path):
    other = write(tmp_path / "tuned", "tuned", 0.5)
    record = json.loads((other / "run.json").read_text(encoding="utf-8"))
    record["spec"]["held_out"] = False
    (other / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="held_out differs"):
        build_leaderboard([comparison, tmp_path / "tuned"])


def test_what_needs_a_folder_says_so_of_an_archive(comparison, tmp_path):
    archive = tmp_path / "core.jsonl.gz"
    write_archive([comparison], archive)
    for command in ("verify", "report"):
        done = CliRunner().invoke(app, ["bench", command, str(archive)])
        assert "is a file; expected the folder of a comparison" in str(done.exception)


def test_the_command(comparison, tmp_path):
    archive = tmp_path / "core.jsonl.gz"
    run = CliRunner().invoke(app, ["bench", "archive", str(comparison), "--out", str(archive)])
    assert (run.exit_code, run.output.split(":")[0]) == (0, "4 runs")
    assert run.output.endswith("; 2 verified\n")
    shown = CliRunner().invoke(app, ["bench", "leaderboard", str(archive)])
    assert shown.exit_code == 0
    assert "| 1 | good |" in shown.output
    astray = CliRunner().invoke(app, ["bench", "leaderboard", str(archive), "--table", "mine"])
    assert (astray.exit_code, "add --page" in astray.output) == (2, True)


def test_an_archive_needs_no_run_folder(tmp_path):
    run = write(tmp_path / "core", "good", 0.9)
    assert write_archive([run], tmp_path / "one.jsonl.gz") == 1
