"""Comparing agents: every run in a process of its own, finished runs kept whatever happens.

A comparison lives in one folder: ``plan.json`` (what is to be run), ``results.jsonl`` (one line a finished
run, written by this process alone), a folder for each run, and ``report.html``. Started again in the same
folder, it goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from textgym.errors import ConfigurationError

from .ledger import Event, Ledger, OnEvent, read_plan, read_results, write_plan
from .records import RunResult, RunSpec
from .runs import run
from .suites import Suite, get_suite
from .workers import available_cores, run_in_workers

__all__ = ["Event", "OnEvent", "compare", "read_plan", "read_results"]


def compare(
    suite: Suite | str,
    out: Path | str,
    *,
    seeds: Sequence[int] | None = None,
    budget: float = 1.0,
    processes: int | None = None,
    agents: Sequence[str] | None = None,
    on_event: OnEvent | None = None,
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
        on_event: Told what happens.

    Returns:
        The records of all runs of the plan, in its order.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the workers are ended; what is finished stays.
    """
    suite = get_suite(suite) if isinstance(suite, str) else suite
    out = Path(out)
    specs = suite.specs(seeds=seeds, budget=budget, agents=agents)
    if processes is not None and processes < 0:
        raise ConfigurationError(f"processes={processes}: expected a number of workers, or 0 for none")
    out.mkdir(parents=True, exist_ok=True)
    write_plan(suite, out, specs)
    ledger = Ledger(out, specs, on_event)
    ledger.announce_plan()
    waiting = [spec for spec in specs if spec.key not in ledger.results]
    try:
        if processes == 0:
            _run_here(waiting, ledger)
        else:
            run_in_workers(waiting, ledger, processes or available_cores())
    except KeyboardInterrupt:
        ledger.tell("interrupted", f"interrupted: {ledger.counts}; the same command goes on from here")
        raise
    return [ledger.results[spec.key] for spec in specs]


def _run_here(specs: Sequence[RunSpec], ledger: Ledger) -> None:
    for spec in specs:
        ledger.started(spec)
        ledger.finished(run(spec, ledger.out / spec.folder_name, on_progress=partial(ledger.progress, spec)))
