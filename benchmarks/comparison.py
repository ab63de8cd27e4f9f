"""Comparing agents: every run in a process of its own, finished runs kept whatever happens.

A comparison lives in one folder: ``plan.json`` (what is to be run), ``ledger.jsonl`` (one line a finished
run, written by this process alone), a folder for each run, and ``report.html``. Started again in the same
folder, it goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from textgym.errors import ConfigurationError

from .folder_lock import locked
from .ledger import PLAN, RESULTS, Event, Ledger, OnEvent, read_plan, read_problems, read_results, write_plan
from .ledger_file import OLD_RESULTS
from .limits import RunLimits
from .records import RunResult, RunSpec
from .run_files import move_aside, remove_partial
from .run_keys import seal
from .runs import run
from .suites import Suite, get_suite
from .workers import available_cores, run_in_workers

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
        on_event: Told what happens.
        on_plan: Called with the ledger before anything starts, for example to tell what the rest will cost.

    Returns:
        The records of all runs of the plan, in its order.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the workers are ended; what is finished stays.
        ConfigurationError: for arguments that cannot work, a folder in use, an edited ledger, or a folder with runs of
            another configuration, naming the field.
    """
    suite = get_suite(suite) if isinstance(suite, str) else suite
    out = Path(out)
    specs = suite.specs(seeds=seeds, budget=budget, agents=agents)
    _check(processes, limits)
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
        _run(ledger, processes, limits)
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
    return move_aside(out)


def _check(processes: int | None, limits: RunLimits | None) -> None:
    if processes is not None and processes < 0:
        raise ConfigurationError(f"processes={processes}: expected a number of workers, or 0 for none")
    if processes == 0 and limits is not None and (limits.seconds or limits.memory_bytes):
        raise ConfigurationError("processes=0: limits of time and memory need worker processes; expected 1 or more")


def _different(specs: list[RunSpec]) -> list[RunSpec]:
    labels: dict[str, str] = {}
    for spec in specs:
        if spec.key in labels:
            raise ConfigurationError(
                f"{labels[spec.key]} and {spec.label} are the same run on {spec.env_id} under two labels; leave one out"
            )
        labels[spec.key] = spec.label
    return specs


def _run(ledger: Ledger, processes: int | None, limits: RunLimits | None) -> None:
    waiting = [spec for spec in ledger.specs if spec.key not in ledger.results]
    try:
        if processes == 0:
            _run_here(waiting, ledger)
        else:
            run_in_workers(waiting, ledger, processes or available_cores(), limits)
    except KeyboardInterrupt:
        ledger.tell("interrupted", f"interrupted: {ledger.counts}; the same command goes on from here")
        raise


def _run_here(specs: Sequence[RunSpec], ledger: Ledger) -> None:
    for spec in specs:
        ledger.started(spec)
        ledger.finished(run(spec, ledger.out / spec.folder_name, on_progress=partial(ledger.progress, spec)))
