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
from textgym.importing import load_object
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
        "textgym.tasks.reviews", ("instruction", "sentiment", "grammar"), ("tiny", "easy", "medium", "hard", "chinese")
    ),
    "Classify": Listing("textgym.tasks.classify", ("language", "bandit", "classification"), ("easy", "medium", "hard")),
    "Entail": Listing("textgym.tasks.entail", ("language", "bandit", "inference"), ("easy", "medium", "hard")),
    "Answer": Listing("textgym.tasks.answer", ("language", "reading", "inference"), ("easy", "medium", "hard")),
    "Translate": Listing("textgym.tasks.translate", ("language", "translation", "grammar"), ("easy", "medium", "hard")),
    "Neutral": Listing("textgym.tasks.neutral", ("reward hacking", "style", "grammar"), ("easy", "medium", "hard")),
    "Story": Listing("textgym.tasks.story", ("planning", "consistency", "grammar"), ("easy", "medium", "hard")),
    "Dialogue": Listing(
        "textgym.tasks.dialogue", ("conversation", "information seeking", "planning"), ("easy", "medium", "hard")
    ),
    "Summarize": Listing("textgym.tasks.summarize", ("language", "reading", "summary"), ("easy", "medium", "hard")),
    "Recommend": Listing("textgym.tasks.recommend", ("bandit", "ranking", "noise"), ("easy", "medium", "hard")),
    "Copy": Listing("textgym.tasks.copying", ("puzzle", "copying"), ("easy", "medium", "hard")),
    "Reverse": Listing("textgym.tasks.reversing", ("puzzle", "reversing"), ("easy", "medium", "hard")),
    "Sort": Listing("textgym.tasks.sorting", ("puzzle", "sorting"), ("easy", "medium", "hard")),
    "Add": Listing("textgym.tasks.adding", ("puzzle", "arithmetic"), ("easy", "medium", "hard")),
    "Brackets": Listing("textgym.tasks.brackets", ("puzzle", "nesting"), ("easy", "medium", "hard")),
    "Spell": Listing("textgym.tasks.spelling", ("puzzle", "spelling"), ("easy", "medium", "hard")),
    "GuessNumber": Listing(
        "textgym.tasks.guess_number", ("puzzle", "conversation", "search"), ("easy", "medium", "hard")
    ),
    "Wordle": Listing(
        "textgym.tasks.wordle", ("puzzle", "conversation", "search", "spelling"), ("easy", "medium", "hard")
    ),
    "Needle": Listing("textgym.tasks.needle", ("diagnostic", "exploration"), ("easy", "medium", "hard")),
    "Delay": Listing("textgym.tasks.delay", ("diagnostic", "credit assignment"), ("easy", "medium", "hard")),
    "Recall": Listing("textgym.tasks.recall", ("diagnostic", "memory"), ("easy", "medium", "hard")),
    "Noise": Listing("textgym.tasks.noise", ("diagnostic", "noise"), ("easy", "medium", "hard")),
    "Scale": Listing("textgym.tasks.scale", ("diagnostic", "reward scale"), ("easy", "medium", "hard")),
    "Vocabulary": Listing("textgym.tasks.vocabulary", ("diagnostic", "many actions"), ("easy", "medium", "hard")),
    "Distract": Listing("textgym.tasks.distract", ("diagnostic", "attention"), ("easy", "medium", "hard")),
    "Horizon": Listing("textgym.tasks.horizon", ("diagnostic", "horizon"), ("easy", "medium", "hard")),
    "Proxy": Listing("textgym.tasks.proxy", ("diagnostic", "reward hacking"), ("easy", "medium", "hard")),
    "Chain": Listing(
        "textgym.tasks.chain", ("diagnostic", "conversation", "randomness", "planning"), ("easy", "medium", "hard")
    ),
    "ReasoningGym": Listing("textgym.tasks.reasoning", ("reasoning", "arithmetic"), ("easy", "medium", "hard")),
}


def names() -> tuple[str, ...]:
    """The names of the built-in tasks.

    Example:
        >>> names()[:3]
        ('Reviews', 'Classify', 'Entail')
    """
    return tuple(TASKS)


def get(name: str, level: str | None = None) -> Task:
    """The task of this name at this level; the same object each time.

    Args:
        name: A built-in task, one that another installed package adds, or ``"module:TASK"``.
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
    if ":" in name:
        return _as_task(load_object(name, "task"), name)
    listing = TASKS.get(name)
    task = import_module(listing.module).TASK if listing else _load_foreign(name)
    return replace(task, registered=True)


@cache
def _at(name: str, level: str) -> Task:
    return _load(name).at(level)


def _load_foreign(name: str) -> Task:
    foreign: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in foreign:
        raise unknown_name("task", name, [*TASKS, *foreign, "module:TASK"])
    return _as_task(foreign[name].load(), f"the entry point {name!r} of the group {GROUP!r}")


def _as_task(found: object, name: str) -> Task:
    if not isinstance(found, Task):
        raise TaskError(f"{name} is {type(found).__name__}, expected a textgym Task")
    return found
