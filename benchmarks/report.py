"""The report of a comparison: one HTML page that needs no network and no script."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from textgym.agents.base import write_atomically

from . import report_plots as plots
from .records import Measure, RunResult
from .report_figures import curves_section, seeds_section
from .report_style import STYLE
from .report_table import table_section
from .report_texts import texts_section
from .summary import Row, Summary, environment_of, summarize, table_lines

__all__ = ["REPORT", "build_report", "table_lines"]

REPORT = "report.html"


def build_report(out: Path | str) -> Path:
    """Writes ``report.html`` from what is in a comparison's folder, finished or not.

    Returns:
        The path of the page.

    Raises:
        ConfigurationError: if the folder holds no comparison.
    """
    path = Path(out) / REPORT
    write_atomically(path, render(summarize(out)))
    return path


def render(summary: Summary) -> str:
    """The page as text."""
    styles = {row.label: number for number, row in enumerate(summary.rows)}
    if summary.plan:
        labels = dict.fromkeys(run["label"] for run in summary.plan["runs"])
        styles = {label: number for number, label in enumerate(labels)}
    sections = [
        _header(summary),
        table_section(summary, styles),
        curves_section(summary, styles),
        seeds_section(summary, styles),
        texts_section(summary),
        _failures(summary),
        _every_measure(summary),
        _how(summary),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(summary.title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


def _header(summary: Summary) -> str:
    environments = ", ".join(dict.fromkeys(_environment_name(run) for run in summary.results))
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
    note = f" Counted as random play they would change the {column[2]} of {'; '.join(counted)}." if counted else ""
    items = "".join(
        f"<details><summary>{escape(run.spec.label)}, seed {run.spec.seed}: {escape(run.error)}</summary>"
        f"<pre>{escape(run.trace or 'no traceback')}</pre></details>"
        for run in failed
    )
    return f"<h2>Failed runs</h2><p>{len(failed)} failed and are not in the averages above.{escape(note)}</p>{items}"


def _every_measure(summary: Summary) -> str:
    rows = "".join(_measure_row(run, measure) for row in summary.rows for run in row.good for measure in run.measures)
    if not rows:
        return ""
    names = ("agent", "seed", "play", "split", "score", "mean ± standard error", "scaled", "n texts")
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        "<h2>Every measure</h2><details><summary>All runs, as measured</summary><div class=scroll><table><thead>"
        f"<tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _measure_row(run: RunResult, measure: Measure) -> str:
    cells = (
        run.spec.label,
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
