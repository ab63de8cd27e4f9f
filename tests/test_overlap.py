"""BLEU, chrF and ROUGE-L equal the packages that the field compares with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_bleu, sentence_chrf

from textgym.errors import ConfigurationError
from textgym.overlap import bleu, chrf, rouge_l

ROUGE = RougeScorer(["rougeL"])
PIECES = (
    "the", "cat", "sat", "sat.", "The", "on,", "a", "3.5", "1,000", "10-12", "mat!", "(x)", "it's", "well-known", "-\n",
    "&amp;", "&quot;q&quot;", "&lt;", "<skipped>", "é", "…", "A/B", "{z}", "...", "$5", ".x", ",", "\n", "  ", "ß",
)  # fmt: skip
WESTERN = st.lists(st.sampled_from(PIECES), max_size=9).map(" ".join)
CHINESE = st.text("好看的电影很不，。！ abc12x.", max_size=12)
ANY_TEXT = st.text(st.characters(max_codepoint=0x2DFF, exclude_categories=["Cs"]), max_size=20)


def of_one(score: Any, text: Any, references: Sequence[Any]) -> float:
    (value,) = score([text], [references])
    return float(value)


@settings(max_examples=200, deadline=None)
@given(text=WESTERN | ANY_TEXT, references=st.lists(WESTERN | ANY_TEXT, min_size=1, max_size=3))
def test_single_texts_score_as_in_sacrebleu_and_rouge_score(text: str, references: list[str]) -> None:
    assert of_one(bleu, text, references) == pytest.approx(sentence_bleu(text, references).score / 100, abs=1e-9)
    assert of_one(chrf, text, references) == pytest.approx(sentence_chrf(text, references).score / 100, abs=1e-9)
    expected = ROUGE.score_multi(references, text)["rougeL"].fmeasure
    assert of_one(rouge_l, text, references) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(text=CHINESE, reference=CHINESE)
def test_chinese_characters_are_words(text: str, reference: str) -> None:
    expected = sentence_bleu(text, [reference], tokenize="zh").score / 100
    assert of_one(bleu, text, [reference]) == pytest.approx(expected, abs=1e-9)


def test_rouge_reads_chinese_character_by_character() -> None:
    assert of_one(rouge_l, "很好看", ["好看 电影"]) == pytest.approx(2 * 2 / (3 + 4))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(WESTERN, st.lists(WESTERN, min_size=1, max_size=2)), max_size=6))
def test_a_batch_scores_as_its_texts_alone(pairs: list[tuple[str, list[str]]]) -> None:
    texts, references = [text for text, _ in pairs], [given for _, given in pairs]
    for score in (bleu, chrf, rouge_l):
        scores = score(texts, references)
        assert (scores.shape, scores.dtype) == ((len(pairs),), np.float64)
        assert scores.tolist() == [of_one(score, text, given) for text, given in pairs]
        assert ((scores >= 0.0) & (scores <= 1.0)).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=12), st.lists(st.integers(0, 4), max_size=12))
def test_token_sequences_are_words(ids: list[int], reference: list[int]) -> None:
    names = ["zero", "one", "two", "three", "four"]
    text, target = (" ".join(names[index] for index in row) for row in (ids, reference))
    for score in (bleu, rouge_l):
        assert of_one(score, ids, [reference]) == of_one(score, text, [target])


@pytest.mark.parametrize("score", [bleu, chrf, rouge_l])
def test_the_ends_of_the_scale(score: Any) -> None:
    same, empty, other = "the cat sat on the mat", "", "xyz 987"
    assert of_one(score, same, [other, same]) == 1.0
    assert [of_one(score, *pair) for pair in [(empty, [same]), (same, [empty]), (empty, [empty]), (other, [same])]] == [
        0.0
    ] * 4
    assert score([], []).shape == (0,)


def test_of_several_references_the_nearest_length_counts() -> None:
    # lengths 3 and 5 are equally near to 4; the shorter one asks for no penalty
    assert of_one(bleu, "a b c d", ["a b c d e", "a b c"]) == 1.0


def test_what_cannot_be_compared() -> None:
    with pytest.raises(ConfigurationError, match="2 texts and references for 1"):
        bleu(["a", "b"], [["a"]])
    with pytest.raises(ConfigurationError, match="text 1 has the references"):
        rouge_l(["a", "b"], [["a"], []])
    with pytest.raises(ConfigurationError, match="expected a list"):
        chrf(["a"], ["a"])
    with pytest.raises(ConfigurationError, match="chrF compares characters"):
        chrf([[1, 2]], [["a"]])  # type: ignore[list-item]
