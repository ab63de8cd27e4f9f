"""Gatherers: the same script whoever judges, blocking and not."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np
import pytest

from textgym.annotators import BoltzmannAnnotator
from textgym.biases import PositionBiased
from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.feedback.gathering import Gatherer, SyntheticGatherer, gather
from textgym.feedback.pairs import Pair, is_swapped, sample_pairs, to_batches
from textgym.ngrams import fit_ngrams
from textgym.rewards.preference import PreferenceReward

REVIEWS = EnvFactory("TextGen-v0")
TASK = REVIEWS.task()
PAIRS = sample_pairs(REVIEWS, "mixed", 400, seed=1)


def judge(name: str = "ann", temperature: float = 0.3) -> BoltzmannAnnotator:
    assert TASK.gold is not None
    return BoltzmannAnnotator(TASK.gold, temperature=temperature, name=name)


class Slow:
    """A gatherer whose answers come in when they will: nothing at first, then one by one."""

    def __init__(self) -> None:
        self.waiting: deque[Comparison] = deque()
        self.looks = 0

    def submit(self, pairs: Sequence[Pair]) -> None:
        said = [Comparison(prompt=pair.prompt, left="l", right="r", choice="left", pair=pair.id) for pair in pairs]
        self.waiting.extend(said)

    def poll(self) -> list[Comparison]:
        self.looks += 1
        return [self.waiting.popleft()] if self.looks % 3 == 0 and self.waiting else []

    @property
    def pending(self) -> int:
        return len(self.waiting)

    def gather(self, pairs: Sequence[Pair], *, timeout: float | None = None) -> list[Comparison]:
        return gather(self, pairs, timeout=timeout, pause=0.0)


def learn(gatherer: Gatherer, pairs: Sequence[Pair]) -> float:
    """A training script: how often the model agrees with the true score."""
    decided = [item for item in gatherer.gather(pairs) if item.is_decided]
    reward = PreferenceReward.from_model(fit_ngrams(decided, TASK.tokenizer))
    first, second = to_batches(TASK, sample_pairs(REVIEWS, "mixed", 300, seed=9))
    gold = first.gold() - second.gold()  # type: ignore[operator]
    clear = np.abs(gold) > 0.3
    return float(np.mean(((reward(first) - reward(second)) * gold > 0)[clear]))


def test_a_script_learns_from_a_gatherer() -> None:
    assert learn(SyntheticGatherer(TASK, judge()), PAIRS) > 0.8


def test_a_script_learns_the_same_when_answers_come_in_portions() -> None:
    assert learn(SyntheticGatherer(TASK, judge(), portion=7), PAIRS) == learn(SyntheticGatherer(TASK, judge()), PAIRS)


def test_each_judgement_says_whose_pair_it_is_and_how_it_was_shown() -> None:
    said = SyntheticGatherer(TASK, judge(), seed=5).gather(PAIRS)
    assert [item.pair for item in said] == [pair.id for pair in PAIRS]
    assert 0.4 < np.mean([item.swapped for item in said]) < 0.6
    for item, pair in zip(said, PAIRS, strict=True):
        shown = (item.right, item.left, item.right_ids, item.left_ids) if item.swapped else None
        shown = shown or (item.left, item.right, item.left_ids, item.right_ids)
        assert shown == (pair.first, pair.second, pair.first_ids, pair.second_ids)
        assert item.swapped == is_swapped(5, "ann", pair.id)
        assert (item.prompt, item.annotator, item.env_id, item.policy) == (pair.prompt, "ann", "TextGen-v0", "mixed")


def test_judgements_repeat_under_a_seed_and_sides_depend_on_who_looks() -> None:
    def ask(seed: int, name: str = "ann") -> list[Comparison]:
        return SyntheticGatherer(TASK, judge(name), seed=seed).gather(PAIRS)

    assert ask(5) == ask(5)
    assert [item.swapped for item in ask(5)] != [item.swapped for item in ask(6)]
    assert [item.swapped for item in ask(5)] != [item.swapped for item in ask(5, "bob")]


def test_a_careful_judge_prefers_the_better_text_on_whichever_side() -> None:
    said = SyntheticGatherer(TASK, judge(temperature=1e-6)).gather(PAIRS)
    first, second = to_batches(TASK, PAIRS)
    margins = first.gold() - second.gold()  # type: ignore[operator]
    for item, margin in zip(said, margins, strict=True):
        if abs(margin) > 1e-3:
            assert (item.choice == "left") == ((margin > 0) != item.swapped)


def test_the_favoured_side_is_that_of_the_screen() -> None:
    said = SyntheticGatherer(TASK, PositionBiased(judge(temperature=1e6), side=50.0)).gather(PAIRS)
    assert {item.choice for item in said} == {"left"}
    assert len({item.swapped for item in said}) == 2


def test_polling_never_blocks_and_gives_each_judgement_once() -> None:
    gatherer = SyntheticGatherer(TASK, judge(), portion=150)
    assert (gatherer.poll(), gatherer.pending) == ([], 0)
    gatherer.submit(PAIRS)
    assert gatherer.pending == 400
    portions = [gatherer.poll() for _ in range(4)]
    assert [len(portion) for portion in portions] == [150, 150, 100, 0]
    assert gatherer.pending == 0
    assert [item.pair for portion in portions for item in portion] == [pair.id for pair in PAIRS]


def test_gathering_takes_what_waits_from_before() -> None:
    gatherer = SyntheticGatherer(TASK, judge())
    gatherer.submit(PAIRS[:10])
    assert len(gatherer.gather(PAIRS[10:15])) == 15
    assert gatherer.gather([]) == []


def test_each_pair_is_judged_by_as_many_as_asked_who_share_the_work() -> None:
    judges = [judge(name) for name in ("ann", "bob", "eve", "kim", "lee")]
    said = SyntheticGatherer(TASK, judges, overlap=3).gather(PAIRS[:100])
    assert Counter(Counter(item.annotator for item in said).values()) == {60: 5}
    voters: dict[str, set[str]] = {}
    for item in said:
        assert item.annotator not in voters.setdefault(item.pair, set())
        voters[item.pair].add(item.annotator)
    assert {len(names) for names in voters.values()} == {3}
    assert len({frozenset(names) for names in voters.values()}) > 1
    in_portions = SyntheticGatherer(TASK, judges, overlap=3)
    parts = in_portions.gather(PAIRS[:33]) + in_portions.gather(PAIRS[33:100])
    assert [(item.pair, item.annotator) for item in parts] == [(item.pair, item.annotator) for item in said]


def test_waiting_looks_until_everything_is_there() -> None:
    slow = Slow()
    assert [item.pair for item in slow.gather(PAIRS[:5])] == [pair.id for pair in PAIRS[:5]]
    assert (slow.looks, slow.pending) == (15, 0)


def test_waiting_ends_at_its_time() -> None:
    slow = Slow()
    assert slow.gather(PAIRS[:5], timeout=0.0) == []
    assert slow.pending == 5
    assert len(slow.gather([], timeout=60.0)) == 5


def test_a_gatherer_refuses_what_cannot_be() -> None:
    for wrong, said in (
        ({"annotators": []}, "at least one"),
        ({"annotators": [judge(), judge()]}, "a name of its own"),
        ({"annotators": judge(), "overlap": 2}, "overlap=2"),
        ({"annotators": judge(), "overlap": 0}, "overlap=0"),
        ({"annotators": judge(), "portion": 0}, "portion=0"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            SyntheticGatherer(TASK, **wrong)  # type: ignore[arg-type]
