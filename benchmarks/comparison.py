"""Comparing agents: every run in a process of its own, here or on a cluster; finished runs kept whatever happens.

A comparison lives in one folder: ``plan.json`` (what is to be run), ``ledger.jsonl`` (one line a finished
run, written by this process alone), a folder for each run, and ``report.html``. Started again in the same
folder, it goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from textgym.errors import ConfigurationError

from .executors import Executor, make_executor
from .folder_lock import locked
from .ledger import PLAN, RESULTS, Event, Ledger, OnEvent, read_plan, read_problems, read_results, write_plan
from .ledger_file import OLD_RESULTS
from .limits import RunLimits
from .records import RunResult, RunSpec
from .run_files import move_aside, remove_partial
from .run_keys import seal
from .suites import Suite, get_suite

__all__ = ["Event", "OnEvent", "RunLimits", "compare", "read_plan", "read_problems", "read_results", "start_anew"]


def compare(
    suite: Suite | str,
    out: Path | str,
    *,
    seeds: Sequence[int] | None = None,
    budget: float = 1.0,
    processes: int | None = None,
    agents: Sequence[str] | None = None,
    limits: RunLimits | None = None,
    resume: bool = True,
    executor: Executor | str = "local",
    address: str | None = None,
    on_event: OnEvent | None = None,
    on_plan: Callable[[Ledger], None] | None = None,
) -> list[RunResult]:
    """Runs a suite, or what is left of it.

    Workers are started by ``spawn`` on every system, so a script that calls this needs the usual
    ``if __name__ == "__main__":``.

    Args:
        suite: A suite or its name.
        out: Folder of the comparison; made if missing.
        seeds: Instead of the suite's own.
        budget: Multiplies every number of steps.
        processes: Runs at a time, by default one a core; 0 runs all in this process, one after another.
        agents: Only these.
        limits: What each run may use; none by default. They need worker processes.
        resume: Go on in a folder where there is something. Else that folder is given another name, and nothing of
            it is used.
        executor: "local" (processes on this machine), "ray" (tasks of a Ray cluster), or an object that knows all about
            processes, limits and address itself.
        address: Of a Ray cluster that is there, as "HOST:PORT" or "auto"; by default one is started on this machine.
        on_event: Told what happens.
        on_plan: Called with the ledger before anything starts, for example to tell what the rest will cost.

    Returns:
        The records of all runs of the plan, in its order.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the workers are ended; what is finished stays.
        ConfigurationError: for arguments that cannot work, a folder in use, an edited ledger, a folder with runs of
            another configuration, naming the field, or a Ray cluster that does not answer or has other versions.
        MissingDependencyError: if Ray is wanted and not installed.
    """
    suite = get_suite(suite) if isinstance(suite, str) else suite
    out = Path(out)
    specs = suite.specs(seeds=seeds, budget=budget, agents=agents)
    executor = _chosen(executor, processes, limits, address)
    specs = _different(seal(specs))
    moved = None if resume else start_anew(out)
    if moved is not None and on_event is not None:
        message = f"what was in {out} is now in {moved}"
        on_event(Event(kind="note", message=message, done=0, total=len(specs)))
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        ledger = Ledger(out, specs, on_event)
        write_plan(suite, out, specs)
        remove_partial(out)
        if on_plan is not None:
            on_plan(ledger)
        ledger.announce_plan()
        _run(ledger, executor)
    return [ledger.results[spec.key] for spec in specs]


def start_anew(out: Path) -> Path | None:
    """Gives a comparison's folder another name, which is returned; nothing is ever deleted.

    Raises:
        ConfigurationError: if another process is at work there, or the folder holds something else.
    """
    if not out.is_dir() or not any(out.iterdir()):
        return None
    if not any((out / name).is_file() for name in (PLAN, RESULTS, OLD_RESULTS)):
        raise ConfigurationError(f"{str(out)!r} is no folder of a comparison; give another one with --out")
    with locked(out):
        pass
    try:
        return move_aside(out)
    except OSError as error:
        raise ConfigurationError(f"{str(out)!r} cannot be given another name: {error.strerror or error}") from None


def _chosen(executor: Executor | str, processes: int | None, limits: RunLimits | None, address: str | None) -> Executor:
    if isinstance(executor, str):
        return make_executor(executor, processes=processes, limits=limits, address=address)
    if not all(value is None for value in (processes, limits, address)):
        raise ConfigurationError(f"processes, limits and address belong to the executor; give them to {executor!r}")
    return executor


def _different(specs: list[RunSpec]) -> list[RunSpec]:
    labels: dict[str, str] = {}
    for spec in specs:
        if spec.key in labels:
            raise ConfigurationError(
                f"{labels[spec.key]} and {spec.label} are the same run on {spec.env_id} under two labels; leave one out"
            )
        labels[spec.key] = spec.label
    return specs


def _run(ledger: Ledger, executor: Executor) -> None:
    waiting = [spec for spec in ledger.specs if spec.key not in ledger.results]
    try:
        executor.run(waiting, ledger)
    except KeyboardInterrupt:
        ledger.tell("interrupted", f"interrupted: {ledger.counts}; the same command goes on from here")
        raise
