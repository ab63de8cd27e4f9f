"""How much work a solution may be, said before it begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textgym.errors import ConfigurationError, TooLargeError

_FEWER_TEXTS = (
    "a smaller level, fewer tokens (max_new_tokens=), a smaller vocabulary, one prompt (prompt=), a reward that offers "
    "an automaton (textgym.automata)"
)
_UNITS = ((1.0, "seconds"), (60.0, "minutes"), (3600.0, "hours"), (86400.0, "days"), (31557600.0, "years"))


@dataclass(frozen=True)
class Limits:
    """The most that a solution may take.

    Attributes:
        seconds: Time; estimated from a small sample, not measured to the end.
        gigabytes: Memory of the arrays.
    """

    seconds: float = 120.0
    gigabytes: float = 2.0

    def __post_init__(self) -> None:
        for name, value in (("max_seconds", self.seconds), ("max_gigabytes", self.gigabytes)):
            if not isinstance(value, int | float | np.number) or not value > 0.0:
                raise ConfigurationError(f"{name}={value!r}: expected a number above 0")

    def check(
        self,
        what: str,
        *,
        work: str,
        seconds: float,
        gigabytes: float,
        least: bool = False,
        help_with: str = _FEWER_TEXTS,
    ) -> None:
        """Refuses what is estimated to be too much.

        Args:
            what: The problem and how it would be solved, as the message names it.
            work: What there is to do, in numbers.
            seconds: Estimated time.
            gigabytes: Estimated memory.
            least: The estimates are lower bounds.
            help_with: What would make it smaller.

        Raises:
            TooLargeError: with the estimate, the limits and what would help.
        """
        if seconds <= self.seconds and gigabytes <= self.gigabytes:
            return
        about = "at least" if least else "about"
        raise TooLargeError(
            f"{what}: {about} {work}, {_duration(seconds)} and {gigabytes:,.3g} GB, where {_duration(self.seconds)} "
            f"and {self.gigabytes:g} GB are allowed. What would help: {help_with}, or higher limits (max_seconds=, "
            "max_gigabytes=)"
        )


def _duration(seconds: float) -> str:
    size, unit = max((entry for entry in _UNITS if entry[0] <= max(seconds, 1.0)), key=lambda entry: entry[0])
    return f"{seconds / size:,.3g} {unit}"
