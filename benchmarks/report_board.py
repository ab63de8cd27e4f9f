"""The leaderboard of the report and the table of every agent on every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from . import report_plots as plots
from .report_table import agent_cell
from .standings import Arena, Board, Cell, Standing
from .stats import Interval
from .tables import score_notes, separated_best

_MOST_SHADE = 45  # per cent of colour behind the best text's score


def leaderboard_section(board: Board, styles: Mapping[str, int], *, marks: Mapping[str, str] | None = None) -> str:
    """The agents, best first.

    Args:
        board: The standings.
        styles: Agent -> its number.
        marks: Agent -> how far its runs are verified, as a further column.
    """
    names = "".join(
        f"<th>{name}</th>"
        for name in (
            "rank",
            "agent",
            "score",
            "without failed runs",
            "mean",
            "median",
            "optimality gap",
            "tasks",
            "runs",
        )
    )
    low, high = _range(board)
    best = separated_best({s.label: s.score for s in board.standings if not s.unranked})
    rows = "".join(
        _row(board, standing, styles[standing.label], low, high, best, marks) for standing in board.standings
    )
    names += "<th>verified</th>" if marks is not None else ""
    alarms = "".join(
        f"<p class=alarm>⚠ {escape(standing.label)} is not ranked: {escape(standing.unranked)}.</p>"
        for standing in board.standings
        if standing.unranked
    )
    notes = escape(" ".join(score_notes(board)))
    return (
        "<h2>Leaderboard</h2><div class=scroll><table class='headline board'><thead>"
        f"<tr>{names}</tr></thead><tbody>{rows}</tbody></table></div>{alarms}"
        "<p class='soft small'>Score: interquartile mean over tasks and seeds with its 95 % interval, from a bootstrap "
        f"that draws seeds within tasks. {notes} In brackets the ranks that the intervals allow. Optimality gap: how "
        "far the scores stay below 1 on average. Bold: the interval lies above those of all others.</p>"
    )


def tasks_section(board: Board, styles: Mapping[str, int]) -> str:
    """Every agent on every task, the score and its interval; shaded from random play to the best text."""
    labels = board.labels
    names = "".join(f"<th>{agent_cell(label, styles[label])}</th>" for label in labels)
    rows = "".join(_task_row(arena, labels, number) for number, arena in enumerate(board.arenas))
    return (
        "<h2 id=tasks>Task by task</h2><div class='scroll tall'><table class='headline tasks'><thead>"
        f"<tr><th>task</th><th>judged by</th><th>blind text</th>{names}</tr></thead><tbody>{rows}</tbody></table></div>"
        "<p class='soft small'>Interquartile mean over seeds, below it the 95 % interval of its bootstrap, "
        "stretched for few seeds. The darker, the nearer to the best text. Bold: the interval lies above those of all "
        "other agents. ▲: it lies above the best single text for all prompts, so the agent reads its prompt. "
        "Failed runs are counted and left out of these numbers. A task's name leads to its curves and texts.</p>"
    )


def anchor(number: int) -> str:
    """The name of a task's place on the page."""
    return f"task-{number}"


def _row(
    board: Board,
    standing: Standing,
    style: int,
    low: float,
    high: float,
    best: str | None,
    marks: Mapping[str, str] | None,
) -> str:
    rank = "–" if standing.rank is None else f"<b>{standing.rank}</b>"
    if standing.ranks and standing.ranks[0] != standing.ranks[1]:
        rank += f" <small>({standing.ranks[0]} to {standing.ranks[1]})</small>"
    others = "".join(
        f"<td class=meta>{'–' if value is None else plots.number(value.estimate)}</td>"
        for value in (standing.left_out, standing.mean, standing.median, standing.gap)
    )
    failed = f"<span class=alarm>, {standing.failed} failed</span>" if standing.failed else ""
    return (
        f"<tr><td class=meta>{rank}</td><td>{agent_cell(standing.label, style)}</td>"
        f"{_score(standing.score, style, low, high, bold=standing.label == best)}{others}"
        f"<td class=meta>{standing.tasks}/{len(board.scaled)}</td>"
        f"<td class=meta>{standing.finished}/{standing.planned}{failed}</td>"
        f"{_mark(marks, standing.label)}</tr>"
    )


def _mark(marks: Mapping[str, str] | None, label: str) -> str:
    if marks is None:
        return ""
    verdict = marks[label]
    return f"<td class=meta>{verdict if verdict == 'verified' else f'<span class=alarm>{escape(verdict)}</span>'}</td>"


def _score(interval: Interval | None, style: int, low: float, high: float, *, bold: bool) -> str:
    if interval is None:
        return "<td class=score>–</td>"
    picture = plots.interval_plot(interval, style, low=low, high=high, blind=None, best=1.0)
    number = plots.number(interval.estimate)
    return (
        f'<td class="score plotted"><div>{picture}<span>{f"<b>{number}</b>" if bold else number}'
        f"<small>{plots.number(interval.low)} to {plots.number(interval.high)}</small></span></div></td>"
    )


def _range(board: Board) -> tuple[float, float]:
    ends = [0.0, 1.0]
    for standing in board.standings:
        ends += [standing.score.low, standing.score.high] if standing.score else []
    margin = 0.04 * (max(ends) - min(ends))
    return min(ends) - margin, max(ends) + margin


def _task_row(arena: Arena, labels: Sequence[str], number: int) -> str:
    cells = {label: arena.cells.get(label) for label in labels}
    best = separated_best({label: _fair(cell) for label, cell in cells.items()})
    blind = plots.number(arena.lines.blind) if arena.lines and arena.scaled else "–"
    paid = "" if arena.scaled else " <small>as paid</small>"
    shown = "".join(_task_cell(arena, cell, bold=label == best) for label, cell in cells.items())
    return (
        f'<tr><td title="{escape(arena.name)}"><a href="#{anchor(number)}">{escape(arena.short_name)}</a></td>'
        f"<td class=meta>{arena.score}{paid}</td><td class=meta>{blind}</td>{shown}</tr>"
    )


def _fair(cell: Cell | None) -> Interval | None:
    return cell.interval if cell and not cell.impossible else None


def _task_cell(arena: Arena, cell: Cell | None, *, bold: bool) -> str:
    if cell is None:
        return "<td>–</td>"
    failed = f"<small class=alarm>{len(cell.failed)} failed</small>" if cell.failed else ""
    if cell.interval is None:
        return f"<td class=score>{failed}</td>"
    interval = cell.interval
    share = min(max(interval.estimate, 0.0), 1.0) if arena.scaled else 0.0
    above = arena.scaled and arena.lines is not None and interval.n > 1 and interval.low > arena.lines.blind
    number = plots.number(interval.estimate)
    spread = f"<small>{plots.number(interval.low)} to {plots.number(interval.high)}</small>" if interval.n > 1 else ""
    alarm = f'<small class=alarm title="{escape(cell.impossible)}">⚠ impossible</small>' if cell.impossible else ""
    return (
        f'<td class="score shaded" style="--share:{_MOST_SHADE * share:.0f}%">{f"<b>{number}</b>" if bold else number}'
        f"{' ▲' if above and not cell.impossible else ''}{spread}{failed}{alarm}</td>"
    )
