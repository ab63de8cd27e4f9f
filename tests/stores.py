"""Small label databases, and somebody who votes in another process, for tests."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from textgym.feedback.pairs import Pair
from textgym.feedback.projects import Project
from textgym.feedback.store import Store

PLAIN: dict[str, Any] = {"repeat_share": 0.0, "check_share": 0.0}
"""A project that shows each pair once to an annotator."""


class Clock:
    """A clock that stands still until somebody turns it."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def make_pairs(count: int, **values: Any) -> list[Pair]:
    """Pairs of different texts."""
    return [
        Pair(
            **{
                "id": f"pair {number}",
                "prompt": f"praise {number % 3}",
                "first": f"first {number}",
                "second": f"second {number}",
                "first_ids": (number, 0),
                "second_ids": (number, 1, 0),
                "prompt_index": number % 3,
                "env_id": "TextGen-v0",
                "policy": "uniform",
                **values,
            }
        )
        for number in range(count)
    ]


def make_store(
    path: Path, count: int = 3, *, clock: Clock | None = None, lease: float = 900.0, **project: Any
) -> Store:
    """A new database with pairs and nobody to judge them."""
    options: dict[str, Any] = {"lease": lease} | ({} if clock is None else {"clock": clock})
    store = Store.create(path, Project(**{"env_id": "TextGen-v0", **project}), **options)
    store.add_pairs(make_pairs(count))
    return store


def vote(store: Store, annotator: str, choice: Any = "left", most: int = 10**9) -> int:
    """Answers tasks until there are no more; says how many."""
    count = 0
    while count < most and (task := store.next_task(annotator)):
        store.judge(annotator, task.id, choice, seconds=1.5)
        count += 1
    return count


def vote_elsewhere(path: Path, annotator: str, pipe: Connection) -> None:
    """Votes and reports each answer when it is safe; the work of another process."""
    choices = ("left", "right", "tie", "skip")
    with Store(path) as store:
        for number in range(10**6):
            task = store.next_task(annotator)
            if task is None:
                break
            choice: Any = choices[number % 4]
            judgement = store.judge(annotator, task.id, choice, seconds=0.5)
            pipe.send((judgement.id, task.id, choice))
            if number % 7 == 6:
                store.undo(annotator)
                pipe.send((judgement.id, task.id, "undo"))
        pipe.send(None)


class Voter:
    """Another process in which an annotator votes.

    Args:
        path: The database.
        annotator: Whose tasks are answered.
    """

    def __init__(self, path: Path, annotator: str) -> None:
        methods = multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            context.set_forkserver_preload(["textgym.feedback.store"])  # imported once for all of them
        self._pipe, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=vote_elsewhere, args=(path, annotator, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def reports(self) -> Iterator[tuple[str, str, str]]:
        """What the voter says is in the file: judgement, task and choice; ends when nothing is left to judge."""
        while True:
            assert self._pipe.poll(60.0), "the voter says nothing"
            try:
                report = self._pipe.recv()
            except (EOFError, OSError):  # killed in the middle of a word
                return
            if report is None:
                return
            yield report

    def kill(self) -> list[tuple[str, str, str]]:
        """Kills the process at once; returns what it had reported and nobody had read."""
        self._process.kill()
        self._process.join()
        unread = list(self.reports())
        self.close()
        return unread

    def close(self) -> None:
        """Waits for the end."""
        self._process.join()
        self._process.close()
        self._pipe.close()
