"""The ledger of a comparison: the plan and the finished runs on disk, and who is told of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from textgym.atomic import write_whole
from textgym.errors import ConfigurationError

from .ledger_file import LEDGER, OLD_RESULTS, append, heal, read_ledger, read_old_results
from .records import PROTOCOL, RunResult, RunSpec, describe_object, versions
from .run_keys import differences
from .suites import Suite

PLAN, RESULTS = "plan.json", LEDGER


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a comparison.

    Attributes:
        kind: "note" (something to know before the start), "plan" (once, at the start), "started", "progress",
            "finished" (the run may have failed) or "interrupted" (once, on Ctrl-C).
        message: One line for people.
        done: Runs that are finished, those of earlier starts included.
        total: Runs of the plan.
        spec: The run; None for "note", "plan" and "interrupted".
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

    Left out are a line that was cut off when the process was killed, and those that :func:`read_problems` tells of.
    Results of earlier versions (``results.jsonl``) are read too.

    Raises:
        ConfigurationError: if this is no folder of a comparison.
    """
    path = Path(out) / LEDGER
    if path.is_file():
        return list(read_ledger(path).results.values())
    if (Path(out) / OLD_RESULTS).is_file():
        return list(read_old_results(Path(out) / OLD_RESULTS).values())
    if (Path(out) / PLAN).is_file():
        return []
    if Path(out).is_file():
        raise ConfigurationError(
            f"{str(out)!r} is a file; expected the folder of a comparison. Archives are read by `textgym bench "
            "leaderboard` and `archive` alone"
        )
    raise ConfigurationError(f"{str(out)!r} holds no comparison: expected a folder with {PLAN} and {LEDGER}")


def read_problems(out: Path | str) -> list[str]:
    """A sentence for each line of a folder's ledger that was edited, repeated or is no record."""
    return read_ledger(Path(out) / LEDGER).problems


def read_plan(out: Path | str) -> dict[str, Any]:
    """What was to be run: ``suite``, ``title``, ``runs`` and ``versions``; empty if it was never written.

    Raises:
        ConfigurationError: if the file is damaged.
    """
    path = Path(out) / PLAN
    try:
        plan = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if not isinstance(plan, dict):
            raise ValueError(f"expected an object, not {type(plan).__name__}")
    except ValueError as error:
        raise ConfigurationError(
            f"{str(path)!r} is damaged ({error}); start the comparison again, which writes it anew"
        ) from None
    return plan


def write_plan(suite: Suite, out: Path, specs: Sequence[RunSpec]) -> None:
    """Writes what is to be run; an earlier plan in the folder is replaced."""
    plan = {
        "suite": suite.name,
        "title": suite.title,
        "protocol": PROTOCOL,
        "versions": versions(),
    }
    facts = json.dumps(plan, default=describe_object, ensure_ascii=False, indent=1).removesuffix("\n}")
    runs = ",\n  ".join(json.dumps(_planned(spec), default=describe_object, ensure_ascii=False) for spec in specs)
    write_whole(out / PLAN, f'{facts},\n "runs": [\n  {runs}\n ]\n}}\n')


def _planned(spec: RunSpec) -> dict[str, Any]:
    """A run as the plan shows it; the facts behind its key stand in the run's own folder."""
    shown = {item.name: getattr(spec, item.name) for item in fields(spec) if item.name != "facts"}
    return {**shown, "key": spec.key}


