"""What a submission may use, and how it fails."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from textgym.errors import TextGymError


@dataclass(frozen=True, kw_only=True)
class SandboxLimits:
    """What a submission may use.

    Attributes:
        seconds: Processor time for one question.
        gigabytes: Memory.
        disk_megabytes: Files in its private folder.
        patience: How many times longer than :attr:`seconds` it may be silent by the clock: machines are busy, and where
            processor time cannot be read this is the limit.
        total_seconds: Processor time of the whole process; and how long the grader waits for it in all.
    """

    seconds: float = 10.0
    gigabytes: float = 2.0
    disk_megabytes: int = 64
    patience: float = 4.0
    total_seconds: int = 600


class SandboxError(TextGymError, RuntimeError):
    """A system that cannot run submissions as it should: nobody's submission is to blame."""


class Unanswered(TextGymError):  # noqa: N818 - the submission's failure, not ours
    """A submission that did not answer; the message is a sentence about it."""


class Raised(Unanswered):
    """A submission that raised an exception. Its process goes on, so that it can be asked something else."""


def complaint(what: str, error: Any, limits: SandboxLimits) -> str:
    """An exception of a submission in words, without a full stop.

    Args:
        what: What was asked.
        error: What its process says about the exception; not to be believed.
        limits: What it may use.
    """
    error = error if isinstance(error, dict) else {}
    kind, message = (plain(str(error.get(name) or "")) for name in ("type", "message"))
    line = error.get("line")
    if kind == "MemoryError":
        return f"{what} asked for more than the {limits.gigabytes:g} GB of memory that it may use"
    if error.get("returned"):
        return f"{what} returned {message}"
    where = f" (line {line})" if isinstance(line, int) else ""
    verb = "ended the program by" if kind == "SystemExit" else "raised"
    return f"{what} {verb} {kind}{': ' if message else ''}{message}{where}"


def ending(what: str, status: int, limits: SandboxLimits) -> str:
    """How a process has ended that should have answered, in words, without a full stop.

    Args:
        what: What was asked.
        status: Its exit status; for a signal minus its number, or 128 and its number.
        limits: What it may use.

    Example:
        >>> ending("f()", 0, SandboxLimits())
        'f() ended the program with status 0 instead of answering'
    """
    number = status - 128 if status > 128 else -status
    if number <= 0:
        return f"{what} ended the program with status {status} instead of answering"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    if name == "SIGXCPU":
        return f"{what} came when the submission had used all of its {limits.total_seconds} seconds of processor time"
    return f"{what} was ended by signal {number} ({name}) instead of answering"


def printable(text: str) -> str:
    r"""A line without what a terminal would obey and a file could not hold: control characters and lone surrogates.

    Example:
        >>> printable("\x1b[2J100 of 100")
        '?[2J100 of 100'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text.expandtabs())


def plain(text: str, most: int = 500) -> str:
    r"""What a submission says, as one harmless line of at most so many letters.

    Example:
        >>> plain("wrong\n100 of 100 points")
        'wrong 100 of 100 points'
    """
    return printable(" ".join(text[: 2 * most].split()))[:most]
