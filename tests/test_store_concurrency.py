"""Nothing is lost, doubled or given out too often, whoever works on the label database at once and is killed."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from stores import PLAIN, Voter, make_pairs, make_store, vote

from textgym.feedback.projects import Question
from textgym.feedback.store import Store


def judged(store: Store) -> Counter[str]:
    """How many answers each pair has; nobody may have given two."""
    found = [(item.pair, item.annotator) for item in store.comparisons() if item.choice != "skip"]
    assert len(set(found)) == len(found)
    return Counter(pair for pair, _ in found)


def test_fifty_annotators_at_once_keep_the_quotas(tmp_path: Path) -> None:
    with make_store(tmp_path / "labels.sqlite", 40, overlap=3, **PLAIN) as store:
        people = [store.add_annotator(f"person {number}").id for number in range(50)]
        start = threading.Barrier(50, timeout=60.0)

        def work(person: str) -> int:
            start.wait()
            return vote(store, person)

        with ThreadPoolExecutor(50) as pool:
            counts = list(pool.map(work, people))
        assert sum(counts) == 120
        assert judged(store) == {pair.id: 3 for pair in make_pairs(40)}
        assert store.progress().complete == 40


def test_tabs_of_one_annotator_see_and_answer_the_same(tmp_path: Path) -> None:
    with make_store(tmp_path / "labels.sqlite", 10, **PLAIN) as store:
        ann = store.add_annotator("Ann").id
        start = threading.Barrier(8, timeout=60.0)

        def look(_: int) -> Question | None:
            start.wait()
            return store.next_task(ann)

        def answer(_: int) -> str:
            start.wait()
            assert task is not None
            return store.judge(ann, task.id, "left").id

        with ThreadPoolExecutor(8) as pool:
            for done in range(1, 11):
                (task,) = set(pool.map(look, range(8)))
                assert len(set(pool.map(answer, range(8)))) == 1
                assert len(store.judgements()) == done


def test_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    with make_store(path, 30, overlap=2, **PLAIN) as store:
        people = [store.add_annotator(name).id for name in ("Ann", "Bo", "Cy")]
        voters = [Voter(path, person) for person in people[:2]]
        mine = vote(store, people[2])
        reports = [list(voter.reports()) for voter in voters]
        for voter in voters:
            voter.close()
        assert all(answers <= 2 for answers in judged(store).values())
        said = {judgement for report in reports for judgement, _, _ in report}
        rows = store.judgements()
        assert said == {row.id for row in rows if row.annotator != people[2]}
        assert len(said) + mine == len(rows)
        assert {row.annotator for row in rows if row.id in said} == set(people[:2])


def kill_again_and_again(path: Path, kills: int) -> None:
    """Kills a voting process right after it has said that an answer is in the file, and looks whether it is."""
    with make_store(path, 20 * kills, **PLAIN) as store:
        ann = store.add_annotator("Ann").id
        said: dict[str, tuple[str, str]] = {}
        undone: set[str] = set()
        for number in range(kills):
            voter = Voter(path, ann)
            reports: list[tuple[str, str, str]] = []
            for report in voter.reports():
                reports.append(report)
                if len(reports) > number % 9:
                    break
            for judgement, task, choice in [*reports, *voter.kill()]:
                if choice == "undo":
                    undone.add(judgement)
                else:
                    said[judgement] = task, choice
            compare(store, ann, said, undone)


def compare(store: Store, ann: str, said: dict[str, tuple[str, str]], undone: set[str]) -> None:
    """All that was said is there, once; at most the last answer and the last undo were written and not yet said."""
    rows = store.judgements()
    found = {row.id: (row.task, str(row.choice)) for row in rows}
    assert said.items() <= found.items()  # nothing lost
    in_force = {str(item.metadata["judgement"]): item for item in store.comparisons()}
    assert not undone & in_force.keys()
    unsaid = found.keys() - said.keys()
    lost = found.keys() - in_force.keys() - undone
    assert len(unsaid) + len(lost) <= 1
    assert len({item.pair for item in in_force.values()}) == len(in_force)  # nothing doubled
    for name in list(said)[-3:]:
        if name in in_force:  # whoever did not hear the answer says it again
            task, choice = said[name]
            answer: Any = choice
            assert store.judge(ann, task, answer).id == name
    assert len(store.judgements()) == len(rows)
    for name in unsaid:
        said[name] = found[name]
    undone |= lost


def test_a_killed_process_loses_nothing_that_it_has_confirmed(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "labels.sqlite", 10)
    with Store(tmp_path / "labels.sqlite") as store, store.database.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "labels.sqlite", 200)
    with Store(tmp_path / "labels.sqlite") as store, store.database.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.slow
def test_ten_thousand_pairs_stand_on_either_side_as_often(tmp_path: Path) -> None:
    sides: list[dict[str, bool]] = []
    for name in ("one", "two"):
        with make_store(tmp_path / f"{name}.sqlite", 10_000, **PLAIN) as store:
            people = [store.add_annotator(f"person {number}").id for number in range(10)]
            with store.together():
                assert [vote(store, person, most=1_000) for person in people] == [1_000] * 10
            sides.append({item.pair: item.swapped for item in store.comparisons()})
    assert sides[0] == sides[1]
    assert abs(sum(sides[0].values()) / 10_000 - 0.5) <= 0.015