class Ledger:
    """Keeps the records of one comparison on disk and tells the listener what happens.

    Attributes:
        out: Folder of the comparison.
        specs: The runs of the plan.
        results: Key -> record of each run of the plan that is finished, now or by an earlier start.
        shares: Key -> share of its steps that a run at work has made.
        forecast: Says how much time is left, if anybody has set it.

    Raises:
        ConfigurationError: if the folder's ledger was edited, is of an earlier version, or holds runs of another
            configuration of one of these agents on one of these environments; the first such field is named.
    """

    def __init__(self, out: Path, specs: Sequence[RunSpec], on_event: OnEvent | None = None) -> None:
        self.out, self.specs, self._on_event = out, specs, on_event
        self.shares: dict[str, float] = {}
        self.forecast: Callable[[], str] | None = None
        self._path = out / LEDGER
        contents = read_ledger(self._path)
        _check(out, contents.problems)
        _check_unchanged(out, contents.results.values(), specs)
        wanted = {spec.key for spec in specs}
        self.results = {key: result for key, result in contents.results.items() if key in wanted}
        if heal(self._path, contents):
            self.tell("note", f"{self._path}: its last line was cut off by a kill; that run is made again")

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
        runs = f"{left} run{'s'[: left != 1]}, {steps:,} steps{earlier}"
        self.tell("plan", f"{labels}, {seeds} seed{'s'[: seeds != 1]}: {runs}")

    def started(self, spec: RunSpec) -> None:
        """Tells that a run begins."""
        self.tell("started", f"{spec.label} seed {spec.seed}: {spec.steps:,} steps", spec=spec)

    def progress(self, spec: RunSpec, steps: int) -> None:
        """Tells how many steps a run has made."""
        self.shares[spec.key] = min(1.0, steps / spec.steps)
        self.tell("progress", f"{spec.label} seed {spec.seed}: {steps:,} of {spec.steps:,}", spec=spec, steps=steps)

    def finished(self, result: RunResult) -> None:
        """Writes the record before anybody hears of it; of a run that has one already, the first one stays."""
        spec = result.spec
        if spec.key in self.results:
            self.tell("note", f"{spec.label} seed {spec.seed} finished twice; the first record stays", spec=spec)
            return
        append(self._path, result)
        self.results[spec.key] = result
        self.shares.pop(spec.key, None)
        seconds = result.train_seconds + result.evaluation_seconds
        outcome = _outcome(result) if result.status == "ok" else f"FAILED: {result.error or 'no reason given'}"
        left = self.forecast() if self.forecast is not None else ""
        message = f"{spec.label} seed {spec.seed}: {outcome}, {seconds:.0f} s" + (f"; {left}" if left else "")
        self.tell("finished", message, spec=spec, result=result)

    def tell(self, kind: str, message: str, **details: Any) -> None:
        """Sends an event to the listener, if there is one."""
        if self._on_event is not None:
            self._on_event(Event(kind=kind, message=message, done=len(self.results), total=len(self.specs), **details))


def _check(out: Path, problems: Sequence[str]) -> None:
    if (out / OLD_RESULTS).is_file() and not (out / LEDGER).is_file():
        raise ConfigurationError(
            f"{str(out)!r} holds {OLD_RESULTS} of an earlier version, which does not say with what code its runs were "
            "made. `textgym bench report` still reads it; run into another folder, or pass --new"
        )
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigurationError(
            f"{problems[0]}{more}. Restore the file, or take that line out to have its run made again, or pass --new"
        )


def _check_unchanged(out: Path, results: Iterable[RunResult], specs: Sequence[RunSpec]) -> None:
    """Refuses to go on where the same agent has run on the same environment with another configuration."""
    found = list(results)
    known = {result.spec.key for result in found}
    places = {_place(spec) for spec in specs if spec.key not in known}  # elsewhere nothing can have changed
    before = _configurations(result.spec for result in found if _place(result.spec) in places)
    now = _configurations(spec for spec in specs if _place(spec) in places)
    for place, wanted in now.items():
        earlier = before.get(place, {})
        new = [spec for name, spec in wanted.items() if name not in earlier]
        gone = [spec for name, spec in earlier.items() if name not in wanted]
        if new and gone:
            changes = min((differences(old, new[0]) for old in gone), key=len)
            raise ConfigurationError(
                f"{str(out)!r} holds runs of another configuration: {new[0].label} on {new[0].env_id}: "
                f"{'; '.join(map(str, changes[:3]))}{' and so on' if len(changes) > 3 else ''}. "
                "Go on with what it was, run into another folder, or pass --new to move the old one aside"
            )


def _configurations(specs: Iterable[RunSpec]) -> dict[tuple[str, str], dict[str, RunSpec]]:
    """(label, environment) -> what decides the result, seed apart -> one such spec."""
    found: dict[tuple[str, str], dict[str, RunSpec]] = {}
    for spec in specs:
        parts = {name: value for name, value in spec.parts().items() if name != "seed"}
        found.setdefault(_place(spec), {}).setdefault(json.dumps(parts, sort_keys=True), spec)
    return found


def _place(spec: RunSpec) -> tuple[str, str]:
    return spec.label, spec.env_id


def _outcome(result: RunResult) -> str:
    shown = []
    for score in ("reward", "gold"):
        measure = result.measure("greedy", result.training_split, score)
        if measure is not None:
            value = measure.mean if measure.normalized is None else measure.normalized
            shown.append(f"{score} {value:.2f}{' (impossible)' if measure.impossible else ''}")
    return ", ".join(shown)
