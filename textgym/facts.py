"""Facts of tasks that were measured once and ship as JSON; ``assets/build_facts.py`` makes them."""

from __future__ import annotations

import json
from functools import cache, partial
from importlib.resources import files
from typing import Any

from textgym.errors import TaskError
from textgym.returns import Facts, Returns


@cache
def read_asset(name: str) -> Any:
    """A JSON file of the package's assets."""
    return json.loads(files("textgym").joinpath("assets", name).read_text(encoding="utf-8"))


def shipped_facts(task: str) -> partial[Facts]:
    """A task's ``make_facts``: what ships for this task and the level's name.

    Args:
        task: Name of the task; its settings must have a field ``name``, the level's.

    Example:
        >>> make_facts = shipped_facts("Copy")
        >>> from textgym.tasks import get
        >>> make_facts(get("Copy", "easy").settings)["train"]["reward"].best
        1.0
    """
    return partial(_read, task)


def _read(task: str, settings: Any) -> Facts:
    found = read_asset("facts.json").get(task, {}).get(settings.name)
    if found is None:
        builder = f"python textgym/assets/build_facts.py {task}"
        raise TaskError(f"no facts ship for the task {task} at level {settings.name!r}; run {builder}")
    return {split: {kind: Returns(**numbers) for kind, numbers in kinds.items()} for split, kinds in found.items()}
