"""What a task must be: checks of its parts, so that a slip is said in the task's own words where it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import TaskError, unknown_name

_CALLED = ("max_new_tokens", "max_turns")  # functions besides those that are called make_...
_EXPECTED = {
    "tokenizer": "a tokenizer, such as textgym.tokenizers.WordTokenizer(words)",
    "reward": "a function of a batch (textgym.rewards.PerText makes one of a function of one text)",
    "constraints": "a tuple of rules, each callable with an attribute 'static', True or False",
    "partner": "a callable with max_reply_tokens, a whole number of at least 0",
}


def check_fields(name: str, level: str, fields: Mapping[str, Any]) -> None:
    """Refuses a task whose fields cannot belong together.

    Args:
        name: The task's.
        level: Of the task object.
        fields: All fields of the task.

    Raises:
        UnknownNameError: for a level that is none of the task's.
        TaskError: for a value in the place of a function, or turns without a partner to answer them.
    """
    if level not in fields["levels"]:
        raise unknown_name(f"level of the task {name}", level, fields["levels"])
    for field, value in fields.items():
        if (field.startswith("make_") or field in _CALLED) and not (value is None or callable(value)):
            raise TaskError(
                f"the task {name}: {field}={value!r}; expected a function of the level's settings, such as "
                f"{field}=lambda level: {value!r}"
            )
    if (fields["make_partner"] is None) != (fields["max_turns"] is None):
        given, lacking = ("max_turns", "make_partner") if fields["max_turns"] else ("make_partner", "max_turns")
        raise TaskError(
            f"the task {name} has {given} and no {lacking}; a conversation needs both (the last turn has no reply)"
        )


def check_count(name: str, field: str, value: Any) -> int:
    """A budget of tokens or turns, as a task's function gave it.

    Raises:
        TaskError: if it is no whole number of at least 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise TaskError(f"{field} of the task {name} gave {value!r}; expected a whole number of at least 1")
    return int(value)


def check_part(name: str, part: str, value: Any) -> Any:
    """A part of a task, as its function ``make_<part>`` built it.

    Raises:
        TaskError: for what cannot be this part.
    """
    if not _FITS[part](value):
        raise TaskError(f"make_{part} of the task {name} gave {value!r}; expected {_EXPECTED[part]}")
    return value


def _is_tokenizer(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("vocab_size", "eos_ids", "encode", "decode"))


def _are_rules(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(callable(rule) and _is_flag(rule) for rule in value)


def _is_flag(rule: Any) -> bool:
    return isinstance(getattr(rule, "static", None), bool)


def _is_partner(value: Any) -> bool:
    most = getattr(value, "max_reply_tokens", None)
    return callable(value) and isinstance(most, int | np.integer) and bool(most >= 0)


_FITS = {"tokenizer": _is_tokenizer, "reward": callable, "constraints": _are_rules, "partner": _is_partner}


def check_mask(rule: Any, mask: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """What a rule on the next token has returned.

    Raises:
        TaskError: for anything but bools of this shape ``(B, V)``.
    """
    if not isinstance(mask, np.ndarray) or mask.shape != shape or mask.dtype != bool:
        found = f"shape {mask.shape} of type {mask.dtype}" if isinstance(mask, np.ndarray) else repr(mask)
        raise TaskError(f"the rule {rule!r} gave {found}; expected a mask of bools, {shape} for {shape[0]} texts")
    return mask


def check_stopped(stopped: Any, count: int) -> NDArray[np.bool_]:
    """What a task's rule for the end of a text has returned.

    Raises:
        TaskError: for anything but ``(B,)`` bools.
    """
    if not isinstance(stopped, np.ndarray) or stopped.shape != (count,) or stopped.dtype != bool:
        raise TaskError(f"the task's stop rule gave {stopped!r} for {count} texts; expected an array of {count} bools")
    return stopped
