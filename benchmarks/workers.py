"""Worker processes: one for each run, so that nothing a run does to its process can reach another run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from textgym.errors import ConfigurationError

from .ledger import Ledger
from .limits import RunLimits, captured_output
from .losses import STUBBORN, lost_run
from .machine import THREADS, available_cores
from .records import RunSpec
from .run_files import OUTPUT, begin, publish
from .runs import run_in

__all__ = ["available_cores", "run_in_workers", "work_in"]

_UNSENDABLE = "the run's arguments cannot be sent to another process; name functions of a module, not lambdas"
_PROGRESS_SECONDS = 0.2


@dataclass(slots=True)
class _Worker:
    spec: RunSpec
    process: Any
    pipe: Connection
    started: float
    steps: int = 0


def run_in_workers(specs: Sequence[RunSpec], ledger: Ledger, processes: int, limits: RunLimits | None = None) -> None:
    """Runs each spec in a process of its own, so many at a time, within limits; the ledger is told."""
    _Pool(ledger, limits or RunLimits()).run(specs, processes)


class _Pool:
    def __init__(self, ledger: Ledger, limits: RunLimits) -> None:
        self.ledger, self.limits = ledger, limits
        self.workers: dict[Connection, _Worker] = {}

    def run(self, specs: Sequence[RunSpec], processes: int) -> None:
        waiting = list(reversed(specs))
        try:
            while waiting or self.workers:
                while waiting and len(self.workers) < processes:
                    self._start(waiting.pop())
                for pipe in wait(list(self.workers), self._patience()) if self.workers else ():
                    self._listen(pipe)  # type: ignore[arg-type]
                self._end_late_ones()
        finally:
            _end([worker.process for worker in self.workers.values()])

    def _start(self, spec: RunSpec) -> None:
        self.ledger.started(spec)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(spec, self.ledger.out / spec.folder_name, theirs, self.limits))
        try:
            with _one_thread_and_no_interrupts():
                process.start()
        except Exception as error:  # arguments that cannot be sent to another process, such as a lambda
            ours.close()
            reason = ConfigurationError(f"{_UNSENDABLE} ({type(error).__name__}: {error})")
            self.ledger.finished(lost_run(spec, self.ledger.out / spec.folder_name, reason, stage="starting"))
        else:
            self.workers[ours] = _Worker(spec, process, ours, time.perf_counter())
        finally:
            theirs.close()

    def _patience(self) -> float | None:
        """Seconds until the first worker is late; None without a limit."""
        if self.limits.seconds is None:
            return None
        oldest = min(worker.started for worker in self.workers.values())
        return max(0.0, oldest + self.limits.seconds - time.perf_counter())

    def _listen(self, pipe: Connection) -> None:
        worker = self.workers[pipe]
        try:
            message = pipe.recv()
        except (EOFError, OSError):  # the process died without a word: killed, out of memory, a crash in C
            worker.process.join()
            self._lose(worker, code=worker.process.exitcode)
            return
        if isinstance(message, int):
            worker.steps = message
            self.ledger.progress(worker.spec, message)
            return
        self._forget(worker)
        worker.process.join()
        self.ledger.finished(message)

    def _end_late_ones(self) -> None:
        limit, now = self.limits.seconds, time.perf_counter()
        for worker in list(self.workers.values()):
            if limit is not None and now - worker.started > limit and not worker.pipe.poll():
                _end([worker.process])
                reason = f"stopped after {limit / 60:g} minutes, the time limit of a run"
                self._lose(worker, TimeoutError(f"{reason}; it had made {worker.steps:,} steps"), failure="timeout")

    def _lose(self, worker: _Worker, reason: Exception | None = None, **details: Any) -> None:
        self._forget(worker)
        result = lost_run(
            worker.spec,
            self.ledger.out / worker.spec.folder_name,
            reason,
            process=worker.process.pid,
            seconds=time.perf_counter() - worker.started,
            steps=worker.steps,
            output_bytes=self.limits.output_bytes,
            **details,
        )
        self.ledger.finished(result)

    def _forget(self, worker: _Worker) -> None:
        del self.workers[worker.pipe]
        worker.pipe.close()


def _end(processes: Sequence[Any]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(timeout=5)
        if process.is_alive():
            process.kill()
            process.join()


def _work(spec: RunSpec, folder: Path, pipe: Connection, limits: RunLimits) -> None:
    """The life of a worker: one run, its progress and its record sent through the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    _end_with_parent()
    last = 0.0

    def on_progress(steps: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= _PROGRESS_SECONDS:
            last = now
            pipe.send(steps)

    pipe.send(work_in(spec, folder, limits, on_progress=on_progress))
    pipe.close()


def work_in(spec: RunSpec, folder: Path, limits: RunLimits, *, on_progress: Any = None) -> Any:
    """Makes a run in this process, which is there for it alone; what it prints goes to the run's folder.

    Args:
        spec: The run.
        folder: Its folder.
        limits: What it may use; time is for the parent to watch.
        on_progress: Called with the steps made so far.

    Returns:
        The :class:`~textgym.benchmarks.records.RunResult`.
    """
    place = begin(folder)
    stop = partial(os._exit, STUBBORN)
    with captured_output(place / OUTPUT, limits.output_bytes):
        result = run_in(place, spec, on_progress=on_progress, on_stubborn=stop, memory_bytes=limits.memory_bytes)
    publish(place, folder)
    return result


def _end_with_parent() -> None:
    """Ends this process as soon as its parent is gone, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _one_thread_and_no_interrupts() -> Iterator[None]:
    """What a process inherits that is started meanwhile: one thread for numpy and torch, Ctrl-C blocked.

    Both must hold before the child imports anything, so they are set here and not in the child.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
