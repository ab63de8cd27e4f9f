"""What a terminal shows of a comparison."""

from __future__ import annotations

import sys

import pytest

from textgym.benchmarks.ledger import Event
from textgym.benchmarks.records import RunSpec
from textgym.progress import ComparisonProgress

SPECS = [RunSpec(agent="uniform", env_id="TextGen-v0", steps=100, seed=seed) for seed in range(2)]


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = ComparisonProgress()
    yield shown
    shown.close()


def tell(shown, kind, spec=None, *, done=0, steps=0):
    shown(Event(kind=kind, message=f"{kind} it is", done=done, total=2, spec=spec, steps=steps))


def test_each_run_at_work_has_one_row_even_if_it_is_begun_anew(terminal):
    tell(terminal, "plan")
    tell(terminal, "started", SPECS[0])
    tell(terminal, "progress", SPECS[0], steps=60)
    tell(terminal, "note", SPECS[0])
    tell(terminal, "started", SPECS[0])
    tell(terminal, "started", SPECS[1])
    tell(terminal, "progress", SPECS[1], steps=30)
    rows = {task.description: task.completed for task in terminal._bar.tasks}
    assert rows == {"all runs": 0, "uniform seed 0": 0, "uniform seed 1": 30}
    assert len(terminal._bar.tasks) == 3
    tell(terminal, "finished", SPECS[0], done=1)
    assert {task.description: task.completed for task in terminal._bar.tasks} == {"all runs": 1, "uniform seed 1": 30}


def test_elsewhere_lines_are_written_and_progress_is_not(capsys):
    shown = ComparisonProgress()
    for kind in ("plan", "started", "progress", "finished"):
        tell(shown, kind, SPECS[0], done=1)
    assert capsys.readouterr().out == "[1/2] plan it is\n[1/2] finished it is\n"
