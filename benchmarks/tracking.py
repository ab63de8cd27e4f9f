"""Tracking: what happens in a comparison, as it happens, in JSONL and in the tools that people watch runs with.

A :class:`Tracker` is a listener like any other of a comparison. It always writes ``tracking.jsonl``; TensorBoard and
Weights & Biases are small adapters beside it. Nothing leaves the machine: Weights & Biases runs offline, unless the
user's own ``WANDB_MODE`` says otherwise, and ``wandb sync`` uploads later what one wants uploaded.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from textgym.errors import missing_dependency, unknown_name

from .ledger import Event, OnEvent
from .records import RunResult, RunSpec, describe_object

FILE = "tracking.jsonl"
PROJECT = "textgym"
_SHARE = 0.05  # of a run's steps: no more often is its progress written


@dataclass(frozen=True, slots=True)
class Point:
    """Numbers of a run at one step.

    Attributes:
        step: Tokens that the agent had written.
        values: Name, such as "training/reward", -> number.
    """

    step: int
    values: dict[str, float]


class Sink(Protocol):
    """Where the numbers of finished runs go besides the file."""

    def add(self, result: RunResult, points: Sequence[Point]) -> None:
        """Takes a finished run with its numbers, in the order of their steps."""
        ...


def points_of(result: RunResult) -> list[Point]:
    """The numbers of a run: its learning curve, then its evaluations and its cost at the last step.

    Example:
        >>> spec = RunSpec(agent="uniform", env_id="TextGen-v0", steps=10, seed=0)
        >>> curve = [{"steps": 5, "reward": 0.5, "gold": None, "n": 2}]
        >>> points_of(RunResult(spec=spec, steps=10, curve=curve))[0]
        Point(step=5, values={'training/reward': 0.5, 'training/n': 2.0})
    """
    points = [Point(point["steps"], _numbers("training", point, without="steps")) for point in result.curve]
    final = {name: float(getattr(result, name)) for name in ("episodes", "reward_calls", "train_seconds")}
    for measure in result.measures:
        name = f"{measure.play}/{measure.split}/{measure.score}"
        final[name] = measure.mean
        if measure.normalized is not None:
            final[f"{name}/normalized"] = measure.normalized
    last = max([result.steps, *(point.step for point in points)])
    return [*points, Point(last, final)]


def _numbers(prefix: str, point: Mapping[str, Any], *, without: str) -> dict[str, float]:
    return {
        f"{prefix}/{name}": float(value)
        for name, value in point.items()
        if name != without and isinstance(value, int | float)
    }


class Tracker:
    """Listens to a comparison and writes down what happens.

    Args:
        folder: Folder of the comparison.
        sinks: "tensorboard", "wandb" or both.
        on_event: Another listener, told afterwards.
        clock: Seconds since 1970.

    Raises:
        UnknownNameError: for another sink.
        MissingDependencyError: if its package is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Tracker(folder)(Event(kind="plan", message="1 run", done=0, total=1))
        ...     list(read_tracking(folder))[0]["event"]
        'plan'
    """

    def __init__(
        self,
        folder: Path | str,
        sinks: Sequence[str] = (),
        *,
        on_event: OnEvent | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name in sinks:
            if name not in SINKS:
                raise unknown_name("tracking", name, SINKS)
        self._path, self._clock = Path(folder) / FILE, clock
        self._sinks = [SINKS[name](Path(folder)) for name in dict.fromkeys(sinks)]
        self._told: dict[str, int] = {}
        self._on_event = on_event
        self._heal()

    def _heal(self) -> None:
        """Ends a line that a kill cut off, so that the next one stands by itself."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.is_file() and not self._path.read_bytes().endswith(b"\n"):
            self._write_text("\n")

    def __call__(self, event: Event) -> None:
        """Writes one event."""
        if event.kind != "progress" or self._is_news(event):
            self._record(event)
        if self._on_event is not None:
            self._on_event(event)

    def _record(self, event: Event) -> None:
        self._write([self._line(event)])
        if event.kind == "finished" and event.result is not None:
            points = points_of(event.result)
            run = event.result.spec.folder_name
            self._write([{"event": "point", "run": run, "step": p.step, **p.values} for p in points])
            for sink in self._sinks:
                sink.add(event.result, points)

    def _is_news(self, event: Event) -> bool:
        assert event.spec is not None
        run = event.spec.folder_name
        if event.steps - self._told.get(run, 0) < _SHARE * event.spec.steps:
            return False
        self._told[run] = event.steps
        return True

    def _line(self, event: Event) -> dict[str, Any]:
        line: dict[str, Any] = {"event": event.kind, "time": round(self._clock(), 3), "message": event.message}
        line |= {"done": event.done, "total": event.total}
        if event.spec is not None:
            line |= _names(event.spec)
        if event.kind == "progress":
            line["step"] = event.steps
        if event.result is not None:
            line |= {"status": event.result.status, "error": event.result.error}
        return line

    def _write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self._write_text("".join(f"{_as_json(line)}\n" for line in lines))

    def _write_text(self, text: str) -> None:
        with self._path.open("ab") as file:  # one write, so that a kill cuts off the end at most
            file.write(text.encode())


def read_tracking(folder: Path | str) -> Iterator[dict[str, Any]]:
    """What a tracker wrote; a line that a kill cut off is passed over."""
    path = Path(folder) / FILE
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def _names(spec: RunSpec) -> dict[str, Any]:
    return {"run": spec.folder_name, "agent": spec.label, "environment": spec.environment, "seed": spec.seed}


class TensorBoard:
    """Writes ``tensorboard/RUN`` in the folder of the comparison: ``tensorboard --logdir FOLDER/tensorboard``."""

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise missing_dependency("tensorboard", "tensorboard", "--track tensorboard") from error
        self._folder, self._open = folder / "tensorboard", EventFileWriter
        self._event, self._summary = event_pb2.Event, summary_pb2.Summary

    def add(self, result: RunResult, points: Sequence[Point]) -> None:
        """Writes a run of its own."""
        writer = self._open(str(self._folder / result.spec.folder_name))
        try:
            for point in points:
                values = [self._summary.Value(tag=name, simple_value=value) for name, value in point.values.items()]
                summary = self._summary(value=values)
                writer.add_event(self._event(wall_time=time.time(), step=point.step, summary=summary))
        finally:
            writer.close()


class WeightsAndBiases:
    """Writes a run of its own below ``wandb`` in the folder of the comparison, offline."""

    def __init__(self, folder: Path) -> None:
        self.mode: Any = os.environ.get("WANDB_MODE", "offline")
        if self.mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its reports of errors would go online
        try:
            import wandb
        except ImportError as error:
            raise missing_dependency("wandb", "wandb", "--track wandb") from error
        self._folder, self._wandb = folder, wandb

    def add(self, result: RunResult, points: Sequence[Point]) -> None:
        """Writes a run, named and grouped like in the report."""
        spec = result.spec
        run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=str(self._folder),
            mode=self.mode,
            name=f"{spec.label} seed {spec.seed}",
            group=spec.environment,
            config={**_names(spec), "steps": spec.steps, "options": json.loads(_as_json(spec.config))},
            reinit="create_new",
            settings=self._wandb.Settings(silent=True, console="off", disable_git=True),
        )
        try:
            for point in points:
                run.log(point.values, step=point.step)
        finally:
            run.finish(exit_code=int(result.status != "ok"))


def _as_json(value: Any) -> str:
    return json.dumps(value, default=describe_object, ensure_ascii=False)


SINKS: Mapping[str, Callable[[Path], Sink]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}
