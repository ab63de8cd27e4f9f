"""Results of steps: copies, differences, fingerprints."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import Any

import numpy as np

_SHORT = 60


def difference(left: Any, right: Any, *, tolerance: float = 0.0, where: str = "") -> str | None:
    """The first difference between two nested results, as text; None where they are equal.

    Values, types, shapes, dtypes and keys must agree, to the last bit.

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
        return None if _equal(left, right, tolerance) else f"{where}: {_show(left)} against {_show(right)}"
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
    if tolerance and isinstance(left, float | np.ndarray) and np.asarray(left).dtype.kind == "f":
        return bool((np.abs(left - right) <= tolerance * np.maximum(1.0, np.abs(left))).all())
    return bool(np.array_equal(left, right)) if isinstance(left, np.ndarray) else bool(left == right)


def _show(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."


def snapshot(value: Any) -> Any:
    """A copy that no later step can change: like ``deepcopy``, and several times faster."""
    if isinstance(value, dict):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.copy()
    return value if isinstance(value, str | int | float | None) else deepcopy(value)


def digest(value: Any) -> str:
    """A hexadecimal fingerprint of a nested result: equal for results without a :func:`difference`."""
    return hashlib.sha256(_spell(value).encode()).hexdigest()


def _spell(value: Any) -> str:
    """An unambiguous spelling that does not hang on hashes, memory addresses or print options."""
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{key!r}:{_spell(item)}" for key, item in value.items())) + "}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({','.join(map(_spell, value))})"
    if isinstance(value, np.ndarray):
        return f"array({value.dtype},{value.shape},{_spell(value.tolist())})"
    return f"{type(value).__name__}({value!r})"
