"""Comparisons as records that JSON knows, and what is said of a value that a record cannot have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError, check_names

Row = Mapping[str, Any]

FIELDS = tuple(field.name for field in fields(Comparison))
REQUIRED = ("prompt", "left", "right", "choice")


def to_record(comparison: Comparison) -> dict[str, Any]:
    """Everything that a comparison has, in values that JSON knows.

    Example:
        >>> record = to_record(Comparison(prompt="p", left="l", right="r", choice="tie"))
        >>> record["choice"], from_record(record).choice
        ('tie', 'tie')
    """
    record = {name: getattr(comparison, name) for name in FIELDS}
    for name in ("left_ids", "right_ids"):
        record[name] = list(record[name])
    record["metadata"] = dict(comparison.metadata)
    return record


def from_record(record: Row, where: str = "the record") -> Comparison:
    """The comparison that :func:`to_record` made a record of; what was left out has its default.

    Raises:
        ConfigurationError: naming the place and the column, for a value that cannot be.
    """
    check_names(f"column of {where}", record, FIELDS)
    for name in REQUIRED:
        need(record, name, where)
    values = {name: _value(name, record[name], where) for name in record}
    try:
        return Comparison(**values)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_TESTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "strength": (lambda value: value is None or _is_id(value), "a whole number, or null"),
    "left_ids": (lambda value: isinstance(value, list) and all(map(_is_id, value)), "a list of token ids"),
    "right_ids": (lambda value: isinstance(value, list) and all(map(_is_id, value)), "a list of token ids"),
    "swapped": (lambda value: isinstance(value, bool), "true or false"),
    "seconds": (lambda value: value is None or _is_number(value), "a number, or null"),
    "metadata": (lambda value: isinstance(value, dict), "an object"),
}


def _value(name: str, value: Any, where: str) -> Any:
    """The value of one field, of the right type."""
    test, expected = _TESTS.get(name, (lambda given: isinstance(given, str), "a text"))
    if not test(value):
        raise wrong_value(where, name, value, expected)
    return tuple(value) if name.endswith("_ids") else value


def wrong_value(where: str, column: str, value: Any, expected: str) -> ConfigurationError:
    """The error for a value in a file, naming the place and the column."""
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return ConfigurationError(f"{where}, column {column!r}: {shown}; expected {expected}")


def need(row: Row, column: str, where: str) -> Any:
    """The value of a column that a row must have."""
    if column not in row:
        raise ConfigurationError(f"{where}: there is no column {column!r}; the columns are {', '.join(map(repr, row))}")
    return row[column]


def text_of(row: Row, column: str, where: str) -> str:
    """The text of a column that a row must have."""
    value = need(row, column, where)
    if not isinstance(value, str):
        raise wrong_value(where, column, value, "a text")
    return value
