"""What a submission may use, and how it fails."""

from __future__ import annotations

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
        total_seconds: Processor time of the whole process.
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
    kind, message, line = (error.get(name) for name in ("type", "message", "line"))
    if kind == "MemoryError":
        return f"{what} asked for more than the {limits.gigabytes:g} GB of memory that it may use"
    where = f" (line {line})" if isinstance(line, int) else ""
    verb = "ended the program by" if kind == "SystemExit" else "raised"
    return f"{what} {verb} {kind}{': ' if message else ''}{message}{where}"
