"""The store of a labelling project: pairs, annotators, tasks and judgements in one SQLite file.

An answer is in the file when :meth:`Store.judge` returns: write-ahead log, ``synchronous=FULL``. Judgements are only
ever added; an undo is a row of its own, and the next answer to the same task says which one it replaces.
Any number of threads and processes may work on one file.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from textgym.comparisons import Choice, Comparison
from textgym.errors import ConfigurationError
from textgym.feedback import invitations, rows
from textgym.feedback.assignment import Strategy
from textgym.feedback.clerk import Clerk
from textgym.feedback.invitations import find_annotator
from textgym.feedback.pairs import Pair
from textgym.feedback.projects import Annotator, Invitation, Judgement, Progress, Project, Question, Role, StoreError
from textgym.feedback.rows import IN_FORCE, number, select, to_comparison
from textgym.feedback.schema import Database, check_file, create_database
from textgym.feedback.standing import measure_progress, show_task

LEASE = 900.0
"""Seconds for which an open task keeps its place in the pair's quota."""

_WITH_ANNOTATOR = "SELECT judgement.*, annotator FROM judgement JOIN task ON task.id = judgement.task"


class Store:
    """A labelling project in a file; safe to share between threads, and a context manager.

    Attributes:
        path: The file.
        project: What it is about.
        database: Its tables, for what reads or writes many rows at once.

    Args:
        path: A file that :meth:`create` has made.
        lease: Seconds for which an open task keeps its place in the pair's quota.
        clock: Tells the time in seconds since 1970.

    Raises:
        ConfigurationError: for a file that is missing, no label database, or of another schema version.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with Store.create(Path(folder.name) / "labels.sqlite", Project(env_id="TextGen-v0")) as store:
        ...     store.add_pairs([Pair(id="1", prompt="praise the movie", first="was great", second="was")])
        ...     ann = store.add_annotator("Ann")
        ...     task = store.next_task(ann.id)
        ...     judgement = store.judge(ann.id, task.id, "tie")
        ...     store.comparisons()[0].choice
        1
        'tie'
        >>> folder.cleanup()
    """

    def __init__(self, path: str | Path, *, lease: float = LEASE, clock: Callable[[], float] = time.time) -> None:
        self.path = Path(path)
        check_file(self.path)
        self.database = Database(self.path)
        self._lease, self._clock = lease, clock
        with self.database.reading() as connection:
            (row,) = select(connection, "SELECT config FROM project")
        self.project = Project.from_json(row["config"])

    @classmethod
    def create(cls, path: str | Path, project: Project, **options: Any) -> Self:
        """Makes a new file.

        Args:
            path: Its name.
            project: What it is about.
            options: Of the store.

        Raises:
            ConfigurationError: if there is such a file already, or it cannot be made.
        """
        create_database(Path(path), project)
        return cls(path, **options)

    @classmethod
    def open(cls, path: str | Path, **options: Any) -> Self:
        """Opens a file; the same as ``Store(path)``."""
        return cls(path, **options)

    def close(self) -> None:
        """Gives the file back."""
        self.database.close()

    def together(self) -> AbstractContextManager[None]:
        """What this thread writes in the block is on the disk at its end, all at once: the disk is what takes time."""
        return self.database.together()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ---- pairs ------------------------------------------------------------------------------------------------------

    def add_pairs(self, pairs: Sequence[Pair], *, overlap: int | None = None) -> int:
        """Adds pairs; those that are there already stay as they are.

        Args:
            pairs: Those with ``gold`` are attention checks: everybody sees them, among the others.
            overlap: How many annotators judge each of them; by default as many as the project says.

        Returns:
            How many were new.

        Raises:
            ConfigurationError: for a pair that has the name of another one.
        """
        quota = self.project.overlap if overlap is None else overlap
        if quota < 1:
            raise ConfigurationError(f"overlap={overlap!r}: expected at least 1")
        with self.database.writing() as connection:
            return rows.insert_pairs(connection, self.project, pairs, quota)

    def pairs(self) -> list[Pair]:
        """All pairs, attention checks too, in the order in which they came."""
        with self.database.reading() as connection:
            return [rows.to_pair(row) for row in select(connection, "SELECT * FROM pair ORDER BY number")]

    def quotas(self) -> dict[str, int]:
        """By how many annotators each pair is to be judged; pair id -> number."""
        with self.database.reading() as connection:
            return {row["id"]: row["quota"] for row in select(connection, "SELECT id, quota FROM pair")}

    def rerank(self, strategy: Strategy) -> None:
        """Puts the pairs that still need judgements into a strategy's order; as slow as the strategy is.

        Raises:
            ConfigurationError: if the strategy returns no order.
        """
        with self.database.reading() as connection:
            wanted = list(select(connection, "SELECT * FROM pair WHERE gold = '' AND taken < quota ORDER BY number"))
            known = [to_comparison(row) for row in select(connection, IN_FORCE)]
        pairs, counts = [rows.to_pair(row) for row in wanted], [row["taken"] for row in wanted]
        order = [int(index) for index in strategy.rank(pairs, counts, known)]
        if sorted(order) != list(range(len(pairs))):
            raise ConfigurationError(f"{strategy!r} returned no order of {len(pairs)} pairs: {order[:5]}...")
        places = [(place / len(pairs), pairs[index].id) for place, index in enumerate(order)]
        with self.database.writing() as connection:
            connection.executemany("UPDATE pair SET place = ? WHERE id = ?", places)

    # ---- annotators -------------------------------------------------------------------------------------------------

    def add_annotator(self, name: str, *, role: Role = "annotator") -> Invitation:
        """Lets somebody in.

        Raises:
            ConfigurationError: for a name that is empty or taken, and for an unknown role.
        """
        with self.database.writing() as connection:
            return invitations.invite(connection, name, role, self._clock())

    def renew(self, annotator_id: str) -> Invitation:
        """A new token for somebody whose link is lost; the old one opens nothing from now on."""
        with self.database.writing() as connection:
            return invitations.renew(connection, find_annotator(connection, annotator_id))

    def annotators(self) -> list[Annotator]:
        """Everybody, in the order in which they were added."""
        with self.database.reading() as connection:
            return [rows.to_annotator(row) for row in select(connection, "SELECT * FROM annotator ORDER BY number")]

    def annotator_of(self, token: str) -> Annotator | None:
        """Whose token this is; None for nobody's."""
        with self.database.reading() as connection:
            return invitations.find_by_token(connection, token)

    # ---- tasks and judgements ---------------------------------------------------------------------------------------

    def next_task(self, annotator_id: str) -> Question | None:
        """The annotator's open task, or a new one: the same until it is answered, in every tab.

        Returns:
            None where nothing is left for now; what others leave unanswered may come free later.

        Raises:
            StoreError: for somebody who is no annotator.
        """
        with self.database.writing() as connection:
            annotator = find_annotator(connection, annotator_id)
            if annotator.role != "annotator":
                raise StoreError(f"{annotator.name!r} is a {annotator.role} and has no tasks")
            task = self._clerk(connection).next(annotator)
            return show_task(connection, self.project, task) if task else None

    def task(self, annotator_id: str, task_id: str) -> Question:
        """A task by its name, answered or not.

        Raises:
            UnknownTaskError: if there is no such task.
            ForeignTaskError: if it is another annotator's.
        """
        with self.database.reading() as connection:
            return show_task(connection, self.project, self._clerk(connection).find(annotator_id, task_id)["id"])

    def judge(
        self,
        annotator_id: str,
        task_id: str,
        choice: Choice,
        *,
        strength: int | None = None,
        seconds: float | None = None,
    ) -> Judgement:
        """Writes an answer down. The same answer to the same task once more changes nothing.

        Args:
            annotator_id: Whose task it is.
            task_id: What was asked.
            choice: The answer, in terms of what was shown.
            strength: How much better, from 1 to 3; only where one text is.
            seconds: Time taken.

        Raises:
            ConfigurationError: for an answer that cannot be.
            UnknownTaskError: if there is no such task.
            ForeignTaskError: if it is another annotator's.
            AnsweredError: if another answer stands.
            TaskGoneError: if the task was abandoned and its place is taken.
        """
        Comparison(prompt="", left="", right="", choice=choice, strength=strength, seconds=seconds)  # checks them
        with self.database.writing() as connection:
            clerk = self._clerk(connection)
            judgement = clerk.judge(clerk.find(annotator_id, task_id), choice, strength, seconds)
            (row,) = select(connection, f"{_WITH_ANNOTATOR} WHERE judgement.id = ?", judgement)
            return rows.to_judgement(row)

    def undo(self, annotator_id: str) -> Question | None:
        """Takes an annotator's latest answer in force back and opens its task again; once more, the one before.

        Returns:
            None where there is none, or where it was a skip and somebody else has taken the place meanwhile.
        """
        with self.database.writing() as connection:
            find_annotator(connection, annotator_id)
            task = self._clerk(connection).undo(annotator_id)
            return show_task(connection, self.project, task) if task else None

    def judgements(self) -> list[Judgement]:
        """All rows, undone ones too, oldest first."""
        with self.database.reading() as connection:
            return [
                rows.to_judgement(row) for row in select(connection, f"{_WITH_ANNOTATOR} ORDER BY judgement.number")
            ]

    def comparisons(self) -> list[Comparison]:
        """The judgements in force, oldest first: repeats, attention checks and skips too.

        Their metadata: "created" in seconds since 1970, "repeat" (an earlier pair once more), "attention_check"
        ("first" or "second", the pair's better text; else ""), "prompt_index", and "judgement", the id.
        """
        with self.database.reading() as connection:
            return [to_comparison(row) for row in select(connection, IN_FORCE)]

    # ---- the project as a whole -------------------------------------------------------------------------------------

    def progress(self, *, minutes: float = 5.0) -> Progress:
        """How far the project is; the pace is that of the last minutes."""
        with self.database.reading() as connection:
            return measure_progress(connection, now=self._clock(), minutes=minutes)

    @property
    def revision(self) -> int:
        """Grows with every judgement and every undo: whether anything is new costs next to nothing."""
        query = "SELECT ifnull((SELECT max(number) FROM judgement), 0) + ifnull((SELECT max(number) FROM undo), 0)"
        with self.database.reading() as connection:
            return number(connection, query)

    def setting(self, name: str, default: str = "") -> str:
        """A short text that outlives the program, such as whether the join page is open."""
        with self.database.reading() as connection:
            found = list(select(connection, "SELECT value FROM setting WHERE name = ?", name))
        return str(found[0]["value"]) if found else default

    def set_setting(self, name: str, value: str) -> None:
        """Writes a short text down."""
        with self.database.writing() as connection:
            connection.execute(
                "INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

    # ---- helpers ----------------------------------------------------------------------------------------------------

    def _clerk(self, connection: sqlite3.Connection) -> Clerk:
        return Clerk(connection, self.project, self._clock(), self._lease)
