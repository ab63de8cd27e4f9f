"""Worker processes: one for each run, so that nothing a run does to its process can reach another run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from textgym.errors import ConfigurationError

from .limits import RunLimits, captured_output
from .losses import STUBBORN, lost_run
from .machine import THREADS, available_cores
from .processes import end, finish, stand_alone
from .records import RunResult, RunSpec
from .run_files import OUTPUT, begin, publish
from .run_keys import changes_here
from .runs import run_in

__all__ = ["AnotherRunError", "Book", "available_cores", "run_in_workers", "turns", "unsendable", "work_in"]

_UNSENDABLE = "the run's arguments cannot be sent to another process; name functions of a module, not lambdas"
_PROGRESS_SECONDS = 0.2
_LOOK_SECONDS = 1.0  # a process may die while a child of its agent keeps its pipe open, so nothing tells of that


class AnotherRunError(ConfigurationError):
    """A process has other sources, files or versions than its run was planned with, so it would make another run."""


class _Stage(NamedTuple):
    name: str


@dataclass(slots=True)
class _Worker:
    spec: RunSpec
    process: Any
    pipe: Connection
    started: float
    steps: int = 0
    stage: str = ""


class Book(Protocol):
    """Who is told what happens to runs, such as a :class:`~textgym.benchmarks.ledger.Ledger`.

    Attributes:
        out: Where the folders of the runs belong.
    """

    out: Path

    def started(self, spec: RunSpec) -> None:
        """A run begins."""
        ...

    def progress(self, spec: RunSpec, steps: int) -> None:
        """A run has made so many steps."""
        ...

    def finished(self, result: RunResult) -> None:
        """A run has ended, and its folder is there."""
        ...


def run_in_workers(specs: Sequence[RunSpec], book: Book, processes: int, limits: RunLimits | None = None) -> None:
    """Runs each spec in a process of its own, so many at a time, within limits; the book is told.

    Raises:
        AnotherRunError: if a source, a file or a version has changed since the runs were sealed, naming it.
    """
    try:
        for _ in turns(specs, book, processes, limits):
            pass
    except AnotherRunError as error:
        raise AnotherRunError(
            f"something was changed while the comparison ran: {error}. What is finished is kept, and the rest was "
            "ended; undo the change and start the same command again, or pass --new"
        ) from None


def turns(specs: Sequence[RunSpec], book: Book, processes: int, limits: RunLimits | None = None) -> Iterator[None]:
    """As :func:`run_in_workers`, with a yield whenever something may have happened.

    Each process looks first if it has the sources, files and versions that its run was sealed with.

    Args:
        specs: The runs.
        book: Who is told.
        processes: Runs at a time.
        limits: What each may use.

    Raises:
        AnotherRunError: if such a process has others, naming them; nothing is recorded of its run.
    """
    return _Pool(book, limits or RunLimits()).turns(specs, processes)


def unsendable(error: Exception) -> ConfigurationError:
    """The error for a run with arguments that cannot be sent to another process."""
    return ConfigurationError(f"{_UNSENDABLE} ({type(error).__name__}: {error})")


class _Pool:
    def __init__(self, book: Book, limits: RunLimits) -> None:
        self.book, self.limits = book, limits
        self.workers: dict[Connection, _Worker] = {}

    def turns(self, specs: Sequence[RunSpec], processes: int) -> Iterator[None]:
        waiting = list(reversed(specs))
        try:
            while waiting or self.workers:
                while waiting and len(self.workers) < processes:
                    self._start(waiting.pop())
                    yield
                for pipe in wait(list(self.workers), self._patience()) if self.workers else ():
                    self._listen(pipe)  # type: ignore[arg-type]
                self._look_after()
                yield
        finally:
            end([worker.process for worker in self.workers.values()])

    def _start(self, spec: RunSpec) -> None:
        self.book.started(spec)
        folder = self.book.out / spec.folder_name
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(spec, folder, theirs, self.limits))
        try:
            with _one_thread_and_no_interrupts():
                process.start()
        except Exception as error:  # arguments that cannot be sent to another process, such as a lambda
            ours.close()
            self.book.finished(lost_run(spec, folder, unsendable(error), stage="starting"))
        else:
            self.workers[ours] = _Worker(spec, process, ours, time.perf_counter())
        finally:
            theirs.close()

    def _patience(self) -> float:
        """Seconds until somebody has to look: the first worker is late, or one may have died in silence."""
        if self.limits.seconds is None:
            return _LOOK_SECONDS
        oldest = min(worker.started for worker in self.workers.values())
        return min(_LOOK_SECONDS, max(0.0, oldest + self.limits.seconds - time.perf_counter()))

    def _listen(self, pipe: Connection) -> None:
        worker = self.workers[pipe]
        try:
            message = pipe.recv()
        except (EOFError, OSError):  # the process died without a word: killed, out of memory, a crash in C
            self._lose_dead(worker)
            return
        if isinstance(message, int):
            worker.steps = message
            self.book.progress(worker.spec, message)
        elif isinstance(message, _Stage):
            worker.stage = message.name
        else:
            self._forget(worker)
            finish(worker.process)
            if isinstance(message, str):
                raise AnotherRunError(message)
            self.book.finished(message)

    def _look_after(self) -> None:
        for worker in list(self.workers.values()):
            dead = worker.process.exitcode is not None  # asked first: all that it said is in the pipe by then
            if worker.pipe.poll():
                continue  # it has something to say
            if dead:
                self._lose_dead(worker)
            elif self.limits.seconds is not None and time.perf_counter() - worker.started > self.limits.seconds:
                self._lose_late(worker, self.limits.seconds)

    def _lose_dead(self, worker: _Worker) -> None:
        finish(worker.process)
        self._lose(worker, code=worker.process.exitcode)

    def _lose_late(self, worker: _Worker, limit: float) -> None:
        end([worker.process])
        reason = f"stopped after {limit / 60:g} minutes, the time limit of a run"
        self._lose(worker, TimeoutError(f"{reason}; it had made {worker.steps:,} steps"), failure="timeout")

    def _lose(self, worker: _Worker, reason: Exception | None = None, **details: Any) -> None:
        self._forget(worker)
        result = lost_run(
            worker.spec,
            self.book.out / worker.spec.folder_name,
            reason,
            process=worker.process.pid,
            seconds=time.perf_counter() - worker.started,
            steps=worker.steps,
            stage=worker.stage,
            output_bytes=self.limits.output_bytes,
            **details,
        )
        self.book.finished(result)

    def _forget(self, worker: _Worker) -> None:
        del self.workers[worker.pipe]
        worker.pipe.close()


def _work(spec: RunSpec, folder: Path, pipe: Connection, limits: RunLimits) -> None:
    """The life of a worker: one run, its progress and its record sent through the pipe, or why it refuses."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    stand_alone()
    last = 0.0

    def on_progress(steps: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= _PROGRESS_SECONDS:
            last = now
            pipe.send(steps)

    changes = changes_here(spec)
    if changes:
        shown = f"{'; '.join(map(str, changes[:3]))}{' and so on' if len(changes) > 3 else ''}"
        pipe.send(f"{spec.label} on {spec.env_id} would be another run: {shown}")
    else:
        pipe.send(work_in(spec, folder, limits, on_progress=on_progress, on_stage=lambda name: pipe.send(_Stage(name))))
    pipe.close()


def work_in(
    spec: RunSpec,
    folder: Path,
    limits: RunLimits,
    *,
    on_progress: Any = None,
    on_stage: Callable[[str], None] | None = None,
) -> RunResult:
    """Makes a run in this process, which is there for it alone; what it prints goes to the run's folder.

    Args:
        spec: The run.
        folder: Its folder.
        limits: What it may use; time is for the parent to watch.
        on_progress: Called with the steps made so far.
        on_stage: Called with what begins, such as "learn".
    """
    place = begin(folder)
    stop = partial(os._exit, STUBBORN)
    with captured_output(place / OUTPUT, limits.output_bytes):
        result = run_in(
            place,
            spec,
            on_progress=on_progress,
            on_stage=on_stage,
            on_stubborn=stop,
            memory_bytes=limits.memory_bytes,
        )
    publish(place, folder)
    return result


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
