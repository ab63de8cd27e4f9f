"""Runs whose process is gone: what is recorded of them, by somebody else."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from .limits import OUTPUT_BYTES, cut_output
from .meter import STUBBORN_STEPS
from .records import RunResult, RunSpec, versions
from .run_files import OUTPUT, partial_folder, publish, write_run

STUBBORN = 78
"""The exit code of a worker whose agent swallowed everything that told it to stop."""


def lost_run(
    spec: RunSpec,
    folder: Path,
    reason: Exception | None = None,
    *,
    code: int | None = None,
    process: int | None = None,
    seconds: float = 0.0,
    steps: int = 0,
    output_bytes: int = OUTPUT_BYTES,
    **details: Any,
) -> RunResult:
    """The record of a run that did not write one itself; what it left is kept in its folder.

    Args:
        spec: The run.
        folder: Its folder.
        reason: Why it is lost; by default what its exit code says.
        code: The exit code of its process.
        process: The number of its process; None if there was none.
        seconds: How long it ran.
        steps: How many steps it was heard to have made.
        output_bytes: How much of what it printed is kept.
        **details: ``failure`` and ``stage`` of the record.
    """
    result = RunResult(spec=spec, versions=versions(), steps=steps, train_seconds=seconds)
    if reason is None:
        error, details["failure"] = describe_exit(code)
        reason = RuntimeError(error)
    result.fail(reason, **details)
    place = partial_folder(folder, process)
    place.mkdir(parents=True, exist_ok=True)
    cut_output(place / OUTPUT, output_bytes)
    write_run(place, result, exit_code=code or 0)
    publish(place, folder)
    return result


def describe_exit(code: int | None) -> tuple[str, str]:
    """What the exit code of a process that died tells: a sentence, and the kind of failure.

    Example:
        >>> describe_exit(7)
        ('the worker process died with exit code 7', 'died')
        >>> describe_exit(-9)[0]
        'the worker process was killed (SIGKILL), most often by a system that is out of memory'
    """
    if code == STUBBORN:
        asked = f"it asked for {STUBBORN_STEPS:,} more steps and swallowed every exception"
        return f"learn() went on after its budget was spent: {asked}; let BudgetSpent pass, or stop there", "budget"
    if code is None or code >= 0:
        return f"the worker process died with exit code {code}", "died"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    why = ", most often by a system that is out of memory" if name == "SIGKILL" else ""
    why = ", most often a crash in compiled code or for want of memory" if name in ("SIGABRT", "SIGSEGV") else why
    return f"the worker process was killed ({name}){why}", "died"
