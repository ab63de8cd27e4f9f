"""The ledger of a comparison: the plan and the finished runs on disk, and who is told of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from textgym.agents.base import write_atomically
from textgym.errors import ConfigurationError

from .records import RunResult, RunSpec, describe_object, versions
from .suites import Suite

PLAN, RESULTS = "plan.json", "results.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a comparison.

    Attributes:
        kind: "plan" (once, at the start), "started", "progress", "finished" (the run may have failed) or
            "interrupted" (once, on Ctrl-C).
        message: One line for people.
        done: Runs that are finished, those of earlier starts included.
        total: Runs of the plan.
        spec: The run; None for "plan" and "interrupted".
        steps: Steps that the run has made, for "progress".
        result: The record, for "finished".
    """

    kind: str
    message: str
    done: int
    total: int
    spec: RunSpec | None = None
    steps: int = 0
    result: RunResult | None = None


OnEvent = Callable[[Event], None]


def read_results(out: Path | str) -> list[RunResult]:
    """The records of all finished runs in a folder, in the order in which they finished.

    A line that was cut off when the process was killed is passed over; that run is simply not finished.

    Raises:
        ConfigurationError: if this is no folder of a comparison, or its file holds something else.
    """
    path = Path(out) / RESULTS
    if not path.is_file():
        if path.with_name(PLAN).is_file():
            return []
        raise ConfigurationError(f"{str(out)!r} holds no comparison: expected a folder with {PLAN} and {RESULTS}")
    lines = path.read_text(encoding="utf-8").splitlines()
    results: dict[str, RunResult] = {}
    for number, line in enumerate(lines, start=1):
        try:
            result = RunResult.from_json(line)
        except json.JSONDecodeError:
            continue
        except ValueError as error:
            raise ConfigurationError(f"{path}, line {number}: {error}") from None
        results[result.spec.key] = result
    return list(results.values())


def read_plan(out: Path | str) -> dict[str, Any]:
    """What was to be run: ``suite``, ``title``, ``runs`` and ``versions``; empty if it was never written."""
    path = Path(out) / PLAN
    plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return plan


def write_plan(suite: Suite, out: Path, specs: Sequence[RunSpec]) -> None:
    """Writes what is to be run; an earlier plan in the folder is replaced."""
    plan = {
        "suite": suite.name,
        "title": suite.title,
        "versions": versions(),
        "runs": [{**asdict(spec), "key": spec.key} for spec in specs],
    }
    write_atomically(out / PLAN, json.dumps(plan, default=describe_object, ensure_ascii=False, indent=1) + "\n")


class Ledger:
    """Keeps the records of one comparison on disk and tells the listener what happens.

    Attributes:
        out: Folder of the comparison.
        specs: The runs of the plan.
        results: Key -> record of each run of the plan that is finished, now or by an earlier start.
    """

    def __init__(self, out: Path, specs: Sequence[RunSpec], on_event: OnEvent | None = None) -> None:
        self.out, self.specs, self._on_event = out, specs, on_event
        self._path = out / RESULTS
        wanted = {spec.key for spec in specs}
        self.results = {result.spec.key: result for result in read_results(out) if result.spec.key in wanted}

    @property
    def counts(self) -> str:
        """How far the comparison is, in words."""
        failed = sum(result.status != "ok" for result in self.results.values())
        return f"{len(self.results)} of {len(self.specs)} runs finished" + (f", {failed} failed" if failed else "")

    def announce_plan(self) -> None:
        """Tells what is going to be run."""
        steps = sum(spec.steps for spec in self.specs if spec.key not in self.results)
        labels = ", ".join(dict.fromkeys(spec.label for spec in self.specs))
        seeds = len({spec.seed for spec in self.specs})
        left = len(self.specs) - len(self.results)
        earlier = f" ({self.counts} earlier)" if self.results else ""
        self.tell("plan", f"{labels}, {seeds} seed{'s'[: seeds != 1]}: {left} runs, {steps:,} steps{earlier}")

    def started(self, spec: RunSpec) -> None:
        """Tells that a run begins."""
        self.tell("started", f"{spec.label} seed {spec.seed}: {spec.steps:,} steps", spec=spec)

    def progress(self, spec: RunSpec, steps: int) -> None:
        """Tells how many steps a run has made."""
        self.tell("progress", f"{spec.label} seed {spec.seed}: {steps:,} of {spec.steps:,}", spec=spec, steps=steps)

    def finished(self, result: RunResult) -> None:
        """Writes the record before anybody hears of it."""
        spec = result.spec
        self._append(result.to_json())
        self.results[spec.key] = result
        seconds = result.train_seconds + result.evaluation_seconds
        outcome = _outcome(result) if result.status == "ok" else f"FAILED: {result.error or 'no reason given'}"
        self.tell("finished", f"{spec.label} seed {spec.seed}: {outcome}, {seconds:.0f} s", spec=spec, result=result)

    def tell(self, kind: str, message: str, **details: Any) -> None:
        """Sends an event to the listener, if there is one."""
        if self._on_event is not None:
            self._on_event(Event(kind=kind, message=message, done=len(self.results), total=len(self.specs), **details))

    def _append(self, line: str) -> None:
        """Adds a line, after closing one that an earlier, killed process left unfinished."""
        with self._path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _outcome(result: RunResult) -> str:
    shown = []
    for score in ("reward", "gold"):
        measure = result.measure("greedy", result.training_split, score)
        if measure is not None:
            value = measure.mean if measure.normalized is None else measure.normalized
            shown.append(f"{score} {value:.2f}{' (impossible)' if measure.impossible else ''}")
    return ", ".join(shown)
