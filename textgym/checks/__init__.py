"""A checker stricter than Gymnasium's: every rule of textgym's contract, tried on an id or on a task of your own.

Example:
    >>> check_env_id("TextGen-v0", level="tiny", fast=True)
    >>> from textgym import tasks
    >>> find_faults(tasks.get("Reviews", "tiny"), fast=True)
    []
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym

from textgym.checks.registry import RULES
from textgym.checks.rules import Fault, Rule, Verdict, judge_all
from textgym.checks.subject import Subject
from textgym.errors import CheckError, ConfigurationError, TextGymError
from textgym.factory import EnvFactory, as_factory
from textgym.task import Task

__all__ = ["RULES", "Fault", "Rule", "Verdict", "check_env_id", "check_task", "find_faults", "run_rules"]


def check_env_id(env_id: str | EnvFactory, *, fast: bool = False, **kwargs: Any) -> None:
    """Checks an environment id against every rule.

    Args:
        env_id: A registered id whose environment is textgym's or a subclass, or an EnvFactory.
        fast: Play little and start no processes.
        **kwargs: Arguments of the environment.

    Raises:
        CheckError: naming every broken rule, what was seen, and how to mend it.
    """
    faults = find_faults(env_id, fast=fast, **kwargs)
    if faults:
        raise CheckError(_describe(env_id, faults))


def check_task(task: Task, *, fast: bool = False, **kwargs: Any) -> None:
    """Checks a task, in textgym's own environments, against every rule; otherwise as :func:`check_env_id`."""
    faults = find_faults(task, fast=fast, **kwargs)
    if faults:
        raise CheckError(_describe(task, faults))


def find_faults(what: str | EnvFactory | Task, *, fast: bool = False, **kwargs: Any) -> list[Fault]:
    """All broken rules; those that mean little while another is broken are left out."""
    verdicts = run_rules(what, fast=fast, **kwargs)
    return [fault for verdict in verdicts if (fault := verdict.fault) is not None]


def run_rules(what: str | EnvFactory | Task, *, fast: bool = False, **kwargs: Any) -> Iterator[Verdict]:
    """Checks rule after rule and says what came of each at once.

    Raises:
        ConfigurationError: for an id that is not one of textgym's; Gymnasium's own errors for an unknown one, and
            those of :func:`textgym.configuration.configure` for wrong arguments.
    """
    factory = _factory(what, kwargs)
    subject = Subject(factory, fast=fast)
    try:
        _ = subject.task
    except (TextGymError, gym.error.Error):
        raise  # a user's mistake
    except Exception:
        pass  # the environment's own fault, which the rule ``plays`` names
    return judge_all(RULES, subject)


def _factory(what: str | EnvFactory | Task, kwargs: dict[str, Any]) -> EnvFactory:
    if isinstance(what, Task):
        return EnvFactory("TextGen-v0", {**kwargs, "task": what})
    if not isinstance(what, str | EnvFactory):
        raise ConfigurationError(f"{what!r}: expected an environment id, an EnvFactory or a Task")
    return as_factory(what, **kwargs)


def _describe(what: object, faults: list[Fault]) -> str:
    rules = "a rule" if len(faults) == 1 else f"{len(faults)} rules"
    return "\n".join([f"{what} breaks {rules}:", *(f"- {fault}" for fault in faults)])
