"""A leaderboard out of run folders: merged, verified, and never mixed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from test_report import Page, make_run
from typer.testing import CliRunner

from textgym.benchmarks.exports import markdown
from textgym.benchmarks.leaderboard import build_leaderboard, tables
from textgym.benchmarks.pages import marks_of
from textgym.benchmarks.records import RunSpec
from textgym.benchmarks.run_files import begin, publish, write_run
from textgym.benchmarks.verification import record_digest
from textgym.cli import app
from textgym.errors import ConfigurationError

FACTS = {"protocol": 1, "env_version": "0", "task_source": "t", "inputs": {}, "agent_source": "a", "agent_config": {}}


def write(out, label, value, *, seed=0, task="Copy", steps=100, result=None, **facts):
    """A folder of one run, as a comparison leaves it; there is neither ledger nor plan."""
    spec = RunSpec(
        agent="uniform", env_id=f"TextGen/{task}-v0", steps=steps, seed=seed, label=label, episodes=200,
        facts={**FACTS, "agent_source": label, **facts},
    )  # fmt: skip
    made = make_run(spec, value)
    made.task = task
    out.mkdir(exist_ok=True, parents=True)
    partial = begin(out / spec.folder_name)
    write_run(partial, replace(made, **(result or {})))
    publish(partial, out / spec.folder_name)
    return out / spec.folder_name


def write_both(out, label, low, high, **how):
    return [write(out, label, value, seed=seed, **how) for seed, value in enumerate((low, high))]


def accept(out, folders, verdict="verified"):
    runs = {
        json.loads((folder / "config.json").read_text(encoding="utf-8"))["key"]: {
            "folder": folder.name, "verdict": verdict, "digest": record_digest(folder)
        }
        for folder in folders
    }  # fmt: skip
    (out / "verification.json").write_text(json.dumps({"runs": runs}), encoding="utf-8")


def test_folders_are_merged_and_ranked(tmp_path):
    write_both(tmp_path / "a", "good", 0.9, 0.94)
    write_both(tmp_path / "b", "bad", 0.1, 0.14)
    write(tmp_path / "b", "bad", 0.2, seed=2)
    board = build_leaderboard([tmp_path / "a", tmp_path / "b"]).board
    assert [(s.label, s.rank, s.finished) for s in board.standings] == [("good", 1, 2), ("bad", 2, 3)]
    assert board.standings[0].mean.estimate == pytest.approx(0.92)


def test_a_single_run_is_a_folder_too_and_the_same_run_counts_once(tmp_path):
    folder = write(tmp_path / "a", "good", 0.9)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    found = build_leaderboard([folder, tmp_path / "a", tmp_path / "b"])
    assert len(found.runs) == 1
    assert found.board.standings[0].finished == 1


def test_two_stories_of_one_run_are_refused(tmp_path):
    write(tmp_path / "a", "good", 0.9)
    write(tmp_path / "b", "good", 0.8)
    with pytest.raises(ConfigurationError, match=r"tell differently of good on TextGen/Copy-v0, seed 0"):
        build_leaderboard([tmp_path / "a", tmp_path / "b"])


def test_times_may_differ(tmp_path):
    write(tmp_path / "a", "good", 0.9)
    write(tmp_path / "b", "good", 0.9, result={"train_seconds": 77.0, "peak_memory_bytes": 5})
    assert len(build_leaderboard([tmp_path / "a", tmp_path / "b"]).runs) == 1


def test_protocols_are_not_mixed(tmp_path):
    write(tmp_path / "a", "good", 0.9)
    write(tmp_path / "b", "bad", 0.1, protocol=2)
    with pytest.raises(ConfigurationError, match=r"protocol 1 in .*a.* and protocol 2 in .*b"):
        build_leaderboard([tmp_path / "a", tmp_path / "b"])
    write(tmp_path / "c", "old", 0.1, protocol="unknown")
    with pytest.raises(ConfigurationError, match="earlier version"):
        build_leaderboard([tmp_path / "c"])


@pytest.mark.parametrize("name", ["env_version", "task_source"])
def test_environments_of_one_name_must_be_the_same(tmp_path, name):
    write(tmp_path / "a", "good", 0.9)
    write(tmp_path / "b", "bad", 0.1, **{name: "changed"})
    with pytest.raises(ConfigurationError, match=f"TextGen/Copy-v0 is not the same.*{name} differs"):
        build_leaderboard([tmp_path / "a", tmp_path / "b"])


def test_one_name_for_two_agents_becomes_two_names(tmp_path):
    write_both(tmp_path / "a", "mine", 0.9, 0.94)
    write_both(tmp_path / "b", "mine", 0.1, 0.14, agent_config={"learning_rate": 0.5})
    labels = [s.label for s in build_leaderboard([tmp_path / "a", tmp_path / "b"]).board.standings]
    assert labels == ["mine", "mine (b)"]
    write_both(tmp_path / "c", "mine", 0.5, 0.54, steps=200)  # another budget
    labels = [s.label for s in build_leaderboard([tmp_path / name for name in "abc"]).board.standings]
    assert labels == ["mine", "mine (c)", "mine (b)"]


def test_one_agent_spread_over_folders_stays_one(tmp_path):
    write(tmp_path / "a", "mine", 0.9, seed=0)
    write(tmp_path / "b", "mine", 0.8, seed=1)
    write(tmp_path / "c", "mine", 0.7, task="Sort")
    (standing,) = build_leaderboard([tmp_path / name for name in "abc"]).board.standings
    assert (standing.label, standing.finished, standing.tasks) == ("mine", 3, 2)


def test_rows_say_how_far_they_are_verified(tmp_path):
    out = tmp_path / "a"
    good = write_both(out, "good", 0.9, 0.94)
    fair = write_both(out, "fair", 0.5, 0.54)
    odd = write_both(out, "odd", 0.3, 0.34)
    write_both(out, "bad", 0.1, 0.14)
    accept(out, [*good, fair[0]])
    data = json.loads((out / "verification.json").read_text(encoding="utf-8"))
    accept(out, odd, "flagged")
    data["runs"] |= json.loads((out / "verification.json").read_text(encoding="utf-8"))["runs"]
    (out / "verification.json").write_text(json.dumps(data), encoding="utf-8")
    found = build_leaderboard([out])
    assert found.marks == {"good": "verified", "fair": "1 of 2", "odd": "2 flagged", "bad": "no"}
    (good[0] / "run.json").write_text((good[0] / "run.json").read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert build_leaderboard([out]).marks["good"] == "1 of 2"
    ranked, _ = tables(found)
    assert ranked.columns[-2:] == ("steps a run", "verified")
    assert [row[-1].text for row in ranked.rows] == ["verified", "1 of 2", "no", "2 flagged"]
    assert [standing.rank for standing in found.board.standings] == [1, 2, 3, None]
    assert "odd is not ranked: 2 of its runs are flagged." in ranked.notes
    assert "| 100 | verified |" in "\n".join(markdown(ranked))


def test_only_run_folders_are_read(tmp_path):
    write(tmp_path / "a", "good", 0.9)
    (tmp_path / "a" / "ledger.jsonl").write_text("nonsense", encoding="utf-8")
    (tmp_path / "a" / "plan.json").write_text("nonsense", encoding="utf-8")
    shutil.copytree(next((tmp_path / "a").glob("good*")), tmp_path / "a" / ".half.partial")
    assert len(build_leaderboard([tmp_path / "a"]).runs) == 1


def test_bad_folders(tmp_path):
    with pytest.raises(ConfigurationError, match="is no folder"):
        build_leaderboard([tmp_path / "nowhere"])
    with pytest.raises(ConfigurationError, match="no run in"):
        build_leaderboard([tmp_path])
    path = write(tmp_path / "a", "good", 0.9) / "run.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not a record of a run"):
        build_leaderboard([tmp_path / "a"])


def test_the_command_writes_a_page_and_renews_the_docs(tmp_path):
    write_both(tmp_path / "a", "good", 0.9, 0.94)
    write_both(tmp_path / "a", "bad", 0.1, 0.14)
    page, document = tmp_path / "page.html", tmp_path / "leaderboard.md"
    begin_mark, end_mark = marks_of("leaderboard")
    document.write_text(f"# Leaderboard\n\n{begin_mark}\n{end_mark}\n", encoding="utf-8")
    words = ["bench", "leaderboard", str(tmp_path / "a"), "--out", str(page), "--page", str(document)]
    assert CliRunner().invoke(app, words).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert Page(text).open == []
    assert "<th>verified</th>" in text
    assert "<span class=alarm>no</span>" in text
    table = document.read_text(encoding="utf-8")
    assert table.index("| 1 | good |") < table.index("| 2 | bad |")
    run = CliRunner().invoke(app, words[:3])
    assert run.exit_code == 0
    assert "| 1 | good |" in run.output
