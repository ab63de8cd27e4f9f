"""Where the runs of a comparison are made: in this process, in processes of their own, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from textgym.errors import ConfigurationError, unknown_name

from .ledger import Ledger
from .limits import RunLimits
from .machine import available_cores
from .records import RunSpec
from .runs import run
from .workers import run_in_workers

EXECUTORS = ("local", "ray")


class Executor(Protocol):
    """Makes runs, wherever it likes. Any object with this method will do."""

    def run(self, specs: Sequence[RunSpec], ledger: Ledger) -> None:
        """Makes each run once.

        A run's folder must be at its place below ``ledger.out`` before ``ledger.finished`` is told of its record, and
        both must be done by the calling process alone. What goes wrong in a run is a record too.

        Args:
            specs: What to run.
            ledger: Told what happens.

        Raises:
            KeyboardInterrupt: after Ctrl-C, once nothing is running any more.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class InThisProcess:
    """One run after another, without limits of time and memory."""

    def run(self, specs: Sequence[RunSpec], ledger: Ledger) -> None:
        """Makes each run once."""
        for spec in specs:
            ledger.started(spec)
            ledger.finished(run(spec, ledger.out / spec.folder_name, on_progress=partial(ledger.progress, spec)))


@dataclass(frozen=True, kw_only=True)
class LocalProcesses:
    """A process for each run on this machine, with one thread and within limits.

    Attributes:
        processes: Runs at a time; by default one a core.
        limits: What each run may use.
    """

    processes: int | None = None
    limits: RunLimits = field(default_factory=RunLimits)

    def run(self, specs: Sequence[RunSpec], ledger: Ledger) -> None:
        """Makes each run once."""
        run_in_workers(specs, ledger, self.processes or available_cores(), self.limits)


def make_executor(
    name: str = "local",
    *,
    processes: int | None = None,
    limits: RunLimits | None = None,
    address: str | None = None,
) -> Executor:
    """The executor of that name.

    Args:
        name: "local" or "ray".
        processes: Runs at a time; 0 for all in this process, one after another.
        limits: What each run may use.
        address: Of a Ray cluster that is there; by default one is started on this machine.

    Raises:
        ConfigurationError: for arguments that do not fit each other.
        UnknownNameError: for another name.
        MissingDependencyError: if Ray is wanted and not installed.

    Example:
        >>> make_executor(processes=2).processes
        2
    """
    if name not in EXECUTORS:
        raise unknown_name("executor", name, EXECUTORS)
    if processes is not None and processes < 0:
        raise ConfigurationError(f"processes={processes}: expected a number of workers, or 0 for none")
    if name == "ray":
        return _on_ray(processes, limits or RunLimits(), address)
    if address is not None:
        raise ConfigurationError(f"address={address!r} is for the executor 'ray'; this one is 'local'")
    if processes == 0:
        if limits is not None and (limits.seconds or limits.memory_bytes):
            raise ConfigurationError("processes=0: limits of time and memory need worker processes; expected 1 or more")
        return InThisProcess()
    return LocalProcesses(processes=processes, limits=limits or RunLimits())


def _on_ray(processes: int | None, limits: RunLimits, address: str | None) -> Executor:
    from .ray_cluster import RayTasks, import_ray

    if processes == 0:
        raise ConfigurationError("processes=0 means this process; with the executor 'ray' expected 1 or more")
    import_ray()
    return RayTasks(processes=processes, limits=limits, address=address)
