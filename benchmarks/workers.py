"""Worker processes: one for each run, so that nothing a run does to its process can reach another run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from textgym.errors import ConfigurationError

from .ledger import Ledger
from .records import RunResult, RunSpec, versions
from .runs import run

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_UNSENDABLE = "the run's arguments cannot be sent to another process; name functions of a module, not lambdas"
_PROGRESS_SECONDS = 0.2


def available_cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on Windows and macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@dataclass(slots=True)
class _Worker:
    spec: RunSpec
    process: Any
    pipe: Connection
    started: float


def run_in_workers(specs: Sequence[RunSpec], ledger: Ledger, processes: int) -> None:
    """One process a run: nothing that one run does to its process can reach another run."""
    waiting, workers = list(specs), dict[Connection, _Worker]()
    try:
        while waiting or workers:
            while waiting and len(workers) < processes:
                _start(waiting.pop(0), workers, ledger)
            for pipe in wait(list(workers)) if workers else ():  # none, if no process could be started
                _listen(workers, pipe, ledger)  # type: ignore[arg-type]
    finally:
        _end([worker.process for worker in workers.values()])


def _start(spec: RunSpec, workers: dict[Connection, _Worker], ledger: Ledger) -> None:
    ledger.started(spec)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(spec, ledger.out / spec.folder_name, theirs))
    try:
        with _one_thread_and_no_interrupts():
            process.start()
    except Exception as error:  # arguments that cannot be sent to another process, such as a lambda
        ours.close()
        ledger.finished(_failed(spec, ConfigurationError(f"{_UNSENDABLE} ({type(error).__name__}: {error})")))
    else:
        workers[ours] = _Worker(spec, process, ours, time.perf_counter())
    finally:
        theirs.close()


def _listen(workers: dict[Connection, _Worker], pipe: Connection, ledger: Ledger) -> None:
    worker = workers[pipe]
    try:
        message = pipe.recv()
    except (EOFError, OSError):  # the process died without a word: killed, out of memory, a crash in C
        worker.process.join()
        code = worker.process.exitcode
        message = _failed(worker.spec, RuntimeError(f"the worker process died with exit code {code}"))
        message.train_seconds = time.perf_counter() - worker.started
    if isinstance(message, int):
        ledger.progress(worker.spec, message)
        return
    del workers[pipe]
    pipe.close()
    worker.process.join()
    ledger.finished(message)


def _failed(spec: RunSpec, error: Exception) -> RunResult:
    result = RunResult(spec=spec, versions=versions())
    result.fail(error)
    return result


def _end(processes: Sequence[Any]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(timeout=5)
        if process.is_alive():
            process.kill()
            process.join()


def _work(spec: RunSpec, folder: Path, pipe: Connection) -> None:
    """The life of a worker: one run, its progress and its record sent through the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    last = 0.0

    def on_progress(steps: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= _PROGRESS_SECONDS:
            last = now
            pipe.send(steps)

    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / "output.txt").open("w", encoding="utf-8") as output,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        result = run(spec, folder, on_progress=on_progress)
    pipe.send(result)
    pipe.close()


@contextlib.contextmanager
def _one_thread_and_no_interrupts() -> Iterator[None]:
    """What a process inherits that is started meanwhile: one thread for numpy and torch, Ctrl-C blocked.

    Both must hold before the child imports anything, so they are set here and not in the child.
    """
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
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
