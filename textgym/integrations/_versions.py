"""Whether an optional package is there, in a version that was tried."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from textgym.errors import ConfigurationError, missing_dependency


def require(package: str, extra: str, at_least: str, below: str) -> None:
    """Checks that a package can be imported in a version that this integration was tried with.

    Args:
        package: The distribution's name, as pip knows it.
        extra: The extra of textgym that installs it.
        at_least: The oldest version, such as ``"1.16"``.
        below: The first version that was not tried, such as ``"2"``.

    Raises:
        MissingDependencyError: if it is not installed; says the pip line.
        ConfigurationError: for another version; says the range.
    """
    try:
        found = version(package)
    except PackageNotFoundError:
        raise missing_dependency(package, extra, f"textgym.integrations.{extra}") from None
    if not _numbers(at_least) <= _numbers(found) < _numbers(below):
        raise ConfigurationError(
            f"{package} {found} is installed, and textgym works with {package}>={at_least},<{below}: "
            f"pip install '{package}>={at_least},<{below}'"
        )


def _numbers(text: str) -> tuple[int, ...]:
    """``"2.9.0rc1"`` to ``(2, 9, 0)``: the numbers that the version begins with, release only."""
    numbers = []
    for part in text.split("."):
        digits = re.match(r"\d+", part)
        if digits is None:
            break
        numbers.append(int(digits[0]))
        if digits[0] != part:  # such as 0rc1 or 2+cpu
            break
    return tuple(numbers)
