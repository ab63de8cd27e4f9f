"""Comparisons, the simulated judge and the Bradley-Terry fit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from textgym.annotators import BoltzmannAnnotator
from textgym.bradley_terry import SparseRows, fit_bradley_terry, preference_probability
from textgym.comparisons import CHOICES, Comparison
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError
from textgym.prompts import PromptTable
from textgym.tokenizers import CharTokenizer

TOKENIZER = CharTokenizer("ab")
PROMPTS = PromptTable([Prompt("a"), Prompt("b")], TOKENIZER)


def count_a(batch: EpisodeBatch) -> np.ndarray:
    return (batch.completion_ids == 0).sum(axis=1).astype(float)


def batch(prompts: list[int], texts: list[list[int]]) -> EpisodeBatch:
    return EpisodeBatch.from_ids(PROMPTS, TOKENIZER, prompts, texts, max_new_tokens=3)


def sparse(matrix: np.ndarray) -> SparseRows:
    rows, columns = np.nonzero(matrix)
    return SparseRows(rows, columns, matrix[rows, columns].astype(float), matrix.shape)


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


def test_preference_probability_is_symmetric_and_never_overflows() -> None:
    left, right = np.array([0.0, 1e6, -1e6, 2.0]), np.array([0.0, 0.0, 0.0, 1.0])
    chance = preference_probability(left, right)
    assert np.allclose(chance, [0.5, 1.0, 0.0, 1 / (1 + math.exp(-1))])
    assert np.allclose(chance + preference_probability(right, left), 1.0)
    assert preference_probability(left, right, temperature=2.0)[3] == pytest.approx(1 / (1 + math.exp(-0.5)))


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


def test_sparse_rows_multiply_like_the_dense_matrix() -> None:
    rng = np.random.default_rng(1)
    matrix = rng.integers(-1, 2, (7, 4))
    vector, other = rng.normal(size=4), rng.normal(size=7)
    assert np.allclose(sparse(matrix).times(vector), matrix @ vector)
    assert np.allclose(sparse(matrix).transposed_times(other), other @ matrix)


def test_fit_of_two_texts_is_the_log_of_the_odds() -> None:
    wins, losses = 30, 10
    weights = fit_bradley_terry(sparse(np.array([[1]] * wins + [[-1]] * losses)), penalty=1e-4, tolerance=1e-4)
    assert weights[0] == pytest.approx(math.log(wins / losses), abs=1e-4)


def test_fit_recovers_known_weights() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=8)
    matrix = rng.integers(-2, 3, (20_000, 8))
    chance = 1 / (1 + np.exp(-(matrix @ truth)))
    matrix[rng.random(len(matrix)) > chance] *= -1
    weights = fit_bradley_terry(sparse(matrix))
    assert np.abs(weights - truth).max() < 0.1


def test_fit_ends_where_the_gradient_vanishes_even_if_separable() -> None:
    matrix = np.array([[1, 0, 2], [1, 1, 0], [2, 1, 1]])
    weights = fit_bradley_terry(sparse(matrix), penalty=0.5, tolerance=1e-10)
    doubt = 1 / (1 + np.exp(matrix @ weights))
    assert np.allclose(0.5 * weights, doubt @ matrix, atol=1e-10)
    assert np.isfinite(weights).all()


def test_fit_says_when_it_cannot() -> None:
    with pytest.raises(ConfigurationError, match="penalty"):
        fit_bradley_terry(sparse(np.array([[1]])), penalty=0.0)
    with pytest.raises(ConfigurationError, match="no optimum within 1 steps"):
        fit_bradley_terry(sparse(np.array([[1, 2], [2, -1]])), max_iterations=1)
