"""Judgements that travel: to files and back, from copy to copy, and to a training script."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import PLAIN, Clock, make_pairs, make_store, vote

from textgym.annotators import BoltzmannAnnotator
from textgym.comparison_files import read_comparisons, write_comparisons
from textgym.comparisons import CHOICES, Comparison
from textgym.errors import ConfigurationError, UnknownNameError
from textgym.factory import EnvFactory
from textgym.feedback.founding import found_project
from textgym.feedback.gathering import Gatherer, SyntheticGatherer
from textgym.feedback.labels import read_labels
from textgym.feedback.merging import merge
from textgym.feedback.pairs import sample_pairs
from textgym.feedback.people import HumanGatherer
from textgym.feedback.projects import Project
from textgym.feedback.queries import RoundRobin
from textgym.feedback.restoring import restore
from textgym.feedback.store import Store


def everything(store: Store) -> dict[str, Any]:
    """What a database says, but for the order in which its files came."""
    return {
        "pairs": sorted(store.pairs(), key=lambda pair: pair.id),
        "people": sorted((person.name, person.role) for person in store.annotators()),
        "rows": sorted(store.judgements(), key=lambda row: row.id),
        "comparisons": store.comparisons(),
        "progress": replace(store.progress(), shares=()),
    }


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Store]:
    """Three people, repeats, attention checks, skips and undos."""
    clock = Clock()
    with make_store(tmp_path / "busy.sqlite", 40, overlap=2, clock=clock) as store:
        store.add_pairs([replace(pair, id=f"gold {pair.id}", gold="first") for pair in make_pairs(5)])
        people = [store.add_annotator(name).id for name in ("Ann", "Bo", "Cy")]
        store.add_annotator("Teacher", role="teacher")
        with store.together():
            for number in range(90):
                clock.now += 1.0
                task = store.next_task(people[number % 3])
                if task is not None:
                    choice: Any = CHOICES[number % 5]
                    strength = number % 3 + 1 if choice in ("left", "right") and number % 2 else None
                    store.judge(people[number % 3], task.id, choice, strength=strength, seconds=number / 7)
                if number % 11 == 10:
                    store.undo(people[number % 3])
        yield store


# ---- files ----------------------------------------------------------------------------------------------------------


def test_a_database_comes_back_from_its_file(busy: Store, tmp_path: Path) -> None:
    before = busy.comparisons()
    assert {item.choice for item in before} == set(CHOICES)
    assert any(item.metadata["repeat"] for item in before)
    assert any(item.metadata["attention_check"] for item in before)
    write_comparisons(tmp_path / "labels.jsonl", before)
    with Store.create(tmp_path / "again.sqlite", busy.project) as again:
        assert restore(again, read_comparisons(tmp_path / "labels.jsonl")) == len(before)
        assert again.comparisons() == before
        assert restore(again, before) == 0
        assert again.comparisons() == before
        assert again.progress().filled == busy.progress().filled
    with Store(tmp_path / "again.sqlite") as again:
        write_comparisons(tmp_path / "twice.jsonl", again.comparisons())
    assert (tmp_path / "twice.jsonl").read_bytes() == (tmp_path / "labels.jsonl").read_bytes()


def test_work_goes_on_in_a_restored_database(busy: Store, tmp_path: Path) -> None:
    with Store.create(tmp_path / "again.sqlite", busy.project) as again:
        restore(again, busy.comparisons())
        ann = next(person for person in again.annotators() if person.name == "Ann")
        seen = {item.pair for item in again.comparisons() if item.annotator == "Ann"}
        assert again.annotator_of("") is None
        token = again.renew(ann.id).token
        assert again.annotator_of(token) == ann
        again.add_pairs(make_pairs(41), overlap=3)
        with again.together():
            vote(again, ann.id)
        new = [item for item in again.comparisons() if item.annotator == "Ann" and not item.metadata["repeat"]]
        assert len({item.pair for item in new}) == len(new) > len(seen)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
FOREIGN = st.builds(
    Comparison,
    prompt=TEXTS,
    left=TEXTS,
    right=TEXTS,
    choice=st.sampled_from(CHOICES),
    left_ids=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    seconds=st.none() | st.floats(0, 1e6),
    annotator=TEXTS,
    env_id=TEXTS,
    policy=TEXTS,
)


@settings(max_examples=25)
@given(st.lists(FOREIGN, max_size=6, unique_by=lambda item: (item.prompt, *sorted((item.left, item.right)))))
def test_comparisons_from_elsewhere_keep_their_meaning(
    tmp_path_factory: pytest.TempPathFactory, items: list[Comparison]
) -> None:
    with Store.create(tmp_path_factory.mktemp("x") / "x.sqlite", Project(env_id="TextGen-v0")) as store:
        assert restore(store, items) == len(items)
        found = store.comparisons()
        assert restore(store, items) == 0
    for item, kept in zip(items, found, strict=True):
        expected = replace(item, pair=kept.pair, swapped=kept.swapped, metadata=kept.metadata)
        assert kept == replace(expected, annotator=item.annotator or "unknown")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"created": "noon"}}, "comparison 2: metadata"),
        ({"metadata": {"prompt_index": 0.5}}, "expected a whole number"),
        ({"metadata": {"attention_check": "left"}}, "gold='left'"),
        ({"prompt": "\ud800", "pair": "y"}, "not a valid text"),
        ({"right": "c"}, "another pair named 'x'"),
        ({"choice": "tie"}, "has judged the pair 'x' already"),
        ({"left": "b", "right": "a", "swapped": True}, "on other sides already"),
    ],
)
def test_comparisons_that_contradict_each_other(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    item = Comparison(prompt="p", left="a", right="b", choice="left", pair="x", annotator="Ann")
    with Store.create(tmp_path / "x.sqlite", Project(env_id="TextGen-v0")) as store:
        with pytest.raises(ConfigurationError, match=message):
            restore(store, [item, replace(item, **change)])
        assert store.comparisons() == []


# ---- merging --------------------------------------------------------------------------------------------------------


def divide(busy: Store, tmp_path: Path) -> list[Path]:
    """Two copies of one database, on which people went on apart."""
    busy.close()
    files = [tmp_path / f"{name}.sqlite" for name in "ab"]
    for number, file in enumerate(files):
        shutil.copy(busy.path, file)
        with Store(file, clock=lambda number=number: 2_000_000.0 + number) as store, store.together():
            ann, bo, _cy, _ = store.annotators()
            vote(store, (ann, bo)[number].id, "left", most=4)
            store.undo((ann, bo)[number].id)
            new = store.add_annotator("Dee")
            vote(store, new.id, "right", most=3)
    return files


def test_a_merge_has_everything_and_a_second_one_changes_nothing(busy: Store, tmp_path: Path) -> None:
    files = divide(busy, tmp_path)
    rows = [judgement for file in files for judgement in read(file, Store.judgements)]
    merged = merge(tmp_path / "out.sqlite", files)
    assert (merged.pairs, merged.annotators, merged.judgements) == (45, 6, len({row.id for row in rows}))
    assert merged.undone > 2
    first = read(tmp_path / "out.sqlite", everything)
    assert {row.id for row in first["rows"]} == {row.id for row in rows}
    again = merge(tmp_path / "out.sqlite", files)
    assert (again.pairs, again.annotators, again.judgements, again.undone) == (0, 0, 0, 0)
    assert again.conflicts == merged.conflicts[1:]  # but for the new name
    assert read(tmp_path / "out.sqlite", everything) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.sqlite", "b.sqlite", "busy.sqlite", "out.sqlite"]


def test_the_order_of_the_files_changes_names_at_most(busy: Store, tmp_path: Path) -> None:
    files = divide(busy, tmp_path)
    merge(tmp_path / "ab.sqlite", files)
    merge(tmp_path / "ba.sqlite", files[::-1])
    found = [read(tmp_path / name, everything) for name in ("ab.sqlite", "ba.sqlite")]
    assert found[0]["rows"] == found[1]["rows"]
    assert found[0]["progress"] == found[1]["progress"]
    answers = [
        sorted((str(item.metadata["judgement"]), item.pair, item.choice) for item in one["comparisons"])
        for one in found
    ]
    assert answers[0] == answers[1]


def read(path: Path, function: Callable[[Store], Any]) -> Any:
    with Store(path) as store:
        return function(store)


def test_conflicts_are_named_and_nothing_is_lost(tmp_path: Path) -> None:
    with make_store(tmp_path / "a.sqlite", 1, **PLAIN) as store:
        ann, bo = store.add_annotator("Ann").id, store.add_annotator("Bo").id
    for name in ("b.sqlite", "c.sqlite"):
        shutil.copy(tmp_path / "a.sqlite", tmp_path / name)
    for number, (name, person, choice) in enumerate((("a", ann, "left"), ("b", ann, "tie"), ("c", bo, "right"))):
        with Store(tmp_path / f"{name}.sqlite", clock=lambda number=number: 5.0 - number) as store:
            vote(store, person, choice)
    merged = merge(tmp_path / "out.sqlite", [tmp_path / f"{name}.sqlite" for name in "abc"])
    assert merged.judgements == 3
    assert merged.conflicts == (
        "'Ann' answered the pair 'pair 0' on two copies (left, tie): left holds",
        "the pair 'pair 0' has answers of 2 annotators, 1 were asked for",
    )
    comparisons = read(tmp_path / "out.sqlite", Store.comparisons)
    assert sorted((item.annotator, item.choice) for item in comparisons) == [("Ann", "left"), ("Bo", "right")]
    with Store(tmp_path / "out.sqlite") as store:
        assert store.next_task(ann) is None
        assert store.undo(ann) is not None
    merge(tmp_path / "out.sqlite", [tmp_path / "a.sqlite", tmp_path / "b.sqlite"])
    comparisons = read(tmp_path / "out.sqlite", Store.comparisons)
    assert [item.annotator for item in comparisons] == ["Bo"]  # the answer of the other copy does not come back


def test_the_order_of_the_questions_travels_along(tmp_path: Path) -> None:
    with make_store(tmp_path / "a.sqlite", 9, **PLAIN) as store:
        store.rerank(RoundRobin())
    merge(tmp_path / "out.sqlite", [tmp_path / "a.sqlite"])
    orders = []
    for name in ("a.sqlite", "out.sqlite"):
        with Store(tmp_path / name) as store:
            vote(store, store.add_annotator("Ann").id)
            orders.append([item.pair for item in store.comparisons()])
    assert orders[0] == orders[1] == [f"pair {number}" for number in range(9)]


def test_two_people_of_one_name_stay_two(tmp_path: Path) -> None:
    for name in "ab":
        with make_store(tmp_path / f"{name}.sqlite", 2, overlap=2, **PLAIN) as store:
            vote(store, store.add_annotator("Ann").id)
    merged = merge(tmp_path / "out.sqlite", [tmp_path / "a.sqlite", tmp_path / "b.sqlite"])
    (conflict,) = merged.conflicts
    with Store(tmp_path / "out.sqlite") as store:
        names = [person.name for person in store.annotators()]
        assert (names[0], names[1][:5]) == ("Ann", "Ann (")
        assert conflict.startswith("two people are named 'Ann'")
        assert conflict.endswith(f"is now {names[1]!r}")
        assert [item.annotator for item in store.comparisons()].count(names[1]) == 2


def test_files_that_cannot_be_merged(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 0)):
        make_store(tmp_path / f"{name}.sqlite", 0, seed=seed).close()
    with Store(tmp_path / "c.sqlite") as store:
        store.add_pairs([replace(make_pairs(1)[0], first="changed")])
    with Store(tmp_path / "a.sqlite") as store:
        store.add_pairs(make_pairs(2))
    a, b, c, out = (tmp_path / f"{name}.sqlite" for name in ("a", "b", "c", "out"))
    for files, message in (
        ([], "expected other databases"),
        ([out], "expected other databases"),
        ([a, b], "different projects: they differ in seed"),
        ([a, c], "another pair named 'pair 0'"),
        ([a, tmp_path / "none"], "does not exist"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            merge(out, files)
        assert not out.exists()
    with pytest.raises(ConfigurationError, match="another pair named"):
        merge(c, [a])
    assert len(read(c, Store.pairs)) == 1  # all or nothing


# ---- gatherers ------------------------------------------------------------------------------------------------------


def answer_all(store: Store, person: str) -> None:
    """A headless client: answers whatever comes in, and changes its mind once."""
    changed = False
    for _ in range(10**6):
        task = store.next_task(person)
        if task is None:
            if changed and store.progress().filled >= 20:
                return
            continue
        store.judge(person, task.id, "left" if task.left > task.right else "right")
        if not changed:
            changed = store.undo(person) is not None


def test_a_script_need_not_know_who_judges(tmp_path: Path) -> None:
    envs = EnvFactory("TextGen-v0")
    pairs = sample_pairs(envs, "mixed", 20)
    with Store.create(tmp_path / "labels.sqlite", Project(env_id="TextGen-v0", **PLAIN)) as store:
        person = store.add_annotator("Ann").id
        client = threading.Thread(target=answer_all, args=(store, person), daemon=True)
        client.start()
        gatherers: list[Gatherer] = [
            HumanGatherer(store, pause=0.01),
            SyntheticGatherer(envs.task(), BoltzmannAnnotator(envs.task().gold)),
        ]
        for gatherer in gatherers:
            found = gatherer.gather(pairs, timeout=60.0)
            assert sorted(item.pair for item in found) == sorted(pair.id for pair in pairs)
            assert gatherer.pending == 0
            assert gatherer.poll() == []
            assert all(item.left_ids and item.env_id == "TextGen-v0" for item in found)
        client.join(60.0)


def test_what_comes_in_comes_out_once(tmp_path: Path) -> None:
    with make_store(tmp_path / "labels.sqlite", 2, **PLAIN) as store:
        ann, bo = (store.add_annotator(name).id for name in ("Ann", "Bo"))
        gatherer = HumanGatherer(store)
        assert (gatherer.poll(), gatherer.pending) == ([], 0)
        store.add_pairs(make_pairs(4), overlap=2)
        gatherer.submit(make_pairs(4)[2:])
        assert gatherer.pending == 4
        vote(store, ann)  # the two other pairs too
        assert sorted(item.pair for item in gatherer.poll()) == ["pair 2", "pair 3"]
        assert (gatherer.poll(), gatherer.pending) == ([], 2)
        assert gatherer.gather([], timeout=0.0) == []
        vote(store, bo, "skip")
        assert (gatherer.poll(), gatherer.pending) == ([], 2)
        last = store.undo(ann)
        assert last is not None
        store.judge(ann, last.id, "tie")
        assert [item.choice for item in gatherer.poll()] == ["tie"] * (last.pair in ("pair 2", "pair 3"))
        assert gatherer.pending == 2


def test_nobody_waits_for_what_all_have_skipped(tmp_path: Path) -> None:
    with make_store(tmp_path / "labels.sqlite", 0, **PLAIN) as store:
        gatherer = HumanGatherer(store, is_closed=True)
        gatherer.submit(make_pairs(4))
        assert (gatherer.poll(), gatherer.pending) == ([], 4)  # nobody has come yet
        ann, bo = (store.add_annotator(name).id for name in ("Ann", "Bo"))
        store.add_annotator("Teacher", role="teacher")
        assert vote(store, ann, "skip") == 4
        assert (gatherer.poll(), gatherer.pending) == ([], 4)  # Bo may still judge them
        assert vote(store, bo, "left", most=3) == 3
        assert len(gatherer.poll()) == 3
        assert gatherer.pending == 1
        assert vote(store, bo, "skip") == 1
        assert (gatherer.poll(), gatherer.pending) == ([], 0)
        assert gatherer.gather([]) == []
        undone = store.undo(bo)
        assert undone is not None
        assert (gatherer.poll(), gatherer.pending) == ([], 1)
        store.judge(bo, undone.id, "tie")
        assert [item.choice for item in gatherer.poll()] == ["tie"]
        assert gatherer.pending == 0


def test_a_pair_that_needs_two_is_done_where_one_of_them_skips(tmp_path: Path) -> None:
    with make_store(tmp_path / "labels.sqlite", 0, overlap=2, **PLAIN) as store:
        gatherer = HumanGatherer(store, is_closed=True)
        gatherer.submit(make_pairs(2))
        ann = store.add_annotator("Ann").id
        vote(store, ann)
        assert (len(gatherer.poll()), gatherer.pending) == (2, 2)  # nobody has skipped: a second one may come
        vote(store, store.add_annotator("Bo").id, "skip")
        assert (gatherer.poll(), gatherer.pending) == ([], 0)


def test_repeats_do_not_come_out(tmp_path: Path) -> None:
    with make_store(tmp_path / "labels.sqlite", 40, repeat_share=0.3, check_share=0.0) as store:
        gatherer = HumanGatherer(store)
        gatherer.submit(store.pairs())
        with store.together():
            assert vote(store, store.add_annotator("Ann").id) > 45
        assert sorted(item.pair for item in gatherer.poll()) == sorted(pair.id for pair in make_pairs(40))
        assert gatherer.pending == 0


# ---- new projects ---------------------------------------------------------------------------------------------------


def test_a_new_project_has_pairs_and_attention_checks(tmp_path: Path) -> None:
    envs = EnvFactory("TextGen-v0")
    with found_project(tmp_path / "a.sqlite", envs, "mixed", pairs=12, checks=3, seed=4, overlap=2) as store:
        pairs = store.pairs()
    assert [pair.gold in ("first", "second") for pair in pairs].count(True) == 3
    assert len(pairs) == 15
    with found_project(tmp_path / "b.sqlite", envs, "mixed", pairs=12, checks=3, seed=4, overlap=2) as store:
        assert store.pairs() == pairs
    assert merge(tmp_path / "a.sqlite", [tmp_path / "b.sqlite"]).pairs == 0  # made apart, for the same project


def test_new_projects_that_cannot_be(tmp_path: Path) -> None:
    envs = EnvFactory("TextGen-v0")
    path = tmp_path / "labels.sqlite"
    with pytest.raises(UnknownNameError, match="strategy 'randm'. Did you mean 'random'"):
        found_project(path, envs, "mixed", strategy="randm")
    with pytest.raises(ConfigurationError, match="checks=-1"):
        found_project(path, envs, "mixed", checks=-1)
    assert not path.exists()
    path.write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="exists already"):
        found_project(path, envs, "mixed")


# ---- from wherever they are -----------------------------------------------------------------------------------------


def test_labels_are_read_from_databases_and_files(tmp_path: Path) -> None:
    with make_store(tmp_path / "labels.sqlite", env_kwargs={"level": "hard"}, **PLAIN) as store:
        vote(store, store.add_annotator("Ann").id)
        said = store.comparisons()
    found = read_labels(tmp_path / "labels.sqlite")
    assert (found.comparisons, found.env_id, found.env_kwargs) == (said, "TextGen-v0", {"level": "hard"})
    write_comparisons(tmp_path / "labels.jsonl", said)
    found = read_labels(tmp_path / "labels.jsonl")
    assert (found.comparisons, found.env_id, found.env_kwargs) == (said, "TextGen-v0", {})
    write_comparisons(tmp_path / "labels.jsonl", [*said, replace(said[0], env_id="TextGen/Neutral-v0")])
    assert read_labels(tmp_path / "labels.jsonl").env_id == ""
    (tmp_path / "other.sqlite").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="no label database"):
        read_labels(tmp_path / "other.sqlite")
