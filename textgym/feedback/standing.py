"""How far a labelling project is, and how far one annotator."""

from __future__ import annotations

import sqlite3
from statistics import median

from textgym.feedback.projects import Progress, Project, Question, Share
from textgym.feedback.rows import number, select, sides, to_annotator, to_pair


def measure_progress(connection: sqlite3.Connection, *, now: float, minutes: float) -> Progress:
    """Counts pairs, answers and what each annotator has done."""
    pairs = connection.execute(
        """SELECT count(*) AS pairs, ifnull(sum(quota), 0) AS places, ifnull(sum(taken), 0) AS taken FROM pair
        WHERE gold = ''"""
    ).fetchone()
    waiting = number(connection, "SELECT count(*) FROM task WHERE state = 'open' AND counts = 1")
    recent = number(
        connection,
        "SELECT count(*) FROM task JOIN judgement ON judgement.id = task.judgement WHERE created > ?",
        now - 60 * minutes,
    )
    return Progress(
        pairs=pairs["pairs"],
        checks=number(connection, "SELECT count(*) FROM pair WHERE gold != ''"),
        complete=_complete(connection),
        places=pairs["places"],
        filled=pairs["taken"] - waiting,
        open=number(connection, "SELECT count(*) FROM task WHERE state = 'open' AND lease >= ?", now),
        answers=number(connection, "SELECT count(*) FROM task WHERE state = 'answered'"),
        rows=number(connection, "SELECT count(*) FROM judgement"),
        per_minute=recent / minutes,
        shares=_shares(connection),
    )


def _complete(connection: sqlite3.Connection) -> int:
    """Pairs whose places are all taken, and nobody is still looking."""
    query = """SELECT count(*) FROM pair WHERE gold = '' AND taken >= quota AND taken - (
        SELECT count(*) FROM task WHERE task.pair = pair.id AND state = 'open' AND counts = 1) >= quota"""
    return number(connection, query)


def _shares(connection: sqlite3.Connection) -> tuple[Share, ...]:
    answers: dict[str, list[sqlite3.Row]] = {}
    for row in select(
        connection,
        """SELECT annotator, choice, seconds, created FROM task JOIN judgement ON judgement.id = task.judgement""",
    ):
        answers.setdefault(row["annotator"], []).append(row)
    undone = {
        row["annotator"]: row["undone"]
        for row in select(
            connection,
            """SELECT annotator, count(*) AS undone FROM undo JOIN judgement ON judgement.id = undo.judgement
            JOIN task ON task.id = judgement.task GROUP BY annotator""",
        )
    }
    people = [to_annotator(row) for row in select(connection, "SELECT * FROM annotator ORDER BY number")]
    shares = []
    for annotator in people:
        own = answers.get(annotator.id, [])
        seconds = [row["seconds"] for row in own if row["seconds"] is not None]
        shares.append(
            Share(
                annotator=annotator,
                done=len(own),
                skipped=sum(row["choice"] == "skip" for row in own),
                undone=undone.get(annotator.id, 0),
                median_seconds=median(seconds) if seconds else None,
                last=max((row["created"] for row in own), default=None),
            )
        )
    return tuple(shares)


def done_and_total(connection: sqlite3.Connection, project: Project, annotator_id: str) -> tuple[int, int]:
    """How many tasks an annotator has answered, and about how many it will be: the others share the rest evenly."""
    tasks = {
        row["state"]: row["tasks"]
        for row in select(
            connection, "SELECT state, count(*) AS tasks FROM task WHERE annotator = ? GROUP BY state", annotator_id
        )
    }
    done, waiting = tasks.get("answered", 0), tasks.get("open", 0)
    wanted, places = connection.execute("SELECT wanted, places FROM tally").fetchone()
    people = number(connection, "SELECT count(*) FROM annotator WHERE role = 'annotator'")
    fresh = -(-places // max(people, 1))
    if fresh > wanted - done - waiting:  # at the end it matters which of them the annotator has had
        fresh = min(fresh, wanted - _had(connection, annotator_id))
    checks = number(
        connection,
        """SELECT count(*) FROM pair WHERE gold != '' AND NOT EXISTS (
        SELECT 1 FROM task WHERE task.pair = pair.id AND annotator = ? AND state != 'released')""",
        annotator_id,
    )
    extra = round(fresh * project.repeat_share) + min(round(fresh * project.check_share), checks)
    return done, done + waiting + fresh + extra


def _had(connection: sqlite3.Connection, annotator_id: str) -> int:
    """How many of the pairs with free places an annotator has had."""
    return number(
        connection,
        """SELECT count(*) FROM task JOIN pair ON pair.id = task.pair WHERE annotator = ? AND state != 'released'
        AND counts = 1 AND taken < quota""",
        annotator_id,
    )


def show_task(connection: sqlite3.Connection, project: Project, task_id: str) -> Question:
    """A task as its annotator sees it."""
    query = "SELECT task.id AS task, swapped, repeats, annotator, pair.* FROM task JOIN pair ON pair.id = task.pair"
    (row,) = select(connection, f"{query} WHERE task.id = ?", task_id)
    pair, swapped = to_pair(row), bool(row["swapped"])
    (left, left_ids), (right, right_ids) = sides(pair, swapped=swapped)
    done, total = done_and_total(connection, project, row["annotator"])
    return Question(
        id=row["task"],
        pair=pair.id,
        prompt=pair.prompt,
        left=left,
        right=right,
        swapped=swapped,
        repeats=row["repeats"] or "",
        done=done,
        total=total,
        left_ids=left_ids,
        right_ids=right_ids,
    )
