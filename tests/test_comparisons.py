"""Comparisons: what was said of two texts."""

from __future__ import annotations

import math
from typing import Any

import pytest

from textgym.comparisons import CHOICES, Comparison
from textgym.errors import ConfigurationError


def test_comparison_knows_chosen_and_rejected() -> None:
    item = Comparison(prompt="p", left="l", right="r", choice="right", left_ids=(1,), right_ids=(2,))
    assert (item.chosen, item.rejected, item.chosen_ids, item.rejected_ids) == ("r", "l", (2,), (1,))


@pytest.mark.parametrize("choice", ["tie", "both_bad", "skip"])
def test_what_is_not_decided_has_no_chosen_text(choice: str) -> None:
    item = Comparison(prompt="p", left="l", right="r", choice=choice)  # type: ignore[arg-type]
    assert not item.is_decided
    for name in ("chosen", "rejected", "chosen_ids", "rejected_ids"):
        with pytest.raises(ConfigurationError, match="neither text was preferred"):
            getattr(item, name)


@pytest.mark.parametrize("choice", CHOICES)
def test_a_mirrored_comparison_says_the_same(choice: str) -> None:
    item = Comparison(prompt="p", left="l", right="r", choice=choice, left_ids=(1,), right_ids=(2,), pair="7")  # type: ignore[arg-type]
    other = item.mirrored()
    assert (other.left, other.right, other.left_ids, other.right_ids) == ("r", "l", (2,), (1,))
    assert (other.swapped, other.is_decided, other.mirrored()) == (True, item.is_decided, item)
    if item.is_decided:
        assert (other.chosen, other.rejected_ids) == (item.chosen, item.rejected_ids)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"choice": "both"}, "'both_bad'"),
        ({"strength": 4}, "1 to 3"),
        ({"strength": 0}, "1 to 3"),
        ({"choice": "tie", "strength": 1}, "only where one text is better"),
        ({"seconds": -1.0}, "0 or more"),
        ({"seconds": math.nan}, "0 or more"),
    ],
)
def test_comparison_refuses_what_cannot_be(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Comparison(**{"prompt": "p", "left": "l", "right": "r", "choice": "left", **wrong})
