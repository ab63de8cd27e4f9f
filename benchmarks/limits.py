"""What a run may use: time, memory and room for what it prints."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textgym.errors import ConfigurationError

GIGABYTE = 1024**3
OUTPUT_BYTES = 1_000_000
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """Limits of each run; they decide nothing about the numbers of a run that keeps within them.

    Attributes:
        seconds: Wall time from the start of its process on; None for no limit.
        memory_bytes: Memory that its process may ask for, libraries included; None for no limit. Only where the
            system has such limits: Linux.
        output_bytes: How much of what it prints is kept.

    Raises:
        ConfigurationError: for a limit that is not above 0, or memory on a system that cannot limit it.
    """

    seconds: float | None = None
    memory_bytes: int | None = None
    output_bytes: int = OUTPUT_BYTES

    def __post_init__(self) -> None:
        for name in ("seconds", "memory_bytes", "output_bytes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigurationError(f"{name}={value!r}: expected a number above 0, or None for no limit")
        if self.memory_bytes is not None and not can_limit_memory():
            raise ConfigurationError(f"memory cannot be limited on {sys.platform}; leave that limit out")


def limits_of(minutes: float | None, gigabytes: float | None) -> RunLimits:
    """Limits as they are given on the command line.

    Raises:
        ConfigurationError: as :class:`RunLimits`.

    Example:
        >>> limits_of(1.5, None).seconds
        90.0
    """
    for option, value, unit in (("--timeout", minutes, "minutes"), ("--memory", gigabytes, "gigabytes")):
        if value is not None and not 0 < value < math.inf:
            raise ConfigurationError(f"{option} {value:g}: expected {unit}, more than 0; leave it out for no limit")
    return RunLimits(
        seconds=None if minutes is None else 60.0 * minutes,
        memory_bytes=None if gigabytes is None else int(gigabytes * GIGABYTE),
    )


def can_limit_memory() -> bool:
    """Whether the system limits what a process asks for."""
    return sys.platform.startswith("linux")


@contextlib.contextmanager
def limited_memory(amount: int | None) -> Iterator[None]:
    """Within this, asking for more memory raises MemoryError; a record of that can be written afterwards.

    Private memory is limited (``RLIMIT_DATA``), not addresses: libraries such as torch reserve far more of
    these than they ever use.
    """
    if amount is None:
        yield
        return
    import resource

    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


@contextlib.contextmanager
def captured_output(path: Path, limit: int = OUTPUT_BYTES) -> Iterator[None]:
    """Writes what this process and its children print into a file, of which the first ``limit`` bytes are kept.

    It is for processes of their own: it turns the descriptors 1 and 2 away, so that C code is captured too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    path.write_bytes(b"")
    with path.open("ab", buffering=0) as file:  # for appending: it may be cut while somebody writes
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    done = threading.Event()
    watcher = threading.Thread(target=_keep_small, args=(path, limit, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in zip((1, 2), kept, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
        done.set()
        watcher.join()
        cut_output(path, limit)


def _keep_small(path: Path, limit: int, done: threading.Event) -> None:
    """While a run prints: its file never grows far beyond what is kept of it."""
    while not done.wait(_LOOK_SECONDS):
        if path.stat().st_size > 2 * limit:
            os.truncate(path, limit + 1)  # one byte more than is kept, so that the end shows that there was more


def cut_output(path: Path, limit: int = OUTPUT_BYTES) -> None:
    """Cuts a finished file to ``limit`` bytes and says so at its end."""
    if path.is_file() and path.stat().st_size > limit:
        os.truncate(path, limit)
        with path.open("ab") as file:
            file.write(f"\n[cut here: the run printed more than {limit:,} bytes]\n".encode())
