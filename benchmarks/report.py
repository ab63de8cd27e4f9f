"""The report of a comparison: one HTML page that needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from textgym.atomic import write_whole

from . import report_plots as plots
from .records import Measure, RunResult
from .reference_lines import Line
from .reference_lines import read as read_lines
from .report_board import leaderboard_section, tasks_section
from .report_cost import alarms_section, cost_section
from .report_figures import curves_section, seeds_section
from .report_overview import overview_section
from .report_style import STYLE
from .report_table import table_section
from .report_tasks import task_folds
from .report_texts import texts_section
from .standings import Board, board_of
from .summary import Row, Summary, environment_of, summarize
from .summary_text import table_lines
from .tuning_notes import tuning_sentences

__all__ = ["REPORT", "build_report", "table_lines"]

REPORT = "report.html"

_MOST_MEASURES = 3_000  # rows of a table that a browser shows without a pause
_NAMED = 3  # environments that the headline names


def build_report(out: Path | str) -> Path:
    """Writes ``report.html`` from what is in a comparison's folder, finished or not.

    Returns:
        The path of the page.

    Raises:
        ConfigurationError: if the folder holds no comparison.
    """
    path = Path(out) / REPORT
    summary = summarize(out)
    write_whole(path, render(summary, references=read_lines(out)))
    return path


def render(
    summary: Summary,
    *,
    references: Mapping[str, Sequence[Line]] | None = None,
    marks: Mapping[str, str] | None = None,
) -> str:
    """The page as text.

    Args:
        summary: The comparison.
        references: Environment -> what writers that need no training earn there.
        marks: Agent -> how far its runs are verified; None where nobody asked.
    """
    styles = styles_of(summary)
    board = board_of(summary)
    sections = [_header(summary), *_results(summary, board, styles, references or {})]
    if marks is not None or len(summary.environments) > 1:
        sections.insert(1, leaderboard_section(board, styles, marks=marks))
    sections += [cost_section(summary, styles), alarms_section(summary)]
    sections += [_failures(summary), _every_measure(summary), _how(summary)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(summary.title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


def styles_of(summary: Summary) -> dict[str, int]:
    """Agent -> its number, which is its colour, dashes and sign in all pictures: the order of the plan."""
    styles = {row.label: number for number, row in enumerate(summary.rows)}
    if summary.plan.get("runs"):
        labels = dict.fromkeys(run["label"] for run in summary.plan["runs"])
        styles = {label: number for number, label in enumerate(labels)}
    return styles


def _results(
    summary: Summary, board: Board, styles: Mapping[str, int], references: Mapping[str, Sequence[Line]]
) -> list[str]:
    """One environment: its table, curves, seeds and texts. Several: the leaderboard, and a fold for each of them."""
    if len(summary.environments) < 2:
        return [
            table_section(summary, styles),
            curves_section(summary, styles),
            seeds_section(summary, styles),
            overview_section(board, styles),
            texts_section(summary),
        ]
    head = "<details><summary>Greedy and sampled play, training and held-out prompts</summary>"
    return [
        overview_section(board, styles),
        f"{head}{table_section(summary, styles)}</details>" if summary.columns else "",
        tasks_section(board, styles),
        task_folds(summary, board, styles, references),
    ]


def _header(summary: Summary) -> str:
    names = [_environment_name(runs[0]) for runs in summary.environments.values()]
    environments = ", ".join(names) if len(names) <= _NAMED else f"{len(names)} environments"
    planned = len(summary.plan.get("runs", [])) or len(summary.results)
    facts = f"{len(summary.rows)} agents on {environments}. " if environments else ""
    unfinished = f" {planned - len(summary.results)} have not finished." if len(summary.results) < planned else ""
    lead = f"{facts}{len(summary.results)} of {planned} runs are in this report.{unfinished}"
    return f"<h1>{escape(summary.title)}</h1>\n<p class=soft>{escape(lead)}</p>"


def _environment_name(run: RunResult) -> str:
    task = f"task {run.task}, level {run.level}" if run.task else "task unknown"
    return f"{environment_of(run)} ({task})"


def _failures(summary: Summary) -> str:
    failed = [run for row in summary.rows for run in row.failed]
    if not failed:
        return ""
    column = summary.headline
    counted = [
        f"{row.label}: {row.with_failures[column].estimate:.2f} instead of {row.cells[column].estimate:.2f}"
        for row in summary.rows
        if row.with_failures and column in row.with_failures and column in row.cells
    ]
    note = (
        f" Counted as random play or worse they would change the {column[2]} of {'; '.join(counted)}."
        if counted
        else ""
    )
    items = "".join(
        f"<details><summary>{escape(run.spec.label)}, seed {run.spec.seed}: {escape(run.error)}</summary>"
        f"<pre>{escape(run.trace or 'no traceback')}</pre></details>"
        for run in failed
    )
    return f"<h2>Failed runs</h2><p>{len(failed)} failed and are not in the averages above.{escape(note)}</p>{items}"


def _every_measure(summary: Summary) -> str:
    if sum(len(run.measures) for run in summary.results) > _MOST_MEASURES:
        words = "There are too many for a page: <code>textgym bench report --files DIR</code> writes them as runs.csv."
        return f"<h2>Every measure</h2><p>{words}</p>"
    rows = "".join(_measure_row(run, measure) for row in summary.rows for run in row.good for measure in run.measures)
    if not rows:
        return ""
    names = ("agent", "environment", "seed", "play", "split", "score", "mean ± standard error", "scaled", "n texts")
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        "<h2>Every measure</h2><details><summary>All runs, as measured</summary><div class=scroll><table><thead>"
        f"<tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _measure_row(run: RunResult, measure: Measure) -> str:
    cells = (
        run.spec.label,
        environment_of(run),
        str(run.spec.seed),
        measure.play,
        measure.split,
        measure.score,
        f"{plots.number(measure.mean, 4)} ± {plots.number(measure.standard_error, 4)}",
        ("–" if measure.normalized is None else plots.number(measure.normalized))
        + (" (impossible)" if measure.impossible else ""),
        str(measure.n),
    )
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _how(summary: Summary) -> str:
    runs = summary.results
    versions: dict[str, Any] = summary.plan.get("versions") or (runs[0].versions if runs else {})
    entries: dict[str, str] = {
        "suite": str(summary.plan.get("suite", "unknown")),
        "seeds": ", ".join(map(str, sorted({run.spec.seed for run in runs}))) or "none yet",
        "steps": "; ".join(_steps(row) for row in summary.rows if row.runs),
        "tuning": " ".join(tuning_sentences(run for row in summary.rows for run in row.runs)) or "none yet",
        "evaluation": f"{', '.join(sorted({str(run.spec.episodes) for run in runs}))} texts a measure; text i is the "
        "first text of lane i, and all agents meet the same prompts. Greedy: the agent's best choice at every token; "
        "sampled: drawn from its policy.",
        "a step": "one token written by the agent, counted by the harness; every run stops at its budget.",
        "reward, gold": "the reward is what the agent is paid; gold is the true score, which it never sees.",
        "time": "wall time of one worker process with one thread; it depends on the machine.",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in entries.items())
    return f"<h2>How it was made</h2><dl>{items}</dl>"


def _steps(row: Row) -> str:
    steps = " or ".join(sorted({f"{run.spec.steps:,}" for run in row.runs}))
    configs = sorted(
        {", ".join(f"{name}={value}" for name, value in run.spec.config.items()) for run in row.runs} - {""}
    )
    return f"{row.label} {steps}" + "".join(f" ({config})" for config in configs)
