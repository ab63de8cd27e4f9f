"""The label database: what goes in, what comes out, and what is refused."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from stores import PLAIN, Clock, make_pairs, make_store, vote

from textgym.errors import ConfigurationError, TextGymError
from textgym.feedback.assignment import RandomOrder, is_due
from textgym.feedback.pairs import is_swapped
from textgym.feedback.projects import (
    AnsweredError,
    ForeignTaskError,
    Project,
    StoreError,
    TaskGoneError,
    UnknownTaskError,
)
from textgym.feedback.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make_store(tmp_path / "labels.sqlite", **PLAIN) as made:
        yield made


# ---- the file -------------------------------------------------------------------------------------------------------


def test_a_file_keeps_its_project_and_pairs(tmp_path: Path) -> None:
    project = Project(
        env_id="TextGen-v0", env_kwargs={"level": "tiny"}, guidelines="Be kind.\n\u202e", seed=3, overlap=2
    )
    with Store.create(tmp_path / "labels.sqlite", project) as store:
        assert store.add_pairs(make_pairs(5)) == 5
    with Store.open(tmp_path / "labels.sqlite") as again:
        assert again.project == project
        assert again.pairs() == make_pairs(5)
        assert set(again.quotas().values()) == {2}
    assert [path.name for path in tmp_path.iterdir()] == ["labels.sqlite"]


def test_texts_come_back_as_they_were(tmp_path: Path) -> None:
    strange = ["", " \n\t", "a\0b", "\u202e\U0001f600", "'); DROP TABLE pair;--", "<script>"]
    pairs = [
        replace(pair, id=f"'{number}\n", prompt=text, first=text, second=text + "x", policy=text)
        for number, (pair, text) in enumerate(zip(make_pairs(6), strange, strict=True))
    ]
    with make_store(tmp_path / "labels.sqlite", 0) as store:
        store.add_pairs(pairs)
        assert store.pairs() == pairs


def test_a_commit_waits_for_the_disk(store: Store) -> None:
    with store.database.writing() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1


def write_foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE pair (id)")
    connection.close()


def write_newer(path: Path) -> None:
    make_store(path, 0).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "does not exist; `textgym label create` makes one"),
        (lambda path: path.mkdir(), "does not exist"),
        (lambda path: path.write_bytes(b""), "is no label database"),
        (lambda path: path.write_bytes(b"prompt,chosen\n" * 50), "is no label database"),
        (write_foreign, "is no label database"),
        (write_newer, "has schema version 2, this textgym knows 1: update textgym"),
    ],
)
def test_files_that_cannot_be_opened(write: Any, message: str, tmp_path: Path) -> None:
    write(tmp_path / "labels.sqlite")
    with pytest.raises(ConfigurationError, match=message):
        Store.open(tmp_path / "labels.sqlite")


def test_a_damaged_file_is_an_error_of_ours(tmp_path: Path) -> None:
    make_store(tmp_path / "labels.sqlite").close()
    content = (tmp_path / "labels.sqlite").read_bytes()
    (tmp_path / "labels.sqlite").write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(StoreError, match="label database .* fails"):
        Store.open(tmp_path / "labels.sqlite").pairs()


def test_a_file_is_never_overwritten(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="exists already"):
        Store.create(store.path, store.project)
    with pytest.raises(ConfigurationError, match="cannot be made"):
        Store.create(store.path.parent / "none" / "labels.sqlite", store.project)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"overlap": 0}, "overlap=0"),
        ({"overlap": True}, "overlap=True"),
        ({"seed": -1}, "seed=-1"),
        ({"repeat_share": 0.6}, "repeat_share=0.6"),
        ({"check_share": float("nan")}, "check_share=nan"),
        ({"env_kwargs": {"reward": print}}, "env_kwargs="),
    ],
)
def test_settings_that_cannot_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Project(env_id="TextGen-v0", **values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"env_id": "TextGen-v0", "overlp": 2}', "Did you mean 'overlap'"),
        ('{"overlap": 2}', "no env_id"),
        ("[]", "is a list"),
        ("", "no JSON"),
    ],
)
def test_projects_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(TextGymError, match=message):
        Project.from_json(text)


def test_what_is_asked_names_the_project() -> None:
    project = Project(env_id="TextGen-v0")
    assert project.id == replace(project, overlap=3, strategy="variance").id
    others = [{"seed": 1}, {"guidelines": "Be kind."}, {"env_kwargs": {"level": "tiny"}}, {"ask_strength": True}]
    assert len({project.id, *(replace(project, **other).id for other in others)}) == 5  # type: ignore[arg-type]


# ---- pairs and people -----------------------------------------------------------------------------------------------


def test_pairs_are_added_once(store: Store) -> None:
    assert store.add_pairs(make_pairs(4), overlap=7) == 1
    assert store.quotas() == {"pair 0": 1, "pair 1": 1, "pair 2": 1, "pair 3": 7}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (replace(make_pairs(1)[0], second="changed"), "differ in second"),
        (replace(make_pairs(1)[0], id=""), "expected a name"),
        (replace(make_pairs(1)[0], id="x", gold="left"), "gold='left'"),
        (replace(make_pairs(1)[0], id="x", first="\ud800"), "not a valid text"),
        (replace(make_pairs(1)[0], id="x", prompt=None), "expected a text"),
    ],
)
def test_pairs_that_cannot_be(store: Store, pair: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        store.add_pairs([*make_pairs(9), pair])
    assert store.pairs() == make_pairs(3)  # all or nothing


def test_only_the_hash_of_a_token_is_in_the_file(store: Store) -> None:
    ann = store.add_annotator("Ann")
    assert len(ann.token) == 32  # 24 bytes
    assert ann.token not in repr(ann)
    store.close()
    content = b"".join(path.read_bytes() for path in store.path.parent.iterdir())
    assert ann.token.encode() not in content
    assert hashlib.sha256(ann.token.encode()).hexdigest().encode() in content


def test_tokens_open_the_door_until_they_are_renewed(store: Store) -> None:
    ann, teacher = store.add_annotator("Ann"), store.add_annotator("Teacher", role="teacher")
    found = store.annotator_of(ann.token)
    assert found is not None
    assert (found.id, found.name, found.role) == (ann.id, "Ann", "annotator")
    new = store.renew(ann.id)
    assert store.annotator_of(new.token) == found
    for token in (ann.token, "", "\ud800", teacher.token[:-1]):
        assert store.annotator_of(token) is None
    assert [person.name for person in store.annotators()] == ["Ann", "Teacher"]


def test_people_who_cannot_be(store: Store) -> None:
    teacher = store.add_annotator("Ann", role="teacher")
    for name, role, message in (
        ("Ann", "annotator", "already"),
        (" ", "annotator", "a name"),
        ("Bo", "king", "'king'"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            store.add_annotator(name, role=role)  # type: ignore[arg-type]
    for action in (store.next_task, store.renew, store.undo):
        with pytest.raises(StoreError, match="no annotator 'nobody'"):
            action("nobody")
    with pytest.raises(StoreError, match="'Ann' is a teacher and has no tasks"):
        store.next_task(teacher.id)


# ---- answers --------------------------------------------------------------------------------------------------------


def test_two_tabs_show_one_task_and_answer_it_once(store: Store) -> None:
    ann = store.add_annotator("Ann").id
    task, other = store.next_task(ann), store.next_task(ann)
    assert task == other
    assert task is not None
    first = store.judge(ann, task.id, "right", strength=2, seconds=3.5)
    assert store.judge(ann, task.id, "right", strength=2, seconds=9.0) == first
    for choice, strength in (("left", 2), ("right", 1), ("right", None), ("tie", None)):
        with pytest.raises(AnsweredError, match="has the answer 'right' already"):
            store.judge(ann, task.id, choice, strength=strength)  # type: ignore[arg-type]
    assert store.judgements() == [first]
    following = store.next_task(ann)
    assert following is not None
    assert following.id != task.id
    assert (task.done, task.total, following.done, following.total) == (0, 3, 1, 3)


def test_a_comparison_says_all_that_is_known(store: Store) -> None:
    ann = store.add_annotator("Ann")
    task = store.next_task(ann.id)
    assert task is not None
    judgement = store.judge(ann.id, task.id, "right", strength=3, seconds=2.5)
    (pair,) = (pair for pair in store.pairs() if pair.id == task.pair)
    (found,) = store.comparisons()
    shown = (pair.second, pair.first) if task.swapped else (pair.first, pair.second)
    assert (found.left, found.right) == (task.left, task.right) == shown
    assert (found.left_ids, found.right_ids) == (task.left_ids, task.right_ids)
    assert (found.prompt, found.choice, found.strength, found.seconds) == (pair.prompt, "right", 3, 2.5)
    assert (found.pair, found.swapped, found.annotator) == (pair.id, task.swapped, "Ann")
    assert (found.env_id, found.policy) == ("TextGen-v0", "uniform")
    assert found.metadata == {
        "attention_check": "",
        "created": judgement.created,
        "judgement": judgement.id,
        "prompt_index": pair.prompt_index,
        "repeat": False,
    }


def test_answers_that_cannot_be(store: Store) -> None:
    ann, bo = store.add_annotator("Ann").id, store.add_annotator("Bo").id
    task = store.next_task(ann)
    assert task is not None
    with pytest.raises(ForeignTaskError, match="somebody else"):
        store.judge(bo, task.id, "left")
    with pytest.raises(ForeignTaskError, match="somebody else"):
        store.task(bo, task.id)
    with pytest.raises(UnknownTaskError, match="no task '../x'"):
        store.judge(ann, "../x", "left")
    wrong: list[dict[str, Any]] = [
        {"choice": "first"},
        {"choice": "tie", "strength": 2},
        {"choice": "left", "seconds": -1.0},
    ]
    for answer in wrong:
        with pytest.raises(ConfigurationError):
            store.judge(ann, task.id, **answer)
    assert store.judgements() == []
    assert store.next_task(ann) == task == store.task(ann, task.id)


def test_undo_and_a_new_answer_leave_two_rows_and_one_in_force(store: Store) -> None:
    ann = store.add_annotator("Ann").id
    assert store.undo(ann) is None
    task = store.next_task(ann)
    assert task is not None
    first = store.judge(ann, task.id, "left")
    revision = store.revision
    assert store.undo(ann) == task == store.next_task(ann)
    assert store.comparisons() == []
    assert store.revision > revision
    second = store.judge(ann, task.id, "right")
    assert store.judgements() == [first, second]
    assert (first.supersedes, second.supersedes) == ("", first.id)
    assert [item.choice for item in store.comparisons()] == ["right"]


def test_undo_goes_back_step_by_step(store: Store) -> None:
    ann = store.add_annotator("Ann").id
    tasks = []
    for choice in ("left", "skip", "tie"):
        task = store.next_task(ann)
        assert task is not None
        tasks.append(task.id)
        store.judge(ann, task.id, choice)  # type: ignore[arg-type]
    assert store.next_task(ann) is None
    undone = [store.undo(ann) for _ in range(3)]
    assert [task and task.id for task in undone] == tasks[::-1]
    assert store.undo(ann) is None
    found = store.next_task(ann)
    assert found is not None
    assert found.id == tasks[0]  # the earliest first


def test_judgements_are_only_ever_added(store: Store) -> None:
    vote(store, store.add_annotator("Ann").id)
    for statement in ("UPDATE judgement SET choice = 'tie'", "DELETE FROM judgement"):
        with pytest.raises(StoreError, match="judgement rows stay"), store.database.writing() as connection:
            connection.execute(statement)
    assert [item.choice for item in store.comparisons()] == ["left"] * 3


# ---- who gets what --------------------------------------------------------------------------------------------------


def test_a_pair_goes_to_as_many_people_as_the_project_says(tmp_path: Path) -> None:
    with make_store(tmp_path / "labels.sqlite", 4, overlap=2, **PLAIN) as store:
        people = [store.add_annotator(name).id for name in ("Ann", "Bo", "Cy")]
        assert [vote(store, person) for person in people] == [4, 4, 0]
        assert [item.pair for item in store.comparisons()[:4]] == [item.pair for item in store.comparisons()[4:]]


def test_an_open_task_keeps_its_place_until_its_lease_ends(tmp_path: Path) -> None:
    clock = Clock()
    with make_store(tmp_path / "labels.sqlite", 1, clock=clock, lease=60.0, **PLAIN) as store:
        ann, bo = (store.add_annotator(name).id for name in ("Ann", "Bo"))
        task = store.next_task(ann)
        assert task is not None
        clock.now += 59
        assert store.next_task(bo) is None
        assert store.next_task(ann) == task  # looking at it makes it last
        clock.now += 59
        assert store.next_task(bo) is None
        clock.now += 2
        taken = store.next_task(bo)
        assert taken is not None
        assert taken.pair == task.pair
        with pytest.raises(TaskGoneError, match="went to somebody else"):
            store.judge(ann, task.id, "left")
        assert store.next_task(ann) is None
        clock.now += 61
        assert store.next_task(ann) is not None  # and now Bo was too slow
        store.judge(ann, task.id, "left")
        with pytest.raises(TaskGoneError):
            store.judge(bo, taken.id, "left")
        assert len(store.comparisons()) == 1


def test_a_late_answer_counts_as_long_as_the_place_is_free(tmp_path: Path) -> None:
    clock = Clock()
    with make_store(tmp_path / "labels.sqlite", 2, clock=clock, lease=60.0, **PLAIN) as store:
        ann, bo = (store.add_annotator(name).id for name in ("Ann", "Bo"))
        task = store.next_task(ann)
        assert task is not None
        clock.now += 1000
        other = store.next_task(bo)  # releases Ann's place, and takes it
        assert other is not None
        assert other.pair == task.pair
        store.judge(bo, other.id, "skip")
        store.judge(ann, task.id, "right")
        assert [(item.annotator, item.choice) for item in store.comparisons()] == [("Bo", "skip"), ("Ann", "right")]


def test_a_skip_leaves_the_place_to_somebody_else(tmp_path: Path) -> None:
    with make_store(tmp_path / "labels.sqlite", 1, **PLAIN) as store:
        ann, bo = (store.add_annotator(name).id for name in ("Ann", "Bo"))
        assert vote(store, ann, "skip") == 1
        assert store.next_task(ann) is None  # not shown twice
        assert vote(store, bo, "tie") == 1
        assert store.undo(ann) is None  # the place is taken
        assert store.progress().complete == 1


def test_sides_are_those_of_the_seeded_coin(tmp_path: Path) -> None:
    with make_store(tmp_path / "labels.sqlite", 200, seed=5, **PLAIN) as store:
        ann = store.add_annotator("Ann").id
        with store.together():
            vote(store, ann)
        shown = {item.pair: item.swapped for item in store.comparisons()}
    assert shown == {pair.id: is_swapped(5, "Ann", pair.id) for pair in make_pairs(200)}
    assert 0.3 < sum(shown.values()) / 200 < 0.7


def test_repeats_come_with_their_sides_swapped(tmp_path: Path) -> None:
    with make_store(tmp_path / "labels.sqlite", 180, check_share=0.0) as store:
        ann = store.add_annotator("Ann").id
        tasks = []
        with store.together():
            while task := store.next_task(ann):
                tasks.append(task)
                store.judge(ann, task.id, "left")
        found = store.comparisons()
    repeats = [place for place, task in enumerate(tasks) if task.repeats]
    assert len(tasks) - len(repeats) == 180
    assert abs(len(repeats) - 0.1 * len(tasks)) <= 1
    places = {task.id: place for place, task in enumerate(tasks)}
    for place in repeats:
        earlier = tasks[places[tasks[place].repeats]]
        assert (tasks[place].pair, tasks[place].left) == (earlier.pair, earlier.right)
        assert place - places[earlier.id] > 5
    assert len({tasks[place].pair for place in repeats}) == len(repeats)
    assert len({second - first for first, second in pairwise(repeats)}) > 3  # nobody can count them out
    assert [item.metadata["repeat"] for item in found] == [bool(task.repeats) for task in tasks]


def test_attention_checks_stand_among_the_tasks_of_everybody(tmp_path: Path) -> None:
    gold = [replace(pair, id=f"gold {pair.id}", gold="second") for pair in make_pairs(4)]
    with make_store(tmp_path / "labels.sqlite", 76, repeat_share=0.0, overlap=2) as store:
        store.add_pairs(gold)
        people = [store.add_annotator(name).id for name in ("Ann", "Bo", "Cy")]
        with store.together():
            counts = [vote(store, person) for person in people]
        checks = [item for item in store.comparisons() if item.metadata["attention_check"] == "second"]
        progress = store.progress()
    assert counts == [80, 80, 0]
    assert len({(item.annotator, item.pair) for item in checks}) == len(checks) == 8
    assert (progress.pairs, progress.checks, progress.places, progress.filled) == (76, 4, 152, 152)


def test_shares_are_kept_whatever_is_late() -> None:
    given = 0
    for tasks in range(1000):
        given += is_due(3, "Ann", "repeat", share=0.1, given=given, tasks=tasks) and tasks > 20
    assert abs(given - 100) <= 1


def test_the_order_is_random_and_everybodys(tmp_path: Path) -> None:
    orders = []
    for seed in (0, 0, 1):
        with make_store(tmp_path / f"{len(orders)}.sqlite", 30, seed=seed, overlap=2, **PLAIN) as store:
            people = [store.add_annotator(name).id for name in ("Ann", "Bo")]
            with store.together():
                for person in people:
                    vote(store, person)
            orders.append([item.pair for item in store.comparisons()])
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][:30] == orders[0][30:] != [pair.id for pair in make_pairs(30)]
    expected = RandomOrder(0).rank(make_pairs(30), [0] * 30, [])
    assert orders[0][:30] == [f"pair {number}" for number in expected]


class Backwards:
    """A strategy that wants the last pair first, and remembers what it was shown."""

    def rank(self, pairs: Any, counts: Any, comparisons: Any) -> list[int]:
        self.seen = [pair.id for pair in pairs], list(counts), [item.pair for item in comparisons]
        return list(range(len(pairs)))[::-1]


def test_a_strategy_decides_what_comes_next(tmp_path: Path) -> None:
    with make_store(tmp_path / "labels.sqlite", 4, overlap=2, **PLAIN) as store:
        ann, bo = (store.add_annotator(name).id for name in ("Ann", "Bo"))
        strategy = Backwards()
        store.rerank(strategy)
        vote(store, ann, most=1)
        vote(store, bo, most=1)
        store.rerank(strategy)
        assert strategy.seen == (["pair 0", "pair 1", "pair 2"], [0, 0, 0], ["pair 3", "pair 3"])
        vote(store, ann)
        assert [item.pair for item in store.comparisons()][2:] == ["pair 2", "pair 1", "pair 0"]
        strategy.rank = lambda *_: [0, 0, 1]  # type: ignore[method-assign]
        with pytest.raises(ConfigurationError, match="returned no order of 3 pairs"):
            store.rerank(strategy)


def test_progress_counts_everything(tmp_path: Path) -> None:
    clock = Clock()
    with make_store(tmp_path / "labels.sqlite", 3, overlap=2, clock=clock, **PLAIN) as store:
        ann, bo = (store.add_annotator(name).id for name in ("Ann", "Bo"))
        store.add_annotator("Teacher", role="teacher")
        for person, choice in ((ann, "left"), (ann, "skip"), (bo, "right")):
            task = store.next_task(person)
            assert task is not None
            store.judge(person, task.id, choice, seconds=2.0 if choice == "left" else None)  # type: ignore[arg-type]
        clock.now += 600
        task = store.next_task(bo)
        assert task is not None
        store.judge(bo, task.id, "tie")
        store.undo(bo)
        found = store.progress(minutes=30)
        assert (found.pairs, found.places, found.filled, found.complete, found.open) == (3, 6, 2, 1, 1)
        assert (found.answers, found.rows, found.per_minute) == (3, 4, 0.1)
        assert store.progress(minutes=5).per_minute == 0
        shares = [(one.annotator.name, one.done, one.skipped, one.undone, one.median_seconds) for one in found.shares]
        assert shares == [("Ann", 2, 1, 0, 2.0), ("Bo", 1, 0, 1, None), ("Teacher", 0, 0, 0, None)]
        assert found.shares[0].last == clock.now - 600


def test_settings_outlive_the_program(store: Store) -> None:
    assert store.setting("joining", "closed") == "closed"
    store.set_setting("joining", "open")
    store.set_setting("joining", "open now")
    store.close()
    with Store(store.path) as again:
        assert again.setting("joining") == "open now"


def test_what_is_done_together_fails_alone(store: Store) -> None:
    ann = store.add_annotator("Ann").id
    with store.together():
        task = store.next_task(ann)
        assert task is not None
        store.judge(ann, task.id, "left")
        with pytest.raises(AnsweredError):
            store.judge(ann, task.id, "right")
        store.undo(ann)
        store.judge(ann, task.id, "tie")
    assert [item.choice for item in store.comparisons()] == ["tie"]
