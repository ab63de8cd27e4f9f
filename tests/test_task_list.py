"""The list of tasks: names, levels, entry points, pickles."""

from __future__ import annotations

import pickle
from importlib.metadata import EntryPoint

import pytest

import textgym.tasks as tasks
from textgym.errors import TaskError, UnknownNameError
from textgym.tasks import get
from textgym.tasks.reviews import LEVELS, TASK


def test_the_list_tells_the_truth_about_the_task() -> None:
    listing = tasks.TASKS["Reviews"]
    assert tasks.names()[0] == "Reviews"
    assert listing.tags == TASK.tags
    assert listing.levels == tuple(LEVELS)
    assert TASK.level == "easy"


def test_get_returns_the_same_task_each_time() -> None:
    assert get("Reviews") is get("Reviews", "easy")
    assert get("Reviews", "tiny") is get("Reviews", "tiny")
    assert get("Reviews").registered
    assert get("Reviews", "tiny").level == "tiny"


def test_unknown_tasks_and_levels_get_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'Reviews'"):
        get("Review")
    with pytest.raises(UnknownNameError, match="Did you mean 'medium'"):
        get("Reviews", "meduim")


def test_other_packages_add_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [EntryPoint("Mine", "textgym.tasks.reviews:TASK", tasks.GROUP), EntryPoint("No", "math:pi", tasks.GROUP)]
    monkeypatch.setattr(tasks, "entry_points", lambda group: entries if group == tasks.GROUP else [])
    tasks._load.cache_clear()
    try:
        assert get("Mine").registered
        with pytest.raises(TaskError, match="expected a textgym Task"):
            get("No")
        with pytest.raises(UnknownNameError, match="Mine"):
            get("Nine")
    finally:
        tasks._load.cache_clear()
        tasks._at.cache_clear()


def test_tasks_pickle_by_name_unless_something_was_changed() -> None:
    task = get("Reviews", "tiny")
    assert pickle.loads(pickle.dumps(task)) is task
    assert pickle.loads(pickle.dumps(get("Reviews").at("tiny"))) is task
    shorter = pickle.loads(pickle.dumps(task.override(max_new_tokens=3)))
    assert (shorter.budget, shorter.level, shorter.tokenizer.tokens) == (3, "tiny", task.tokenizer.tokens)
