"""Rewards are believed in nothing: what is paid, and what is said, when they fail."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from toys import COMBINED, EOS, PLAIN, WORDS, A, B, D, Faulty, Gold, Noisy, Recorder, Shortness, Weighted

from textgym.episodes import ILLEGAL, EpisodeBatch, lowest
from textgym.errors import ConfigurationError, RewardError, UnknownNameError
from textgym.rewards import WeightedSum
from textgym.scoring import Scorer, add_in_order

pytestmark = pytest.mark.filterwarnings("ignore:the reward .* failed on prompt")  # the first marked failure warns


class TotalRecorder(Recorder):
    """It has an answer to every text."""

    total = True


def make_batch(*texts: Sequence[int], illegal: Sequence[int] = ()) -> EpisodeBatch:
    batch = EpisodeBatch.from_ids(PLAIN.prompts, WORDS, [n % 3 for n in range(len(texts))], texts, max_new_tokens=5)
    batch.stop_codes = np.where(np.isin(np.arange(len(texts)), illegal), ILLEGAL, batch.stop_codes).astype(np.uint8)
    return batch


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.floats(-1e9, 1e9)))
def test_sums_are_taken_one_after_another_whatever_the_layout(terms: Any) -> None:
    expected = []
    for column in terms.T.tolist():
        total = 0.0
        for value in column:
            total += value
        expected.append(total)
    for layout in (terms, np.asfortranarray(terms), terms[:, ::-1][:, ::-1]):
        assert add_in_order(layout).tolist() == expected


def test_a_sum_of_nothing_is_zero() -> None:
    assert add_in_order(np.zeros((0, 3))).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("ends", "expected"), [((-3.0, 1.0), -3.0), ((0.0, 1.0), 0.0), ((-math.inf, 5.0), -1.0), (None, -1.0)]
)
def test_an_illegal_text_is_worth_the_lower_end_of_a_finite_range(ends: Any, expected: float) -> None:
    def reward(batch: EpisodeBatch) -> Any:
        return np.zeros(len(batch))

    if ends is not None:
        reward.range = ends
    assert lowest(reward) == expected
    assert Scorer(reward).illegal_reward == expected
    assert Scorer(reward, illegal_reward=-9.5).illegal_reward == -9.5


@pytest.mark.parametrize("illegal", [[], [1], [0, 1, 2]])
def test_the_reward_is_not_asked_about_illegal_texts(illegal: list[int]) -> None:
    recorder = Recorder()
    batch = make_batch([A], [B, D], [A, A, EOS], illegal=illegal)
    scores = Scorer(recorder, illegal_reward=-4.0)(batch)
    asked = [text for row, text in enumerate(batch.completions) if row not in illegal]
    assert [call[1] for call in recorder.calls] == ([asked] if asked else [])
    assert scores.values.tolist() == [-4.0 if row in illegal else float(n) for row, n in enumerate((1, 2, 3))]
    assert scores.scored.tolist() == [row not in illegal for row in range(3)]
    assert scores.valid.all()


@pytest.mark.parametrize("illegal", [[], [1], [0, 1, 2]])
def test_what_a_total_reward_says_of_illegal_texts_does_not_count(illegal: list[int]) -> None:
    recorder = TotalRecorder()
    batch = make_batch([A], [B, D], [A, A, EOS], illegal=illegal)
    scores = Scorer(recorder, illegal_reward=-4.0)(batch)
    assert len(recorder.calls) == 1
    assert scores.values.tolist() == [-4.0 if row in illegal else float(n) for row, n in enumerate((1, 2, 3))]
    assert scores.scored.tolist() == [row not in illegal for row in range(3)]
    assert scores.valid.all()


def test_gold_of_illegal_texts_is_its_lowest_value() -> None:
    batch = make_batch([A], [A, A], [A], illegal=[1])
    batch._gold = Gold()
    assert batch.gold().tolist() == [1.0, -5.0, 1.0]
    assert batch.take([1]).gold().tolist() == [-5.0]


def test_parts_are_zero_where_the_reward_was_not_asked() -> None:
    batch = make_batch([A], [B], [D], illegal=[1])
    scores = Scorer(COMBINED)(batch)
    whole = COMBINED.score_parts(batch)[1]
    assert scores.parts.keys() == {"letters", "shortness"}
    for name, part in scores.parts.items():
        assert part.tolist() == [whole[name][0], 0.0, whole[name][2]]
    total = scores.parts["letters"] + scores.parts["shortness"]
    assert total[[0, 2]].tolist() == scores.values[[0, 2]].tolist()


def test_a_text_scores_the_same_alone_and_in_a_batch() -> None:
    batch = make_batch([A, B, D, A, EOS], [D, D, B], [A, B, A, A, D], [EOS])
    for reward in (Weighted(), COMBINED, Noisy()):
        together = Scorer(reward)(batch).values
        alone = [Scorer(reward)(batch.take([row])).values[0] for row in range(len(batch))]
        assert together.tolist() == alone


# ---- failures -----------------------------------------------------------------------------------------------------

FAULTS = {
    "raise": "Fault: no letter d, please",
    "nan": "nan; expected one finite number per text",
    "inf": "inf; expected one finite number per text",
    "short": r"expected \(1,\)",
    "text": "could not convert",
}


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("texts", [[[A, D]], [[A], [A, D], [B]]], ids=["alone", "in a batch"])
def test_a_failure_names_the_prompt_the_completion_and_the_reason(how: str, texts: list[list[int]]) -> None:
    batch = make_batch(*texts)
    prompt = batch.prompt_texts[texts.index([A, D])]
    with pytest.raises(RewardError, match=FAULTS[how]) as caught:
        Scorer(Faulty(how))(batch)
    assert f"prompt {prompt!r}, completion 'a d'" in str(caught.value)
    assert "on_reward_error='mark'" in str(caught.value)


def test_a_plain_function_goes_by_its_name() -> None:
    def half(batch: EpisodeBatch) -> Any:
        return np.zeros(len(batch) // 2)

    with pytest.raises(RewardError, match=r"the reward .*half failed on prompt") as caught:
        Scorer(half)(make_batch([A]))
    assert " at 0x" not in str(caught.value)


@pytest.mark.parametrize("how", FAULTS)
def test_marked_failures_are_paid_as_illegal_and_counted(how: str) -> None:
    scorer = Scorer(Faulty(how), on_error="mark")
    for times in (1, 2):
        scores = scorer(make_batch([A], [A, D], [B, B], [A], illegal=[3]))
        assert scores.values.tolist() == [1.0, -7.0, 2.0, -7.0]
        assert scores.valid.tolist() == [True, False, True, True]
        assert scores.scored.tolist() == [True, True, True, False]
        assert scorer.failures == times


def test_marked_failures_of_a_sum_have_no_parts() -> None:
    sum_of = WeightedSum({"short": Shortness(), "faulty": (2.0, Faulty("raise"))})
    scorer = Scorer(sum_of, on_error="mark", illegal_reward=-8.0)
    scores = scorer(make_batch([A], [A, D], [B, B]))
    assert scores.values.tolist() == [-0.7 + 2.0, -8.0, -1.4 + 4.0]
    assert {name: part.tolist() for name, part in scores.parts.items()} == {
        "short": [-0.7, 0.0, -1.4],
        "faulty": [2.0, 0.0, 4.0],
    }


def test_a_reward_that_fails_only_on_batches_is_said_to_do_so() -> None:
    with pytest.raises(RewardError, match="batch of 2 texts, though on none of them alone: Fault: one at a time"):
        Scorer(Faulty("batches"))(make_batch([A], [B]))


def test_marked_a_reward_that_fails_only_on_batches_is_asked_row_by_row() -> None:
    scorer = Scorer(Faulty("batches"), on_error="mark")
    scores = scorer(make_batch([A], [B, B]))
    assert scores.values.tolist() == [1.0, 2.0]
    assert scores.valid.all()
    assert scorer.failures == 0


@pytest.mark.parametrize("shape", [(), (1,), (2, 1), (3,)])
def test_values_of_another_shape_never_spread_over_the_batch(shape: tuple[int, ...]) -> None:
    def reward(batch: EpisodeBatch) -> Any:
        return np.zeros(shape if len(batch) > 1 else (5,))

    with pytest.raises(RewardError, match="shape"):
        Scorer(reward)(make_batch([A], [B]))


def test_interrupts_are_not_swallowed() -> None:
    def reward(batch: EpisodeBatch) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Scorer(reward, on_error="mark")(make_batch([A]))


def test_large_scores_that_overflow_only_in_the_sum_are_fine() -> None:
    def reward(batch: EpisodeBatch) -> Any:
        return np.full(len(batch), 1e308)

    with np.errstate(over="ignore"):
        assert Scorer(reward)(make_batch([A], [B])).valid.all()


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'raise'"):
        Scorer(Weighted(), on_error="rais")
    for value in (math.nan, -math.inf):
        with pytest.raises(ConfigurationError, match="finite"):
            Scorer(Weighted(), illegal_reward=value)


def test_the_first_marked_failure_warns_and_the_others_are_counted() -> None:
    scorer = Scorer(Faulty("nan"), on_error="mark")
    batch = make_batch([D], [D], [A])
    with pytest.warns(UserWarning, match=r"failed on prompt .* completion 'd'.* paid"):
        scorer(batch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer(batch)
    assert scorer.failures == 4


def test_rewards_cannot_change_what_was_written() -> None:
    def vandal(batch: EpisodeBatch) -> Any:
        batch.tokens[:] = 0
        return np.zeros(len(batch))

    with pytest.raises(RewardError, match="read-only"):
        Scorer(vandal)(make_batch([A], [B]))
