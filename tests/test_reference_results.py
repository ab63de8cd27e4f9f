"""The published results: the tables of the page are those of the archives, and every run in them was verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from textgym.benchmarks.exports import markdown
from textgym.benchmarks.found_runs import find_runs
from textgym.benchmarks.leaderboard import build_leaderboard, tables
from textgym.benchmarks.pages import marks_of

DOCS = Path(__file__).resolve().parents[1] / "docs"
ARCHIVES = sorted((DOCS / "results").glob("*.jsonl.gz"))


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.name)
def test_the_page_shows_what_the_archive_holds(archive: Path) -> None:
    name = archive.name.removesuffix(".jsonl.gz")
    opening, closing = marks_of(f"leaderboard of {name}")
    page = (DOCS / "leaderboard.md").read_text(encoding="utf-8")
    shown = page.partition(opening)[2].partition(closing)[0].strip()
    lines = [line for table in tables(build_leaderboard([archive])) for line in (*markdown(table), "")]
    assert shown == "\n".join(lines).strip()


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.name)
def test_every_published_run_has_finished_and_was_verified(archive: Path) -> None:
    runs = find_runs([archive])
    assert {run.result.status for run in runs} == {"ok"}
    assert {run.verdict for run in runs} == {"verified"}
    assert all(run.machine for run in runs)


def test_there_are_published_results() -> None:
    assert [path.name for path in ARCHIVES] == ["core.jsonl.gz", "language.jsonl.gz"]
