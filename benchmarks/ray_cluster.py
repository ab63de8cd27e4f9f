"""Runs as tasks of a Ray cluster, which may have many machines; no shared disk is needed.

A task does what a comparison on one machine does: it starts a process for its run, watches the limits, and records
whatever happens in it. The finished folder travels back as bytes, and the driver alone writes. So a run that fails is a
record wherever it was made, while a worker or a machine that is lost costs time only: its runs are begun anew.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import platform
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from textgym.errors import ConfigurationError

from .ledger import Ledger
from .limits import RunLimits
from .losses import lost_run
from .ray_connection import connected, import_ray
from .records import RunResult, RunSpec
from .run_files import RECORD, begin, publish
from .shipping import FOLDER_BYTES, importable, own_sources, pack, unpack, work_folder
from .workers import turns, unsendable

__all__ = ["FOLDER_BYTES", "News", "RayTasks", "import_ray", "make_run"]

ATTEMPTS = 4
_PROGRESS_SECONDS = 1.0
_IDLE_SECONDS = 30.0
_AHEAD = 2  # tasks that are handed to Ray for each core, so that none waits for the driver


class News(NamedTuple):
    """What a task tells the driver: ("started", None), ("progress", steps) and at last ("folder", its files)."""

    kind: str
    value: Any


@dataclass(frozen=True, kw_only=True)
class RayTasks:
    """Makes runs on a Ray cluster, one core each.

    Attributes:
        address: As in :func:`textgym.benchmarks.ray_connection.connected`.
        processes: Runs at a time; by default one for each core of the cluster.
        limits: What each run may use.
        attempts: How often a run is begun before it is recorded as lost, when workers or machines die under it.
        folder_bytes: How much a run's folder may hold.
    """

    address: str | None = None
    processes: int | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    attempts: int = ATTEMPTS
    folder_bytes: int = FOLDER_BYTES

    def run(self, specs: Sequence[RunSpec], ledger: Ledger) -> None:
        """Makes each run once.

        Raises:
            ConfigurationError: if the cluster does not answer, or one of its machines has other versions or sources.
        """
        if specs:
            sources = own_sources(specs)
            with connected(self.address, self.processes) as ray:
                _Driver(ray, self, ledger, sources).run(specs)


@dataclass(slots=True)
class _Attempt:
    spec: RunSpec
    number: int = 1
    begun: float = 0.0
    steps: int = 0


class _Driver:
    def __init__(self, ray: Any, settings: RayTasks, ledger: Ledger, sources: Mapping[str, bytes]) -> None:
        self.ray, self.settings, self.ledger = ray, settings, ledger
        self.running: dict[Any, _Attempt] = {}
        self.told_of_waiting = False
        task: Any = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(make_run)
        shared = ray.put(dict(sources)), settings.limits, settings.folder_bytes, str(Path.cwd())
        self._submit: Callable[[RunSpec], Any] = lambda spec: task.remote([ray.put(spec)], *shared)

    def run(self, specs: Sequence[RunSpec]) -> None:
        waiting = deque(_Attempt(spec) for spec in specs if self._can_be_sent(spec))
        try:
            while waiting or self.running:
                while waiting and len(self.running) < self._room():
                    attempt = waiting.popleft()
                    self.running[self._submit(attempt.spec)] = attempt
                ready, _ = self.ray.wait(list(self.running), num_returns=1, timeout=_IDLE_SECONDS, fetch_local=False)
                for stream in ready:
                    again = self._listen(stream)
                    if again is not None:
                        waiting.appendleft(again)
                if not ready:
                    self._tell_of_waiting()
        finally:
            for stream in self.running:
                with contextlib.suppress(Exception):  # the cluster may be gone
                    self.ray.cancel(stream, force=True)

    def _room(self) -> int:
        cores = int(self.ray.cluster_resources().get("CPU", 0))
        wanted = self.settings.processes
        return max(1, _AHEAD * cores) if wanted is None or wanted >= cores else wanted

    def _can_be_sent(self, spec: RunSpec) -> bool:
        try:
            pickle.dumps(spec)
        except Exception as error:  # a lambda among the arguments, for example
            folder = self.ledger.out / spec.folder_name
            self.ledger.finished(lost_run(spec, folder, unsendable(error), stage="starting"))
            return False
        return True

    def _listen(self, stream: Any) -> _Attempt | None:
        """Takes what a task tells; returns the next attempt at its run if the worker is gone."""
        attempt = self.running[stream]
        try:
            news = self.ray.get(next(stream))
        except self.ray.exceptions.RayTaskError as error:  # the worker is not fit for it, so nothing is recorded
            raise _unfit(attempt.spec, error) from error
        except (StopIteration, self.ray.exceptions.RayError) as error:
            del self.running[stream]
            return self._begin_anew(attempt, error)
        if news.kind == "folder":
            del self.running[stream]
            self._keep(attempt.spec, news.value)
        elif news.kind == "progress":
            attempt.steps = news.value
            self.ledger.progress(attempt.spec, news.value)
        else:
            attempt.begun = time.perf_counter()
            self.ledger.started(attempt.spec)
        return None

    def _keep(self, spec: RunSpec, files: Mapping[str, bytes]) -> None:
        result = RunResult.from_json(files[RECORD].decode())
        result.spec = spec
        folder = self.ledger.out / spec.folder_name
        partial = begin(folder)
        unpack(files, partial)
        publish(partial, folder)
        self.ledger.finished(result)

    def _begin_anew(self, attempt: _Attempt, error: Exception) -> _Attempt | None:
        spec, number, why = attempt.spec, attempt.number, type(error).__name__
        if number < self.settings.attempts:
            message = f"{spec.label} seed {spec.seed}: its Ray worker or machine is gone ({why}); begun anew"
            self.ledger.tell("note", f"{message}, attempt {number + 1} of {self.settings.attempts}")
            return _Attempt(spec, number + 1)
        reason = RuntimeError(f"{number} Ray workers or machines died under this run, the last one with {why}: {error}")
        seconds = time.perf_counter() - attempt.begun if attempt.begun else 0.0
        folder = self.ledger.out / spec.folder_name
        self.ledger.finished(lost_run(spec, folder, reason, failure="died", seconds=seconds, steps=attempt.steps))
        return None

    def _tell_of_waiting(self) -> None:
        if not self.told_of_waiting and not any(attempt.begun for attempt in self.running.values()):
            self.told_of_waiting = True
            free = self.ray.available_resources().get("CPU", 0)
            total = self.ray.cluster_resources().get("CPU", 0)
            self.ledger.tell("note", f"still waiting for a free core: {free:g} of the cluster's {total:g} are free")


def _unfit(spec: RunSpec, error: Any) -> ConfigurationError:
    cause = getattr(error, "cause", None)
    if isinstance(cause, ConfigurationError):
        return ConfigurationError(str(cause))
    said = str(error).strip().splitlines()[-1:] or [type(error).__name__]
    return ConfigurationError(
        f"a Ray worker could not make {spec.label} on {spec.env_id}: {said[0]}. If a module is missing there: textgym "
        "must be installed on every machine of the cluster, in the same version and with the same packages"
    )


def make_run(
    spec: Sequence[Any], sources: Mapping[str, bytes], limits: RunLimits, folder_bytes: int, directory: str
) -> Iterator[News]:
    """The task: makes one run in a process of its own, and sends its folder.

    Args:
        spec: A list with one reference to the run, which is looked at when the sources are there.
        sources: Modules of the driver's user, for machines that have not got them.
        limits: What the run may use.
        folder_bytes: How much its folder may hold.
        directory: The driver's; the run is made there if this machine has it, so that paths mean the same.

    Raises:
        ConfigurationError: if this machine has other versions or sources than the driver, naming them.
    """
    import ray

    with work_folder() as place, importable(sources, place / "sources"):
        if Path(directory).is_dir():
            os.chdir(directory)
        made: RunSpec = ray.get(spec[0])
        book = _Book(place)
        try:
            with _no_main_module():
                for _ in turns([made], book, 1, limits):
                    yield from book.take()
        except ConfigurationError as error:
            raise ConfigurationError(f"a machine of the cluster ({platform.node()}) is refused: {error}") from None
        yield News("folder", _packed(made, book.out / made.folder_name, folder_bytes))


def _packed(spec: RunSpec, folder: Path, limit: int) -> dict[str, bytes]:
    try:
        return pack(folder, limit)
    except ConfigurationError as error:
        before = RunResult.from_json((folder / RECORD).read_text(encoding="utf-8"))
        lost_run(spec, folder, error, stage="sending its folder", seconds=before.train_seconds, steps=before.steps)
        return pack(folder, limit)


class _Book:
    """Keeps what a run tells until the task sends it on; of its progress only a little."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._news: list[News] = []
        self._last = 0.0

    def take(self) -> Iterator[News]:  # a generator, because Ray sends to what its tasks yield from
        while self._news:
            yield self._news.pop(0)

    def started(self, spec: RunSpec) -> None:
        self._news.append(News("started", None))

    def progress(self, spec: RunSpec, steps: int) -> None:
        if time.perf_counter() - self._last >= _PROGRESS_SECONDS:
            self._last = time.perf_counter()
            self._news.append(News("progress", steps))

    def finished(self, result: RunResult) -> None:
        """All is in the folder."""


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """A process that is started meanwhile does not import this one's script, which is Ray's own."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
