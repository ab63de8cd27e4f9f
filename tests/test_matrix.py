"""The learning matrix: who has beaten which environment, and what the table says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from textgym.audit import audit
from textgym.benchmarks.ledger import RESULTS
from textgym.benchmarks.ledger_file import line_of
from textgym.benchmarks.matrix import build_matrix, markdown, table_name
from textgym.benchmarks.pages import marks_of
from textgym.benchmarks.records import Measure, RunResult, RunSpec
from textgym.cli import app
from textgym.errors import ConfigurationError

FACTS = {"random": -2.0, "blind": 0.0, "best": 2.0, "inexact": ()}  # so that blind lies at 0.5


def run(agent: str, seed: int, value: float | None, *, env: dict[str, Any] | None = None) -> RunResult:
    spec = RunSpec(agent=agent, env_id="TextGen/Reviews-v0", steps=10, seed=seed, env=env or {})
    result = RunResult(spec=spec, status="failed", task="Reviews", level="tiny", training_split="all")
    if value is not None:
        result.status = "ok"
        result.references = {"all": {"reward": FACTS, "gold": FACTS}}
        for score, worth in (("reward", 1.0), ("gold", value)):
            result.measures.append(
                Measure(
                    play="greedy",
                    split="all",
                    score=score,
                    mean=4 * worth - 2,
                    standard_error=0.0,
                    normalized=worth,
                    n=9,
                )
            )
    return result


def write(folder: Path, *runs: RunResult) -> Path:
    (folder / RESULTS).write_bytes(b"".join(line_of(result) for result in runs))
    return folder


def test_an_environment_is_beaten_above_halfway_from_the_floor(tmp_path: Path) -> None:
    values = {"good": [0.84, 0.86, 0.85], "wide": [0.7, 1.0, 1.0], "low": [0.6, 0.7, 0.74]}
    runs = [run(agent, seed, value) for agent, each in values.items() for seed, value in enumerate(each)]
    (line,) = build_matrix(write(tmp_path, *runs), audited=False)
    assert (line.score, line.floor, line.bar) == ("gold", 0.5, 0.75)
    assert line.beaten_by() == ["good"]  # of "wide", the interval begins at 0.7
    assert line.cells["good"].interval.estimate == pytest.approx(0.85)
    assert line.cells["good"].runs == 3


def test_failures_stay_in_the_table(tmp_path: Path) -> None:
    runs = [run("a", 0, 0.9), run("a", 1, None), run("a", 2, 0.9), run("b", 0, None)]
    head, _, row = markdown(build_matrix(write(tmp_path, *runs), audited=False))
    assert head == "| Environment | Score | Floor | a | b |"
    assert row == "| TextGen/Reviews-v0 | gold | 0.50 | **0.90** (0.90 to 0.90, 1 failed) | failed |"


def test_environments_with_other_arguments_are_other_environments(tmp_path: Path) -> None:
    runs = [run("a", 0, 0.9), run("a", 0, 0.2, env={"level": "tiny"}), run("b", 0, 0.1)]
    lines = build_matrix(write(tmp_path, *runs), audited=False)
    assert [line.name for line in lines] == ["TextGen/Reviews-v0", "TextGen/Reviews-v0(level=tiny)"]
    assert lines[1].cells["b"].interval is None
    assert [*markdown(lines)][-1].endswith("| – |")


def test_degenerate_writers_raise_the_floor(tmp_path: Path) -> None:
    folder = write(tmp_path, run("a", 0, 0.9, env={"level": "tiny"}))
    (audited,), (plain,) = (build_matrix(folder, audited=audited) for audited in (True, False))
    assert plain.floor == 0.5
    assert audited.floor == pytest.approx((audit("TextGen/Reviews-v0", level="tiny").floor + 2.0) / 4.0)
    assert audited.floor > plain.floor


def test_the_command_prints_the_table(tmp_path: Path) -> None:
    write(tmp_path, run("a", 0, 0.9))
    result = CliRunner().invoke(app, ["bench", "matrix", str(tmp_path), "--quick"])
    assert result.exit_code == 0
    assert result.output.splitlines()[0] == "| Environment | Score | Floor | a |"
    with pytest.raises(ConfigurationError, match="holds no comparison"):
        build_matrix(tmp_path / "nothing")


def test_what_all_environments_share_stands_in_the_head(tmp_path: Path) -> None:
    runs = [run("a", 0, 0.9, env={"level": "easy"}), run("a", 0, 0.8, env={"level": "easy"})]
    runs[1].spec = replace(runs[1].spec, env_id="TextGen/Copy-v0")
    lines = build_matrix(write(tmp_path, *runs), audited=False)
    head, _, *rows = markdown(lines)
    assert head.startswith("| TextGen/…-v0(level=easy) | Score |")
    assert [row.split(" |")[0] for row in rows] == ["| Reviews", "| Copy"]
    assert table_name(lines) == "matrix of TextGen/…-v0(level=easy)"


def test_a_page_of_the_docs_is_renewed_between_its_marks(tmp_path: Path) -> None:
    runs = [run("a", 0, 0.9), run("a", 0, 0.8)]
    runs[1].spec = replace(runs[1].spec, env_id="TextGen/Copy-v0")
    write(tmp_path, *runs)
    begin, end = marks_of("matrix of TextGen/…-v0")
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{begin}\nstale words\n{end}\nafter\n", encoding="utf-8")
    words = ["bench", "matrix", str(tmp_path), "--quick", "--page", str(page)]
    assert CliRunner().invoke(app, words).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n\n{begin}\n\n| TextGen/…-v0 | Score")
    assert "stale words" not in text
    assert text.endswith("after\n")


def test_a_single_run_has_no_interval_and_beats_nothing(tmp_path: Path) -> None:
    lines = build_matrix(write(tmp_path, run("a", 0, 1.0)), audited=False)
    assert lines[0].beaten_by() == []
    assert list(markdown(lines))[-1].endswith("| 1.00 (one run) |")
