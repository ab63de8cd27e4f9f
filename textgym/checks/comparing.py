"""Results of steps: copies and differences."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np

_SHORT = 60


def difference(left: Any, right: Any, *, tolerance: float = 0.0, where: str = "") -> str | None:
    """The first difference between two nested results, as text; None where they are equal.

    Values, types, shapes, dtypes and keys must agree, to the last bit; NaN equals NaN.

    Args:
        left: Dicts, lists, tuples, arrays and plain values.
        right: What it is compared with.
        tolerance: How far floats may be apart, relative to ``max(1, |value|)``.
        where: Path of this part, for the message.

    Example:
        >>> difference({"reward": 1.0}, {"reward": 2.0})
        'reward: 1.0 against 2.0'
    """
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return f"{where or 'keys'}: {sorted(map(str, left.keys() ^ right.keys()))} in one of them only"
        pairs = [(f"{where}.{key}" if where else str(key), left[key], right[key]) for key in left]
    elif isinstance(left, list | tuple) and type(left) is type(right):
        if len(left) != len(right):
            return f"{where}: {len(left)} against {len(right)} entries"
        pairs = [(f"{where}[{n}]", one, other) for n, (one, other) in enumerate(zip(left, right, strict=True))]
    else:
        return None if _equal(left, right, tolerance) else _describe(left, right, tolerance, where)
    found = (difference(one, other, tolerance=tolerance, where=path) for path, one, other in pairs)
    return next((text for text in found if text is not None), None)


def _equal(left: Any, right: Any, tolerance: float) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        if (left.dtype, left.shape) != (right.dtype, right.shape):
            return False
        if left.dtype == object:
            return difference(left.tolist(), right.tolist(), tolerance=tolerance) is None
        same = left.tobytes() == right.tobytes()
    else:
        same = bool(left == right)
    return same or bool(np.all(_near(left, right, tolerance)))  # the first is much faster, and nearly always true


def _near(left: Any, right: Any, tolerance: float) -> Any:
    """Whether two values, or the entries of two arrays of one shape and dtype, are equal."""
    if not isinstance(left, float | np.floating | np.ndarray) or np.asarray(left).dtype.kind != "f":
        return left == right
    near = np.abs(left - right) <= tolerance * np.maximum(1.0, np.abs(left)) if tolerance else left == right
    return near | (np.isnan(left) & np.isnan(right))


def _describe(left: Any, right: Any, tolerance: float, where: str) -> str:
    """Both values; of arrays that differ in some entries only, the first of these."""
    arrays = isinstance(left, np.ndarray) and isinstance(right, np.ndarray) and left.dtype == right.dtype != object
    if arrays and left.shape == right.shape != ():
        place = tuple(np.argwhere(~_near(left, right, tolerance))[0].tolist())
        return f"{where}[{', '.join(map(str, place))}]: {left[place]} against {right[place]}"
    return f"{where}{': ' if where else ''}{_show(left)} against {_show(right)}"


def _show(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."


def adds_up(parts: Sequence[float], whole: float, tolerance: float) -> bool:
    """Whether rewards sum to a score, but for rounding, which grows with the largest of them.

    Example:
        >>> adds_up([1e9, 0.25 - 1e9], 0.25, 0.0), adds_up([0.1, 0.1], 0.3, 0.0)
        (True, False)
    """
    return abs(sum(parts) - whole) <= max(tolerance, 1e-9) * max(1.0, abs(whole), *map(abs, parts))


def snapshot(value: Any) -> Any:
    """A copy that no later step can change: like ``deepcopy``, and several times faster."""
    if isinstance(value, dict):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.copy()
    return value if isinstance(value, str | int | float | None) else deepcopy(value)
