"""Processes that an agent may do anything in: they end with their parent, and what they started ends with them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Any

PATIENCE = 5.0
"""Seconds for a process to end by itself once it has nothing more to do, or was asked to."""


def stand_alone() -> None:
    """Makes this process the head of a group of its own, and ends the group when its parent is gone, even if killed."""
    if hasattr(os, "setpgid"):
        with contextlib.suppress(OSError):  # it is the head of a session, and so of a group
            os.setpgid(0, 0)
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        _end_group(os.getpid())
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end(processes: Sequence[Any], *, patience: float = PATIENCE) -> None:
    """Asks processes that stand alone to end, kills those that do not, and all that they have started."""
    for process in processes:
        process.terminate()
    for process in processes:
        finish(process, patience=patience)


def finish(process: Any, *, patience: float = PATIENCE) -> None:
    """Waits for a process that is about to end; then it is killed, and with it whatever it has started.

    A thread or a child that an agent has left behind must not keep a comparison waiting, or take its cores.
    """
    process.join(timeout=patience)
    if process.is_alive():
        process.kill()
        process.join()
    _end_group(process.pid)


def _end_group(number: int) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):  # mostly there is nobody left
            os.killpg(number, signal.SIGKILL)
