"""Every error that a user can cause: what came, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TextGymError(Exception):
    """Base of all errors raised by textgym."""


class ConfigurationError(TextGymError, ValueError):
    """An argument has a value that cannot work."""


class RenderModeError(ConfigurationError, TypeError):
    """A render mode that there is not; a TypeError too, since that is what stable-baselines3 falls back on."""


class UnknownNameError(TextGymError, ValueError):
    """A name (task, level, reward, keyword ...) that is not registered."""


class PromptError(TextGymError, ValueError):
    """Prompts that cannot be read or do not fit the task."""


class TokenizerError(TextGymError, ValueError):
    """A tokenizer that cannot serve as an action space."""


class RewardError(TextGymError, RuntimeError):
    """A reward model raised, or returned something that is not one finite number per text."""


class TaskError(TextGymError, RuntimeError):
    """A task broke its own contract."""


class ActionError(TextGymError, ValueError):
    """An action outside the action space, or of the wrong type or shape."""


class EpisodeOverError(TextGymError, RuntimeError):
    """A step was asked of an episode that has not begun or has already ended."""


class SolveError(TextGymError, ValueError):
    """A problem that has no exact solution here, or a policy or table that does not belong to it."""


class TooLargeError(SolveError):
    """A problem that would take more time or memory to solve than is allowed."""


class TrainingError(TextGymError, RuntimeError):
    """Training cannot go on, for example because its loss is no number."""


class CheckError(TextGymError):
    """An environment or a task breaks rules of the contract."""


class MissingDependencyError(TextGymError, ImportError):
    """A package of an optional extra is needed and not installed."""


class BudgetSpent(TextGymError):  # noqa: N818 - a normal end, not an error
    """The step budget of a metered environment is used up: the normal end of training."""


def suggestion(name: str, choices: Iterable[str]) -> str:
    """Returns ``" Did you mean 'x'?"`` for the nearest choice, or an empty string.

    Example:
        >>> suggestion("rewrad", ["reward", "prompts"])
        " Did you mean 'reward'?"
    """
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def unknown_name(kind: str, name: object, choices: Iterable[str]) -> UnknownNameError:
    """Builds the error for a name that is not among the choices: the nearest one first, then all.

    Example:
        >>> print(unknown_name("level", "tniy", ["easy", "tiny"]))
        unknown level 'tniy'. Did you mean 'tiny'? Known: easy, tiny.
        >>> print(unknown_name("level", "x", ["easy", "tiny"]))
        unknown level 'x'. Did you mean one of these: easy, tiny?
    """
    known = sorted(choices)
    names = ", ".join(known) or "none"
    hint = suggestion(str(name), known)
    hint = f"{hint} Known: {names}." if hint or not known else f" Did you mean one of these: {names}?"
    return UnknownNameError(f"unknown {kind} {name!r}.{hint}")


def check_names(kind: str, names: Iterable[str], choices: Iterable[str]) -> None:
    """Raises :func:`unknown_name` for the first name that is not among the choices."""
    known = list(choices)
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, known)


def missing_dependency(package: str, extra: str, purpose: str) -> MissingDependencyError:
    """Builds the error for an optional package that is not installed."""
    return MissingDependencyError(f"{purpose} needs the package {package!r}: pip install 'textgym[{extra}]'")
