"""Simulated annotators: how often they err, tie and skip, and what their biases do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from textgym.annotators import BoltzmannAnnotator, Judge
from textgym.biases import Drifting, Lazy, LengthBiased, PositionBiased
from textgym.comparisons import Comparison
from textgym.davidson import davidson_probabilities
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError, UnknownNameError
from textgym.prompts import PromptTable
from textgym.tokenizers import CharTokenizer

TOKENIZER = CharTokenizer("ab")
PROMPTS = PromptTable([Prompt("a"), Prompt("b")], TOKENIZER)
MANY = 3_000


def count_a(batch: EpisodeBatch) -> np.ndarray:
    return (batch.completion_ids == 0).sum(axis=1).astype(float)


def batch(prompts: list[int], texts: Sequence[Sequence[int]]) -> EpisodeBatch:
    return EpisodeBatch.from_ids(PROMPTS, TOKENIZER, prompts, texts, max_new_tokens=3)


def ask(judge: Judge, left: str, right: str, count: int = MANY) -> list[Comparison]:
    """What a judge says of the same two texts, many times."""
    one, other = (batch([0] * count, [TOKENIZER.encode(text)] * count) for text in (left, right))
    return judge.compare(one, other, np.random.default_rng(0))


def share(said: list[Comparison], choice: str) -> float:
    return Counter(item.choice for item in said)[choice] / len(said)


def logistic(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))


def test_annotator_errs_as_often_as_the_model_says_on_both_sides() -> None:
    count = 4_000
    better, worse = batch([0] * count, [[0, 0, 0]] * count), batch([0] * count, [[0, 0, 1]] * count)
    judge, rng = BoltzmannAnnotator(count_a, temperature=0.8), np.random.default_rng(0)
    expected = 1 / (1 + math.exp(-1 / 0.8))
    left = np.mean([item.choice == "left" for item in judge.compare(better, worse, rng)])
    right = np.mean([item.choice == "right" for item in judge.compare(worse, better, rng)])
    assert left == pytest.approx(expected, abs=0.03)
    assert right == pytest.approx(expected, abs=0.03)


def test_annotator_repeats_under_a_seed_and_records_ids_and_text() -> None:
    left, right = batch([0, 1], [[0, 1, 0], [1, 2]]), batch([0, 1], [[1, 2], [0, 2]])
    judge = BoltzmannAnnotator(count_a, temperature=1e-9)
    first, second = (judge.compare(left, right, np.random.default_rng(3)) for _ in range(2))
    assert first == second
    assert [item.choice for item in first] == ["left", "right"]
    assert (first[1].prompt, first[1].left, first[1].right) == ("b", "b", "a")
    assert (first[1].left_ids, first[1].right_ids) == ((1, 2), (0, 2))


def test_annotator_refuses_texts_of_different_prompts() -> None:
    with pytest.raises(ConfigurationError, match="same prompt"):
        BoltzmannAnnotator(count_a).compare(batch([0], [[0]]), batch([1], [[0]]), np.random.default_rng(0))
    with pytest.raises(ConfigurationError, match="temperature"):
        BoltzmannAnnotator(count_a, temperature=0.0)


def test_ties_come_as_often_as_the_model_of_davidson_says() -> None:
    for left, right, odds in (("ab", "ba", 0.0), ("aa", "ab", 1.25)):
        said = ask(BoltzmannAnnotator(count_a, temperature=0.8, ties=0.7), left, right)
        expected = davidson_probabilities([odds], tie=0.7)[0]
        assert [share(said, choice) for choice in ("left", "tie", "right")] == pytest.approx(expected, abs=0.025)


def test_a_tie_of_two_bad_texts_says_so() -> None:
    judge = BoltzmannAnnotator(count_a, ties=50.0, bad_below=1.0)
    assert share(ask(judge, "bb", "b"), "both_bad") > 0.9
    assert share(ask(judge, "ab", "b"), "both_bad") == 0.0
    assert share(ask(judge, "ab", "b"), "tie") > 0.9


def test_skips_come_as_often_as_they_should_and_change_no_other_choice() -> None:
    plain, skipping = (ask(BoltzmannAnnotator(count_a, skips=skips), "aa", "ab") for skips in (0.0, 0.2))
    assert share(skipping, "skip") == pytest.approx(0.2, abs=0.03)
    assert all(one.choice == other.choice for one, other in zip(plain, skipping, strict=True) if other.choice != "skip")


def test_strength_grows_with_the_margin_and_only_decided_comparisons_have_one() -> None:
    judge = BoltzmannAnnotator(count_a, temperature=0.5, strengths=True, ties=0.3)
    close, far = ask(judge, "ab", "bb"), ask(judge, "aaa", "bbb")  # log-odds 2 and 6
    assert {item.strength for item in far if item.choice == "left"} == {3}
    assert {item.strength for item in close if item.choice == "left"} == {2}
    assert {item.strength for item in close if item.choice == "right"} == {1}
    assert {item.strength for item in close if item.choice == "tie"} == {None}
    assert {item.strength for item in ask(BoltzmannAnnotator(count_a), "ab", "bb")} == {None}


def test_longer_texts_take_longer() -> None:
    judge = BoltzmannAnnotator(count_a, timed=True)
    short, long = ([item.seconds for item in ask(judge, text, text)] for text in ("a", "aaa"))
    assert np.median(short) == pytest.approx(2 + 0.3 * 2, rel=0.1)
    assert np.median(long) == pytest.approx(2 + 0.3 * 6, rel=0.1)
    assert min(short) > 0


@pytest.mark.parametrize("wrong", [{"ties": -1.0}, {"skips": 1.5}, {"temperature": math.nan}, {"ties": math.nan}])
def test_a_judge_refuses_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        BoltzmannAnnotator(count_a, **wrong)


# ---- biases ---------------------------------------------------------------------------------------------------------


def test_a_longer_text_wins_more_often_by_as_much_as_said() -> None:
    honest = BoltzmannAnnotator(count_a)
    assert share(ask(honest, "abb", "a"), "left") == pytest.approx(0.5, abs=0.03)
    said = ask(LengthBiased(honest, per_token=0.5), "abb", "a")
    assert share(said, "left") == pytest.approx(logistic(1.0), abs=0.03)
    assert share(ask(LengthBiased(honest, per_token=0.5), "a", "abb"), "right") == pytest.approx(
        logistic(1.0), abs=0.03
    )


def test_the_favoured_side_wins_more_often_by_as_much_as_said() -> None:
    judge = PositionBiased(BoltzmannAnnotator(count_a), side=0.8)
    assert share(ask(judge, "a", "a"), "left") == pytest.approx(logistic(0.8), abs=0.03)
    assert share(ask(judge, "b", "a"), "left") == pytest.approx(logistic(-0.2), abs=0.03)


def test_who_does_not_look_says_anything() -> None:
    judge = Lazy(BoltzmannAnnotator(count_a, temperature=1e-9), share=0.4)
    assert share(ask(judge, "a", "b"), "left") == pytest.approx(0.6 + 0.2, abs=0.03)


def test_who_repeats_says_what_was_said_last() -> None:
    sharp = BoltzmannAnnotator(count_a, temperature=1e-9, strengths=True)
    judge, rng = Lazy(sharp, share=1.0, habit="repeat"), np.random.default_rng(0)
    assert share(judge.compare(batch([0], [[1]]), batch([0], [[0]]), rng), "left") == 1.0  # the first habit
    half = Lazy(sharp, share=0.5, habit="repeat")
    lefts, rights = batch([0] * 400, [[0]] * 200 + [[1]] * 200), batch([0] * 400, [[1]] * 200 + [[0]] * 200)
    said = [item.choice for item in half.compare(lefts, rights, rng)]
    assert said[:200] == ["left"] * 200  # to repeat is to be right while nothing changes
    changed = said.index("right")
    assert 200 <= changed < 220
    assert said[changed:] == ["right"] * (400 - changed)


def test_a_side_out_of_habit_has_no_strength() -> None:
    judge = Lazy(BoltzmannAnnotator(count_a, temperature=1e-9, strengths=True), share=1.0, habit="right")
    assert {(item.choice, item.strength) for item in ask(judge, "a", "b")} == {("right", None)}


def test_a_tired_judge_errs_more_and_more() -> None:
    judge = Drifting(BoltzmannAnnotator(count_a, temperature=0.5), over=MANY, temperature=20.0)
    said = ask(judge, "a", "b", count=2 * MANY)
    assert share(said[:200], "left") > 0.7
    assert share(said[MANY:], "left") == pytest.approx(logistic(2.0 / 20.0), abs=0.03)
    assert judge.judged == 2 * MANY


def test_taste_drifts_towards_another_judge_across_calls() -> None:
    likes_a, likes_b = (BoltzmannAnnotator(score, temperature=1e-9) for score in (count_a, lambda b: -count_a(b)))
    judge = Drifting(likes_a, over=10, towards=likes_b)
    choices = [ask(judge, "a", "b", count=1)[0].choice for _ in range(20)]
    assert choices[:5] == ["left"] * 5
    assert choices[6:] == ["right"] * 14


def test_biases_add_up_whichever_is_outside() -> None:
    honest = BoltzmannAnnotator(count_a, name="ann")
    for judge in (LengthBiased(PositionBiased(honest, 0.8), 0.5), PositionBiased(LengthBiased(honest, 0.5), 0.8)):
        left, right = batch([0], [[0, 1, 1]]), batch([0], [[0]])
        assert judge.lean(left, right).tolist() == pytest.approx([1.8])
        assert judge.name == "ann"
        assert judge.compare(left, right, np.random.default_rng(0))[0].annotator == "ann"


def test_biased_judges_repeat_under_a_seed() -> None:
    def judge() -> Judge:
        return Lazy(Drifting(PositionBiased(BoltzmannAnnotator(count_a, ties=0.4), 0.5), over=50, temperature=3.0), 0.2)

    assert ask(judge(), "ab", "aa", count=100) == ask(judge(), "ab", "aa", count=100)


def test_biases_refuse_what_they_cannot_bend() -> None:
    class Human:
        name = "person"

        def compare(self, left: Any, right: Any, rng: Any) -> list[Comparison]:
            return []

    honest = BoltzmannAnnotator(count_a)
    with pytest.raises(ConfigurationError, match=r"lean\(\) and say\(\)"):
        PositionBiased(Human())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="share"):
        Lazy(honest, share=2.0)
    with pytest.raises(UnknownNameError, match="repeat"):
        Lazy(honest, habit="repaet")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="over"):
        Drifting(honest, over=0)
