"""Reading what a process says, never more than is wanted."""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import sys
import threading
from dataclasses import dataclass, field
from typing import IO

KEPT_BYTES = 20_000
WAITING_LINES = 8
"""Lines that may wait to be read: a process that says more has to wait itself."""


class TooLong:
    """Stands for a line that is longer than allowed; nothing comes after it."""

    def __bool__(self) -> bool:
        return False


class LineReader:
    """Reads lines as soon as they are there; after the last one comes ``b""``.

    Args:
        pipe: Where they come from.
        longest: Most bytes of a line; after a longer one nothing more is read.
    """

    def __init__(self, pipe: IO[bytes], longest: int) -> None:
        self._descriptor, self._longest = pipe.fileno(), longest
        self._buffer = bytearray()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._descriptor, selectors.EVENT_READ)

    def get(self, seconds: float) -> bytes | TooLong | None:
        """The next line, or None if there is none for so long."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            if len(self._buffer) > self._longest:
                return TooLong()
            searched = len(self._buffer)
            if not self._selector.select(seconds):
                return None
            part = os.read(self._descriptor, 1 << 16)
            if not part:
                return b""
            self._buffer += part
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    def close(self) -> None:
        """Reads no more."""
        self._selector.close()


class ThreadedLineReader:
    """The same on a thread, for Windows, where pipes cannot be waited for. The arguments are those of LineReader."""

    def __init__(self, pipe: IO[bytes], longest: int) -> None:
        self._pipe, self._longest = pipe, longest
        self._lines: queue.Queue[bytes | TooLong] = queue.Queue(WAITING_LINES)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def get(self, seconds: float) -> bytes | TooLong | None:
        """The next line, or None if there is none for so long."""
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Reads no more, and waits for the thread."""
        self._left.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        line: bytes | TooLong = b"\n"
        while line and not self._left.is_set():
            line = self._read()
            self._put(line)

    def _read(self) -> bytes | TooLong:
        try:
            line = self._pipe.readline(self._longest)
        except (OSError, ValueError):
            return b""  # closed on this side
        if line.endswith(b"\n"):
            return line
        return TooLong() if len(line) == self._longest else b""

    def _put(self, line: bytes | TooLong) -> None:
        while not self._left.is_set():
            with contextlib.suppress(queue.Full):
                self._lines.put(line, timeout=0.1)
                break


def read_lines(pipe: IO[bytes], longest: int) -> LineReader | ThreadedLineReader:
    """The reader for this system."""
    return ThreadedLineReader(pipe, longest) if sys.platform == "win32" else LineReader(pipe, longest)


@dataclass
class Keeper:
    """Keeps the beginning of what a process prints, and counts the rest.

    Attributes:
        text: What was kept.
        count: Bytes in all.
    """

    text: str = ""
    count: int = 0
    _threads: list[threading.Thread] = field(default_factory=list)

    def follow(self, pipe: IO[bytes]) -> None:
        """Reads a pipe to its end, on a thread."""
        thread = threading.Thread(target=self._run, args=(pipe,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Waits for the ends of the pipes."""
        while self._threads:
            self._threads.pop().join(timeout=5.0)

    def forget(self) -> None:
        """Begins anew."""
        self.text, self.count = "", 0

    def _run(self, pipe: IO[bytes]) -> None:
        with pipe:
            while part := os.read(pipe.fileno(), 1 << 16):
                room = max(0, KEPT_BYTES - self.count)
                self.text += part[:room].decode("utf-8", "replace")
                self.count += len(part)
