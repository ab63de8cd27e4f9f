"""The audit of every task and level: no degenerate writer beats the oracle, unless the page says that one does."""

from __future__ import annotations

from importlib import import_module

import pytest

from textgym import tasks
from textgym.audit import Audit, audit

HACKABLE = ("Reviews", "Neutral", "Proxy")
"""Tasks whose reward was learned, and on purpose not well enough."""

CASES = [(name, level) for name, listing in tasks.TASKS.items() for level in listing.levels]


def examine(name: str, level: str) -> Audit:
    found = audit(f"TextGen/{name}-v0", level=level, n=6, max_texts=20_000)
    assert found.rows[-1].writer == "oracle"
    assert not found.oracle_beaten, f"the oracle is not the best: {found.verdict}"
    assert not found.is_too_easy, f"nothing to learn: {found.verdict}"
    assert bool(found.hacks) == (name in HACKABLE), found.verdict
    if name not in HACKABLE:
        assert not [row.writer for row in found.rows if row.beats_oracle_reward]
    return found


@pytest.mark.parametrize("name", [name for name in tasks.TASKS if name != "ReasoningGym"])
def test_no_degenerate_writer_beats_the_oracle_at_the_easiest_level(name: str) -> None:
    assert examine(name, tasks.TASKS[name].levels[0]).floor < audit_best(name)


def audit_best(name: str) -> float:
    """The best that can be earned in the units of the floor: gold, or the reward where that is the gold."""
    task = tasks.get(name, tasks.TASKS[name].levels[0])
    return task.returns(task.default_split, "reward" if task.gold is None else "gold").best


@pytest.mark.slow
@pytest.mark.parametrize(("name", "level"), CASES)
def test_no_degenerate_writer_beats_the_oracle(name: str, level: str) -> None:
    assert examine(name, level).prompts >= 1


@pytest.mark.parametrize("name", HACKABLE)
def test_what_can_be_hacked_is_said_on_the_page(name: str) -> None:
    page = import_module(tasks.TASKS[name].module).__doc__
    assert page is not None
    assert "hacked**" in page
    assert "``textgym audit`` finds" in page
