"""The learning matrix: every agent on every environment, and who has shown something there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textgym import tasks
from textgym.audit import audit
from textgym.errors import TextGymError
from textgym.factory import EnvFactory

from .ledger import read_results
from .records import RunResult
from .stats import Interval, bootstrap_interval, mean
from .summary import TRAINING, environment_of, scale

REPLICATES = 5_000


@dataclass(frozen=True)
class Cell:
    """One agent on one environment: greedy play on training prompts, on the scale random = 0, best = 1.

    Attributes:
        interval: Mean over runs with its 95 % bootstrap interval; None where no run has a score.
        runs: Runs that have one.
        failed: Runs that have none.
    """

    interval: Interval | None
    runs: int
    failed: int


@dataclass(frozen=True)
class Line:
    """One environment.

    Attributes:
        name: Its id and arguments.
        score: "gold" where there is one, else "reward".
        floor: The better of one fixed text and the best degenerate writer, on the same scale; None where not known.
        cells: Agent -> its cell.
    """

    name: str
    score: str
    floor: float | None
    cells: dict[str, Cell]

    @property
    def bar(self) -> float | None:
        """Halfway from the floor to the best text: whose interval lies above has beaten the environment."""
        return None if self.floor is None else self.floor + (1.0 - self.floor) / 2.0

    def beaten_by(self) -> list[str]:
        """The agents whose interval lies above the bar; a single run has none."""
        bar = self.bar
        return [
            agent
            for agent, cell in self.cells.items()
            if bar is not None and cell.runs > 1 and cell.interval is not None and cell.interval.low > bar
        ]


def build_matrix(out: Path | str, *, audited: bool = True) -> list[Line]:
    """Reads a comparison's folder.

    Args:
        out: Folder that ``textgym bench run`` wrote.
        audited: Also try degenerate writers in every environment, which takes seconds each.
    """
    results = read_results(out)
    agents = list(dict.fromkeys(run.spec.label for run in results))
    order = {task: place for place, task in enumerate(tasks.names())}  # runs finish in whichever order
    placed = sorted(results, key=lambda run: order.get(run.task, len(order)))
    names = dict.fromkeys(environment_of(run) for run in placed)
    return [_line([run for run in results if environment_of(run) == name], name, agents, audited) for name in names]


def _line(runs: Sequence[RunResult], name: str, agents: Sequence[str], audited: bool) -> Line:
    good = [run for run in runs if run.measures]
    score = "gold" if any(run.measure("greedy", run.training_split, "gold") for run in good) else "reward"
    cells = {agent: _cell([run for run in runs if run.spec.label == agent], score) for agent in agents}
    return Line(name, score, _floor(good[0], score, audited) if good else None, cells)


def _cell(runs: Sequence[RunResult], score: str) -> Cell:
    found = [run.measure("greedy", run.training_split, score) for run in runs]
    scores = [measure.normalized for measure in found if measure is not None and measure.normalized is not None]
    if not scores:
        return Cell(None, 0, len(runs))
    rng = np.random.default_rng(0)
    interval = bootstrap_interval([scores], rng, statistic=mean, replicates=REPLICATES)
    return Cell(interval, len(scores), len(runs) - len(scores))


def _floor(run: RunResult, score: str, audited: bool) -> float | None:
    facts = run.references.get(run.training_split, {}).get(score)
    value = None if facts is None else facts["blind"]
    if audited:
        with contextlib.suppress(TextGymError):  # where no degenerate writer can be tried, the blind line alone counts
            value = audit(EnvFactory(run.spec.env_id, run.spec.env), split=run.training_split).floor
    return scale(run, TRAINING, score, value)


def table_name(lines: Sequence[Line]) -> str:
    """The name of this table in a page: what all its environments share, such as "TextGen/…-v0(level=easy)"."""
    return "matrix of {}…{}".format(*_shared(lines))


def _shared(lines: Sequence[Line]) -> tuple[str, str]:
    """What the names of all environments begin and end with, as "TextGen/" and "-v0(level=easy)"; else nothing."""
    begins = {line.name[: line.name.rfind("/") + 1] for line in lines}
    ends = {line.name[line.name.rfind("-v") :] for line in lines}
    return (begins.pop(), ends.pop()) if len(lines) > 1 and len(begins) == len(ends) == 1 else ("", "")


def markdown(lines: Sequence[Line]) -> Iterator[str]:
    """The matrix as a Markdown table; bold where an agent has beaten the environment."""
    agents = list(dict.fromkeys(agent for line in lines for agent in line.cells))
    begin, end = _shared(lines)
    yield f"| {f'{begin}…{end}' if begin or end else 'Environment'} | Score | Floor | {' | '.join(agents)} |"
    yield f"| --- | --- | ---: |{' ---: |' * len(agents)}"
    for line in lines:
        beaten = line.beaten_by()
        cells = [_text(line.cells[agent], agent in beaten) for agent in agents]
        floor = "–" if line.floor is None else f"{line.floor:.2f}"
        yield f"| {line.name.removeprefix(begin).removesuffix(end)} | {line.score} | {floor} | {' | '.join(cells)} |"


def _text(cell: Cell, beaten: bool) -> str:
    if cell.interval is None:
        return "failed" if cell.failed else "–"
    text = f"{cell.interval.estimate:.2f}"
    text = f"**{text}**" if beaten else text
    failed = f", {cell.failed} failed" if cell.failed else ""
    spread = f"{cell.interval.low:.2f} to {cell.interval.high:.2f}" if cell.runs > 1 else "one run"
    return f"{text} ({spread}{failed})"
