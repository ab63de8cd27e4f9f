"""The label database against a model of a few lines, over random sequences of everything that people do."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import PLAIN, Clock, make_store

from textgym.comparisons import CHOICES
from textgym.feedback.projects import AnsweredError, Question, TaskGoneError
from textgym.feedback.store import Store

PEOPLE = ("Ann", "Bo", "Cy")
OVERLAP = 2
LEASE = 100.0

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["judge", "judge", "judge", "undo", "again", "other", "wait", "leave"]),
        st.sampled_from(PEOPLE),
        st.sampled_from(CHOICES),
    ),
    max_size=30,
)


@dataclass
class Model:
    """What must be in force: for each person the answers in the order in which they were given."""

    answers: dict[str, list[tuple[str, str, str]]] = field(default_factory=lambda: {name: [] for name in PEOPLE})
    rows: int = 0

    def in_force(self) -> Counter[tuple[str, str, str]]:
        return Counter((name, pair, choice) for name in PEOPLE for _, pair, choice in self.answers[name])

    def places(self, pair: str) -> int:
        return sum(known == pair and choice != "skip" for _, known, choice in self.in_force())


class Play:
    """Does to the store and to the model what a step says, and compares."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock, self.model = store, clock, Model()
        self.ids = {name: store.add_annotator(name).id for name in PEOPLE}
        self.tabs: dict[str, Question] = {}

    def judge(self, name: str, choice: Any) -> None:
        task = self.store.next_task(self.ids[name])
        assert task == self.store.next_task(self.ids[name])  # another tab
        if task is not None:
            assert task.id not in [known for known, _, _ in self.model.answers[name]]
            assert task.done == len(self.model.answers[name]) < task.total
            self.answer(name, task, choice)

    def answer(self, name: str, task: Question, choice: Any) -> None:
        self.store.judge(self.ids[name], task.id, choice)
        self.model.answers[name].append((task.id, task.pair, choice))
        self.model.rows += 1

    def again(self, name: str, choice: Any) -> None:
        """The same request comes twice."""
        if self.model.answers[name]:
            task, _, given = self.model.answers[name][-1]
            self.store.judge(self.ids[name], task, given)  # type: ignore[arg-type]

    def other(self, name: str, choice: Any) -> None:
        """Another tab has another answer."""
        if self.model.answers[name] and self.model.answers[name][-1][2] != choice:
            with pytest.raises(AnsweredError):
                self.store.judge(self.ids[name], self.model.answers[name][-1][0], choice)

    def undo(self, name: str, choice: Any) -> None:
        task = self.store.undo(self.ids[name])
        if not self.model.answers[name]:
            assert task is None
        elif task is None:  # a skip whose place somebody else has taken
            assert self.model.answers[name][-1][2] == "skip"
        else:
            assert self.model.answers[name].pop()[0] == task.id

    def wait(self, name: str, choice: Any) -> None:
        """Everybody goes to lunch, and somebody comes back to an old tab."""
        self.clock.now += 0.7 * LEASE
        task = self.tabs.pop(name, None)
        if task is None or task.id in [known for known, _, _ in self.model.answers[name]]:
            return
        try:
            self.answer(name, task, choice)
        except TaskGoneError:
            assert not self.model.answers[name] or self.model.answers[name][-1][0] != task.id

    def leave(self, name: str, choice: Any) -> None:
        """Opens a task and leaves it."""
        task = self.store.next_task(self.ids[name])
        if task is not None:
            self.tabs[name] = task

    def compare(self) -> None:
        found = Counter((item.annotator, item.pair, item.choice) for item in self.store.comparisons())
        assert found == self.model.in_force()
        judgements = self.store.judgements()
        assert len(judgements) == self.model.rows
        known = {item.id: item for item in judgements}
        assert all(known[item.supersedes].task == item.task for item in judgements if item.supersedes)
        self.compare_places()

    def compare_places(self) -> None:
        """The counts that the store keeps are those of its rows, and no pair is above its quota."""
        with self.store.database.reading() as connection:
            rows = connection.execute(
                """SELECT id, quota, taken, (SELECT count(*) FROM task WHERE pair = pair.id AND state = 'open') AS open
                FROM pair"""
            ).fetchall()
            tally = tuple(connection.execute("SELECT * FROM tally").fetchone())
        for row in rows:
            assert row["taken"] == self.model.places(row["id"]) + row["open"] <= row["quota"]
        free = [row["quota"] - row["taken"] for row in rows]
        assert tally == (sum(places > 0 for places in free), sum(free))


def run(steps: list[tuple[str, str, str]]) -> None:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.sqlite"
        with make_store(path, 3, overlap=OVERLAP, clock=clock, lease=LEASE, **PLAIN) as store, store.together():
            play = Play(store, clock)
            for action, name, choice in steps:
                clock.now += 1.0
                getattr(play, action)(name, choice)
                play.compare()


@settings(max_examples=40)
@given(STEPS)
def test_the_store_and_the_model_agree(steps: list[tuple[str, str, str]]) -> None:
    run(steps)


@pytest.mark.slow
@settings(max_examples=1_000)
@given(STEPS)
def test_the_store_and_the_model_agree_for_long(steps: list[tuple[str, str, str]]) -> None:
    run(steps)
