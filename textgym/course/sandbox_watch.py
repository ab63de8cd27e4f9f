"""Watching and ending the processes of a submission: what they use, and all of them at once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MARK = "TEXTGYM_SUBMISSION"
"""An environment variable by which processes are found again that have run away from their parents."""

PROC = Path("/proc")
HAS_PROC = sys.platform.startswith("linux")
KILL_ROUNDS = 200


@dataclass(frozen=True)
class Usage:
    """What a process and its descendants use.

    Attributes:
        seconds: Processor time of those that are alive; None where it cannot be read.
        gigabytes: Memory; None where it cannot be read.
        processes: How many there are.
    """

    seconds: float | None
    gigabytes: float | None
    processes: int


def measure(pid: int) -> Usage:
    """What this process and its descendants use at the moment."""
    if HAS_PROC:
        return _measure_proc(pid)
    if sys.platform == "win32":
        return Usage(None, _windows_gigabytes(pid), 1)
    return _measure_ps(pid)


def family(pid: int) -> list[int]:
    """The process and its descendants, as far as they have not run away."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        for children in PROC.glob(f"{one}/task/*/children"):
            with contextlib.suppress(OSError, ValueError):
                waiting.extend(int(word) for word in children.read_text(encoding="ascii").split())
    return found


def _measure_proc(pid: int) -> Usage:
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    seconds = pages = 0.0
    members = family(pid)
    for member in members:
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = (PROC / str(member) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            seconds += sum(map(int, fields[11:15])) / ticks  # its own, and that of children who have ended
            resident, shared = map(int, (PROC / str(member) / "statm").read_text(encoding="ascii").split()[1:3])
            pages += resident if member == members[0] or len(members) < 4 else resident - shared
    return Usage(seconds, pages * page / 1024**3, len(members))


def _measure_ps(pid: int) -> Usage:
    """By the command ps, for macOS and other systems without /proc."""
    command = ["ps", "-o", "rss=", "-g", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    sizes = [int(word) for word in answer.stdout.split() if word.isdecimal()]
    return Usage(None, sum(sizes) / 1024**2, len(sizes))


def _windows_gigabytes(pid: int) -> float | None:
    """The working set of a process, asked of Windows."""
    import ctypes

    class Counters(ctypes.Structure):
        _fields_ = [("size", ctypes.c_ulong), ("faults", ctypes.c_ulong)] + [
            (name, ctypes.c_size_t) for name in ("peak", "working_set", "a", "b", "c", "d", "pagefile", "f")
        ]

    libraries = getattr(ctypes, "windll")  # noqa: B009 - exists on Windows alone
    process = libraries.kernel32.OpenProcess(0x0410, False, pid)
    counters = Counters(size=ctypes.sizeof(Counters))
    found = process and libraries.psapi.GetProcessMemoryInfo(process, ctypes.byref(counters), counters.size)
    libraries.kernel32.CloseHandle(process)
    return counters.working_set / 1024**3 if found else None


def end(pid: int, mark: str) -> None:
    """Ends a process, its group, its descendants, and those that bear its mark; waits until they are gone.

    Args:
        pid: A process that leads its own group.
        mark: The value of :data:`MARK` in its environment.
    """
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(pid)], capture_output=True, check=False)
        return
    members = family(pid) if HAS_PROC else [pid]
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for _ in range(KILL_ROUNDS):
        for member in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(member, signal.SIGKILL)
        members = marked(mark)
        if not members:
            return
        time.sleep(0.01)


def marked(mark: str) -> list[int]:
    """The living processes that bear a mark, whoever their parents are by now."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for environment in PROC.glob("[0-9]*/environ") if HAS_PROC else ():
        with contextlib.suppress(OSError):
            if wanted in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return found
