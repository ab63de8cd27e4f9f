"""The clerk: hands out tasks, takes answers and takes them back, within one transaction."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from hashlib import sha256
from typing import cast

from textgym.comparisons import Choice
from textgym.feedback.assignment import REPEAT_GAP, chance, is_due
from textgym.feedback.pairs import is_swapped
from textgym.feedback.projects import (
    Annotator,
    AnsweredError,
    ForeignTaskError,
    Project,
    TaskGoneError,
    UnknownTaskError,
)
from textgym.feedback.rows import number

_MINE = "SELECT 1 FROM task WHERE task.annotator = ? AND task.pair = pair.id AND task.state != 'released'"


@dataclass(frozen=True)
class Clerk:
    """What can be done to tasks, at one moment.

    Attributes:
        connection: Within a transaction that writes.
        project: Whose tasks.
        now: The moment, in seconds since 1970.
        lease: Seconds for which an open task keeps its place.
    """

    connection: sqlite3.Connection
    project: Project
    now: float
    lease: float

    # ---- the next task ----------------------------------------------------------------------------------------------

    def next(self, annotator: Annotator) -> str | None:
        """The id of the earliest open task, or of a new one; None where nothing is left."""
        found = self.connection.execute(
            "SELECT id FROM task WHERE annotator = ? AND state = 'open' ORDER BY position LIMIT 1", (annotator.id,)
        ).fetchone()
        if found:
            self._extend(found["id"])
            return str(found["id"])
        self._release()
        given = self.connection.execute(
            """SELECT count(*) AS tasks, count(repeats) AS repeats,
            ifnull(sum(counts = 0 AND repeats IS NULL), 0) AS checks
            FROM task WHERE annotator = ? AND state != 'released'""",
            (annotator.id,),
        ).fetchone()
        return self._repeat(annotator, given) or self._check(annotator, given) or self._fresh(annotator)

    def _extend(self, task: str) -> None:
        """Begins the lease anew, unless most of it is left: that would cost a write for each look."""
        self.connection.execute(
            "UPDATE task SET lease = ? WHERE id = ? AND lease < ?",
            (self.now + self.lease, task, self.now + self.lease / 2),
        )

    def _release(self) -> None:
        """Gives the places of abandoned tasks to others."""
        late = self.connection.execute(
            "SELECT id, pair, counts FROM task WHERE state = 'open' AND lease < ?", (self.now,)
        ).fetchall()
        for task in late:
            self.connection.execute("UPDATE task SET state = 'released' WHERE id = ?", (task["id"],))
            self._take(task, -1)

    def _fresh(self, annotator: Annotator) -> str | None:
        pair = self.connection.execute(
            f"""SELECT id FROM pair WHERE gold = '' AND taken < quota AND NOT EXISTS ({_MINE})
            ORDER BY place, id LIMIT 1""",
            (annotator.id,),
        ).fetchone()
        return self._open(annotator, pair["id"], counts=True) if pair else None

    def _check(self, annotator: Annotator, given: sqlite3.Row) -> str | None:
        """An attention check that the annotator has not seen, if one is due."""
        if not self._is_due(annotator, "check", self.project.check_share, given["checks"], given["tasks"]):
            return None
        pair = self.connection.execute(
            f"SELECT id FROM pair WHERE gold != '' AND NOT EXISTS ({_MINE}) ORDER BY place, id LIMIT 1", (annotator.id,)
        ).fetchone()
        return self._open(annotator, pair["id"], counts=False) if pair else None

    def _repeat(self, annotator: Annotator, given: sqlite3.Row) -> str | None:
        """An earlier pair with its sides swapped, if one is due."""
        if not self._is_due(annotator, "repeat", self.project.repeat_share, given["repeats"], given["tasks"]):
            return None
        earlier = self.connection.execute(
            """SELECT task.* FROM task JOIN judgement ON judgement.id = task.judgement
            WHERE annotator = :annotator AND counts = 1 AND choice != 'skip' AND position <= :latest AND NOT EXISTS (
                SELECT 1 FROM task AS again WHERE again.annotator = :annotator AND again.pair = task.pair
                AND again.repeats = task.id AND again.state != 'released'
            )""",
            {"annotator": annotator.id, "latest": self._position(annotator) - REPEAT_GAP},
        ).fetchall()
        if not earlier:
            return None
        first = min(earlier, key=lambda task: chance(self.project.seed, annotator.name, "repeated", task["pair"]))
        return self._open(annotator, first["pair"], counts=False, repeats=first)

    def _is_due(self, annotator: Annotator, kind: str, share: float, given: int, tasks: int) -> bool:
        return is_due(self.project.seed, annotator.name, kind, share=share, given=given, tasks=tasks)

    def _position(self, annotator: Annotator) -> int:
        """Where the annotator's latest task stands."""
        return number(self.connection, "SELECT max(position) FROM task WHERE annotator = ?", annotator.id)

    def _open(self, annotator: Annotator, pair: str, *, counts: bool, repeats: sqlite3.Row | None = None) -> str:
        """Makes a task, or opens a released one again."""
        swapped = not repeats["swapped"] if repeats else is_swapped(self.project.seed, annotator.name, pair)
        task = task_id(annotator.id, pair, is_repeat=repeats is not None)
        self.connection.execute(
            """INSERT INTO task
            VALUES (:task, :annotator, :pair, :swapped, :repeats, :counts, :position, 'open', :lease, NULL)
            ON CONFLICT (id) DO UPDATE SET state = 'open', position = :position, lease = :lease""",
            {
                "task": task,
                "annotator": annotator.id,
                "pair": pair,
                "swapped": int(swapped),
                "repeats": repeats["id"] if repeats else None,
                "counts": int(counts),
                "position": self._position(annotator) + 1,
                "lease": self.now + self.lease,
            },
        )
        self.connection.execute("UPDATE pair SET taken = taken + ? WHERE id = ?", (int(counts), pair))
        return task

    # ---- answers ----------------------------------------------------------------------------------------------------

    def find(self, annotator_id: str, task: str) -> sqlite3.Row:
        """An annotator's task.

        Raises:
            UnknownTaskError: if there is no such task.
            ForeignTaskError: if it is another annotator's.
        """
        found = self.connection.execute("SELECT * FROM task WHERE id = ?", (task,)).fetchone()
        if not found:
            raise UnknownTaskError(f"there is no task {task!r}")
        if found["annotator"] != annotator_id:
            raise ForeignTaskError(f"the task {task!r} belongs to somebody else")
        return cast(sqlite3.Row, found)

    def judge(self, task: sqlite3.Row, choice: Choice, strength: int | None, seconds: float | None) -> str:
        """Writes an answer down, unless it is there already, and says its id.

        Raises:
            AnsweredError: if another answer stands.
            TaskGoneError: if the task was abandoned and its place is taken.
        """
        if task["state"] == "answered":
            return self._same(task, choice, strength)
        if task["state"] == "released":
            if not self._has_room(task):
                raise TaskGoneError("this pair waited for too long and went to somebody else; the next one is ready")
            self._take(task, 1)
        last = self.connection.execute(
            "SELECT id FROM judgement WHERE task = ? ORDER BY number DESC LIMIT 1", (task["id"],)
        ).fetchone()
        judgement = secrets.token_hex(8)
        self.connection.execute(
            """INSERT INTO judgement (id, task, choice, strength, seconds, created, supersedes)
            VALUES (?, ?, ?, ?, ?, ?, ?)""",
            (judgement, task["id"], choice, strength, seconds, self.now, last["id"] if last else None),
        )
        self.connection.execute(
            "UPDATE task SET state = 'answered', judgement = ? WHERE id = ?", (judgement, task["id"])
        )
        if choice == "skip":
            self._take(task, -1)
        return judgement

    def _same(self, task: sqlite3.Row, choice: Choice, strength: int | None) -> str:
        """The answer that stands, if it is this one: then a request has come twice."""
        stands = self.connection.execute("SELECT * FROM judgement WHERE id = ?", (task["judgement"],)).fetchone()
        if (stands["choice"], stands["strength"]) != (choice, strength):
            raise AnsweredError(f"this pair has the answer {stands['choice']!r} already; undo takes it back")
        return str(stands["id"])

    def undo(self, annotator_id: str) -> str | None:
        """Takes the latest answer in force back; says which task is open again."""
        task = self.connection.execute(
            """SELECT task.*, choice FROM task JOIN judgement ON judgement.id = task.judgement
            WHERE annotator = ? AND state = 'answered' ORDER BY judgement.number DESC LIMIT 1""",
            (annotator_id,),
        ).fetchone()
        if not task:
            return None
        if task["choice"] == "skip":
            if not self._has_room(task):
                return None
            self._take(task, 1)
        self.connection.execute(  # after a merge a task may have several answers
            """INSERT INTO undo (judgement, created) SELECT id, ? FROM judgement WHERE task = ?
            AND NOT EXISTS (SELECT 1 FROM undo WHERE undo.judgement = judgement.id) ORDER BY number""",
            (self.now, task["id"]),
        )
        self.connection.execute(
            "UPDATE task SET state = 'open', judgement = NULL, lease = ? WHERE id = ?",
            (self.now + self.lease, task["id"]),
        )
        return str(task["id"])

    def _has_room(self, task: sqlite3.Row) -> bool:
        query = "SELECT taken < quota FROM pair WHERE id = ?"
        return not task["counts"] or bool(number(self.connection, query, task["pair"]))

    def _take(self, task: sqlite3.Row, places: int) -> None:
        """Takes a place of the task's pair, or gives it back."""
        self.connection.execute(
            "UPDATE pair SET taken = taken + ? WHERE id = ?", (places * task["counts"], task["pair"])
        )


def task_id(annotator_id: str, pair: str, *, is_repeat: bool) -> str:
    """The name of a task: the same in every copy of the database."""
    return sha256(repr((annotator_id, pair, is_repeat)).encode()).hexdigest()[:16]


def settle(connection: sqlite3.Connection) -> None:
    """Works out anew which answers are in force and which places are taken, after rows have come from elsewhere.

    Of several answers to one task that nobody has undone the latest holds.
    """
    connection.execute(
        """UPDATE task SET judgement = (
            SELECT id FROM judgement WHERE judgement.task = task.id
            AND NOT EXISTS (SELECT 1 FROM undo WHERE undo.judgement = judgement.id)
            ORDER BY created DESC, id DESC LIMIT 1
        )"""
    )
    connection.execute(
        """UPDATE task SET state = CASE WHEN judgement IS NOT NULL THEN 'answered'
        WHEN state = 'open' THEN 'open' ELSE 'released' END"""
    )
    connection.execute(
        """UPDATE pair SET taken = (
            SELECT count(*) FROM task LEFT JOIN judgement ON judgement.id = task.judgement
            WHERE task.pair = pair.id AND counts = 1 AND state != 'released' AND ifnull(choice, '') != 'skip'
        )"""
    )
