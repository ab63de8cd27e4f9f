"""What can be earned is a scale, and what cannot be earned is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgym.errors import TaskError, UnknownNameError
from textgym.returns import Returns

SCALE = Returns(random=-1.0, blind=0.0, best=3.0)


def test_each_of_the_three_says_whether_it_is_exact() -> None:
    assert SCALE.exact
    partly = Returns(-1.0, 0.0, 3.0, inexact=["random", "blind"])  # type: ignore[arg-type]  # a list, as JSON has it
    assert not partly.exact
    assert [partly.is_exact(name) for name in ("random", "blind", "best")] == [False, False, True]
    assert partly == Returns(-1.0, 0.0, 3.0, inexact=("random", "blind"))
    with pytest.raises(UnknownNameError, match="Did you mean 'random'"):
        Returns(0.0, 0.0, 0.0, inexact=("randm",))
    with pytest.raises(UnknownNameError):
        SCALE.is_exact("worst")


@given(st.floats(-2.0, 6.0), st.floats(0.0, 1.0))
def test_a_score_above_one_by_more_than_three_standard_errors_is_impossible(mean: float, error: float) -> None:
    excess = (mean + 1.0) / 4.0 - 1.0
    sentence = SCALE.impossible(mean, error)
    assert (sentence is not None) == (excess > max(3.0 * error / 4.0, 1e-6))
    assert Returns(-1.0, 0.0, 3.0, inexact=("best",)).impossible(mean, error) is None
    assert (Returns(-1.0, 0.0, 3.0, inexact=("random",)).impossible(mean, error) is None) == (sentence is None)


def test_the_sentence_has_the_numbers() -> None:
    assert "normalised gold of 1.250 ± 0.050 is impossible" in str(SCALE.impossible(4.0, 0.2, "gold"))
    assert "normalised reward of 1.0000025 ± 0.000" in str(SCALE.impossible(3.00001, 0.0))
    assert SCALE.impossible(3.000001, 0.0) is None  # 2.5e-7 on the scale: rounding
    assert SCALE.impossible(3.9, 0.4) is None


def test_without_a_scale_nothing_is_said() -> None:
    flat = Returns(1.0, 1.0, 1.0)
    assert flat.impossible(5.0, 0.0) is None
    with pytest.raises(TaskError, match="no scale"):
        flat.normalize(1.0)
