"""What the runs of a comparison cost, and what is odd about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from .alarms import Alarm, count_alarms
from .records import RunResult
from .report_table import agent_cell
from .summary import Row, Summary, environment_of
from .tables import cost_of, memory_text

_SHOWN = 40


def cost_section(summary: Summary, styles: Mapping[str, int]) -> str:
    """A table of costs, mean over the runs of an agent; empty before a run has finished."""
    rows = "".join(_row(row, styles[row.label]) for row in summary.rows if row.good)
    if not rows:
        return ""
    names = ("agent", "steps (tokens)", "reward calls", "training", "evaluation", "CPU", "GPU", "peak memory", "runs")
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        "<h2>Cost of a run</h2><div class=scroll><table class=headline><thead>"
        f"<tr>{head}</tr></thead><tbody>{rows}{_total(summary)}</tbody></table></div>"
        "<p class='soft small'>Mean over the runs of an agent that did not fail; peak memory is the most of any run. "
        "A step is one token; reward calls are the texts that the reward model scored in training. Training and "
        "evaluation are wall time of one process. A dash: not measured, or none.</p>"
    )


def alarms_section(summary: Summary) -> str:
    """What is odd about the runs; empty if nothing is."""
    found = count_alarms(run for row in summary.rows for run in row.runs)
    if not found:
        return ""
    runs = len({run.spec.key for raised in found.values() for run, _ in raised})
    folds = "".join(_fold(kind, raised) for kind, raised in found.items())
    return (
        f"<h2>Alarms</h2><p>Hints to look, no verdicts: {runs} of {len(summary.results)} runs have one. Runs with "
        f"alarms are averaged like all others.</p>{folds}"
    )


def _row(row: Row, style: int) -> str:
    cost = cost_of(row)
    alarms = f" <span class=alarm title='runs with an alarm'>⚠ {cost.alarms}</span>" if cost.alarms else ""
    cells = (
        f"{cost.steps:,.0f}",
        f"{cost.reward_calls:,.0f}",
        *(
            _seconds(value)
            for value in (cost.train_seconds, cost.evaluation_seconds, cost.cpu_seconds, cost.gpu_seconds)
        ),
        memory_text(cost.peak_memory_bytes).replace("-", "–"),
        f"{cost.runs}{alarms}",
    )
    return f"<tr><td>{agent_cell(row.label, style)}</td>{''.join(f'<td class=meta>{cell}</td>' for cell in cells)}</tr>"


def _total(summary: Summary) -> str:
    runs = summary.results
    cells = (
        f"{sum(run.steps for run in runs):,}",
        f"{sum(run.reward_calls for run in runs):,}",
        _seconds(sum(run.train_seconds for run in runs)),
        _seconds(sum(run.evaluation_seconds for run in runs)),
        _seconds(sum(run.cpu_seconds for run in runs)),
        _seconds(sum(run.gpu_seconds for run in runs)),
        memory_text(max((run.peak_memory_bytes for run in runs), default=0)).replace("-", "–"),
        str(len(runs)),
    )
    return f"<tr class=line><td>all runs together</td>{''.join(f'<td class=meta>{cell}</td>' for cell in cells)}</tr>"


def _seconds(value: float) -> str:
    if not value:
        return "–"
    if value < 600:
        return f"{value:.1f} s"
    return f"{value / 3600:.1f} h" if value >= 36_000 else f"{value / 60:.0f} min"


def _fold(kind: str, raised: Sequence[tuple[RunResult, Alarm]]) -> str:
    counts: dict[str, int] = {}
    for run, _ in raised:
        counts[run.spec.label] = counts.get(run.spec.label, 0) + 1
    who = ", ".join(f"{label} {count}" for label, count in counts.items())
    items = "".join(
        f"<li><b>{escape(run.spec.label)}</b>, {escape(environment_of(run))}, seed {run.spec.seed}: "
        f"{escape(alarm.sentence)}</li>"
        for run, alarm in raised[:_SHOWN]
    )
    more = f"<li>and {len(raised) - _SHOWN} more runs</li>" if len(raised) > _SHOWN else ""
    return (
        f"<details><summary><span class=alarm>⚠ {escape(kind)}</span>: {len(raised)} "
        f"run{'s'[: len(raised) != 1]} ({escape(who)})</summary><ul class=small>{items}{more}</ul></details>"
    )
