"""Progress on the command line: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Any


class TrainingProgress:
    """A progress bar on a terminal, a line every tenth elsewhere."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._told = title, total, 0
        self._bar: Any = None

    def __enter__(self) -> Any:
        if sys.stdout.isatty():
            from rich.progress import Progress

            self._bar = Progress()
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total)
        return self.advance

    def advance(self, steps: int) -> None:
        """Shows that so many steps are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=steps)
        elif steps * 10 // self._total > self._told:
            self._told = steps * 10 // self._total
            _say(f"{self._title}: {steps:,} of {self._total:,} tokens")

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class ComparisonProgress:
    """Shows the events of a comparison: a bar over all runs on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._rows: dict[str, Any] = {}

    def __call__(self, event: Any) -> None:
        """Shows one event."""
        if event.kind == "plan" and sys.stdout.isatty():
            self._open(event)
        if self._bar is not None:
            self._show(event)
        elif event.kind in ("note", "plan", "finished", "interrupted"):
            _say(f"[{event.done}/{event.total}] {event.message}")

    def _open(self, event: Any) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bar.start()
        self._all = self._bar.add_task("all runs", total=event.total, completed=event.done)

    def _show(self, event: Any) -> None:
        if event.kind == "started":
            if event.spec.key in self._rows:  # it is begun anew
                self._bar.remove_task(self._rows[event.spec.key])
            title = f"{event.spec.label} seed {event.spec.seed}"
            self._rows[event.spec.key] = self._bar.add_task(title, total=event.spec.steps)
        elif event.kind == "progress":
            self._bar.update(self._rows[event.spec.key], completed=event.steps)
        else:
            self._bar.console.print(event.message, highlight=False, markup=False)
        if event.kind == "finished":
            if event.spec.key in self._rows:
                self._bar.remove_task(self._rows.pop(event.spec.key))
            self._bar.update(self._all, completed=event.done)

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
