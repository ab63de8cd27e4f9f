"""The suite's tasks, listed without importing them.

Other packages add tasks through the entry-point group ``textgym.tasks``: the entry's name is the task's,
its value the :class:`~textgym.task.Task`, as in ``my_task = my_package.tasks:TASK``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from textgym.errors import TaskError, unknown_name
from textgym.task import Task

GROUP = "textgym.tasks"


@dataclass(frozen=True)
class Listing:
    """What is known of a task before its module is imported.

    Attributes:
        module: The module that defines ``TASK``.
        tags: Skills that the task asks for.
        levels: Its levels, easiest first.
    """

    module: str
    tags: tuple[str, ...]
    levels: tuple[str, ...]


TASKS: Mapping[str, Listing] = {
    "Reviews": Listing(
        "textgym.tasks.reviews", ("instruction", "sentiment", "grammar"), ("tiny", "easy", "medium", "hard")
    ),
    "Copy": Listing("textgym.tasks.copying", ("puzzle", "copying"), ("easy", "medium", "hard")),
}


def names() -> tuple[str, ...]:
    """The names of the built-in tasks.

    Example:
        >>> names()
        ('Reviews', 'Copy')
    """
    return tuple(TASKS)


def get(name: str, level: str | None = None) -> Task:
    """The task of this name at this level; the same object each time.

    Args:
        name: A built-in task, or one that another installed package adds.
        level: One of the task's levels; by default its own choice.

    Raises:
        UnknownNameError: for a name or level that does not exist.

    Example:
        >>> get("Reviews", "tiny") is get("Reviews", "tiny")
        True
    """
    task = _load(name)
    return task if level is None or level == task.level else _at(name, level)


@cache
def _load(name: str) -> Task:
    listing = TASKS.get(name)
    task = import_module(listing.module).TASK if listing else _load_foreign(name)
    return replace(task, registered=True)


@cache
def _at(name: str, level: str) -> Task:
    return _load(name).at(level)


def _load_foreign(name: str) -> Task:
    foreign: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in foreign:
        raise unknown_name("task", name, [*TASKS, *foreign])
    task = foreign[name].load()
    if not isinstance(task, Task):
        raise TaskError(
            f"the entry point {name!r} of the group {GROUP!r} is {type(task).__name__}, expected a textgym Task"
        )
    return task
