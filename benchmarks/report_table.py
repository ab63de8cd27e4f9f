"""The headline table of the report: scores with their intervals, held against what can be earned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from . import report_plots as plots
from .summary import HACKING_GAP, Column, Row, Summary, impossible_lines, runs_text
from .tally_notes import tally_sentences


def table_section(summary: Summary, styles: Mapping[str, int]) -> str:
    """The table with its reference lines and notes; ``styles`` numbers the agents."""
    if not summary.columns:
        return "<p>No run has finished with a score yet.</p>"
    columns = summary.columns
    body = "".join(_table_row(summary, row, columns, styles[row.label]) for row in summary.rows)
    return (
        f"<div class=scroll><table class=headline><thead>{_table_head(columns)}</thead><tbody>{body}"
        f"{_reference_rows(summary, columns)}</tbody></table></div>{_table_notes(summary)}"
    )


def _table_head(columns: Sequence[Column]) -> str:
    groups = list(dict.fromkeys(column[:2] for column in columns))
    over = "".join(
        f"<th colspan={sum(column[:2] == group for column in columns)}>{group[0]} play, {group[1]} prompts</th>"
        for group in groups
    )
    names = "".join(f"<th>{column[2]}</th>" for column in columns)
    names += "<th>steps, time</th><th>runs</th>"
    return f"<tr><th></th>{over}<th colspan=2></th></tr><tr><th>agent</th>{names}</tr>"


def _table_row(summary: Summary, row: Row, columns: Sequence[Column], style: int) -> str:
    cells = "".join(_score_cell(summary, row, column, style) for column in columns)
    training = row.average(lambda run: run.train_seconds)
    evaluation = row.average(lambda run: run.evaluation_seconds)
    runs = f"<span class=alarm>{runs_text(row)}</span>" if row.failed else runs_text(row)
    return (
        f"<tr><td>{agent_cell(row.label, style)}{_unranked(row)}</td>{cells}"
        f"<td class=meta>{row.average(lambda run: run.steps):,.0f}"
        f"<small><br>{training:.1f} + {evaluation:.1f} s</small></td><td class=meta>{runs}</td></tr>"
    )


def _unranked(row: Row) -> str:
    return "<small class=alarm><br>not&nbsp;ranked</small>" if row.impossible else ""


def agent_cell(label: str, style: int) -> str:
    """An agent's sign and name."""
    sign = plots.svg(14, 14, [plots.marker(7, 7, style)], label="")
    return f"<span class=agent>{sign}{escape(label)}</span>"


def _score_cell(summary: Summary, row: Row, column: Column, style: int) -> str:
    interval = row.cells.get(column)
    if interval is None:
        return "<td class=score>–</td>"
    numbers = (
        f"<b>{plots.number(interval.estimate)}</b>{_above_blind(summary, row, column)}"
        f"<small>{plots.number(interval.low)} to {plots.number(interval.high)}</small>{_gap(row, column)}"
        f"{_impossible(row, column)}"
    )
    if column not in summary.columns[:2]:
        return f"<td class=score>{numbers}</td>"
    low, high = _range(summary, column)
    known = summary.lines.get(column[1:]) if column[2] in summary.scaled else None
    picture = plots.interval_plot(
        interval, style, low=low, high=high, blind=known.blind if known else None, best=1.0 if known else None
    )
    return f'<td class="score plotted"><div>{picture}<span>{numbers}</span></div></td>'


def _impossible(row: Row, column: Column) -> str:
    sentence = row.impossible.get(column)
    return f'<small class=alarm title="{escape(sentence)}">⚠ impossible</small>' if sentence else ""


def _above_blind(summary: Summary, row: Row, column: Column) -> str:
    lines = summary.lines.get(column[1:])
    above = column[2] in summary.scaled and lines is not None and row.cells[column].low > lines.blind
    above = above and column not in row.impossible
    return ' <span title="the whole interval lies above the best prompt-blind text">▲</span>' if above else ""


def _gap(row: Row, column: Column) -> str:
    reward = row.cells.get((*column[:2], "reward"))
    if column[2] != "gold" or reward is None or reward.estimate - row.cells[column].estimate < HACKING_GAP:
        return ""
    return "<small class=alarm>⚠ trails its reward</small>"


def _range(summary: Summary, column: Column) -> tuple[float, float]:
    """The common scale of a column's pictures."""
    ends = [end for row in summary.rows if (cell := row.cells.get(column)) for end in (cell.low, cell.high)]
    ends += [0.0, 1.0] if column[2] in summary.scaled else []
    margin = 0.04 * (max(ends) - min(ends)) or 1.0
    return min(ends) - margin, max(ends) + margin


def _reference_rows(summary: Summary, columns: Sequence[Column]) -> str:
    if not summary.lines:
        return ""
    rows = []
    for name in ("best text", "best prompt-blind text", "random play"):
        cells = []
        for column in columns:
            lines = summary.lines.get(column[1:]) if column[2] in summary.scaled else None
            value = {"best text": 1.0, "random play": 0.0}.get(name, lines.blind if lines else 0.0)
            note = " <small>estimate</small>" if lines and _is_estimate(name, lines.inexact) else ""
            cells.append(f'<td class="score">{"–" if lines is None else plots.number(value) + note}</td>')
        rows.append(f"<tr class=line><td>{name}</td>{''.join(cells)}<td colspan=2></td></tr>")
    return "".join(rows)


def _is_estimate(name: str, inexact: Sequence[str]) -> bool:
    """Whether a line is; where the blind text stands between the two others hangs on all three."""
    return {"best text": "best" in inexact, "random play": "random" in inexact}.get(name, bool(inexact))


def _table_notes(summary: Summary) -> str:
    counts = sorted({len(row.good) for row in summary.rows})
    runs = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    notes = [f"Interquartile mean over n = {runs} runs an agent, with its 95 % stratified bootstrap interval."]
    if counts[0] < 10:
        notes.append("With so few runs, look at the single seeds below as well.")
    notes.append("Time is training plus evaluations, mean over runs.")
    if summary.scaled:
        exact = not any(lines.inexact for lines in summary.lines.values())
        notes.append(
            "Scale: 0 is random play, 1 the best text (solid mark); the dashed mark is the best single text for all "
            f"prompts. These are {'exact' if exact else 'exact except where they say estimate'}. "
            "▲: the whole interval lies above that text, so the agent reads its prompt."
        )
    notes += [
        f"The {score} is shown as it was paid: random and best {score} of this task are not known."
        for score in dict.fromkeys(column[2] for column in summary.columns)
        if score not in summary.scaled
    ]
    notes += map(escape, tally_sentences(summary.results))
    alarms = "".join(f"<p class=alarm>⚠ {escape(line)}</p>" for line in impossible_lines(summary))
    return f"{alarms}<p class='soft small'>{' '.join(notes)}</p>"
