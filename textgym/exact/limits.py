"""How much work a solution may be, said before it begins."""

from __future__ import annotations

from dataclasses import dataclass

from textgym.errors import TooLargeError

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

    def check(self, what: str, *, texts: float, seconds: float, gigabytes: float, least: bool = False) -> None:
        """Refuses what is estimated to be too much.

        Args:
            what: The problem, as the message names it.
            texts: Number of texts to score, all prompts together.
            seconds: Estimated time.
            gigabytes: Estimated memory.
            least: The estimates are lower bounds.

        Raises:
            TooLargeError: with the estimate, the limits and what would help.
        """
        if seconds <= self.seconds and gigabytes <= self.gigabytes:
            return
        about = "at least" if least else "about"
        raise TooLargeError(
            f"{what} is too large to solve by trying all texts: {about} {texts:,.3g} texts, {_duration(seconds)} and "
            f"{gigabytes:,.3g} GB, where {_duration(self.seconds)} and {self.gigabytes:g} GB are allowed. What would "
            "help: a smaller level, fewer tokens (max_new_tokens=), a smaller vocabulary, one prompt (prompt=), a "
            "reward that offers an automaton (textgym.automata), or higher limits (max_seconds=, max_gigabytes=)"
        )


def _duration(seconds: float) -> str:
    size, unit = max((entry for entry in _UNITS if entry[0] <= max(seconds, 1.0)), key=lambda entry: entry[0])
    return f"{seconds / size:,.3g} {unit}"
