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

from textgym import overlap
from textgym.errors import ConfigurationError
from textgym.overlap import bleu, chrf, rouge_l
from textgym.overlap_arrays import pack_ngrams

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
@given(st.lists(st.tuples(WESTERN | ANY_TEXT, st.lists(WESTERN, min_size=1, max_size=3)), max_size=12))
def test_a_batch_scores_as_its_texts_alone(pairs: list[tuple[str, list[str]]]) -> None:
    texts, references = [text for text, _ in pairs], [given for _, given in pairs]
    for score in (bleu, chrf, rouge_l):
        scores = score(texts, references)
        assert (scores.shape, scores.dtype) == ((len(pairs),), np.float64)
        assert scores.tolist() == [of_one(score, text, given) for text, given in pairs]
        assert ((scores >= 0.0) & (scores <= 1.0)).all()


def long_texts(rng: np.random.Generator, count: int, *, words: int, length: int) -> list[str]:
    drawn = (rng.integers(words, size=rng.integers(1, length + 1)).tolist() for _ in range(count))
    return [" ".join(f"w{index}" for index in row) for row in drawn]


@pytest.mark.parametrize(
    ("count", "words", "length"),
    [(700, 4, 30), (40, 60, 63), (12, 60, 90), (10, 6000, 300)],  # cut into chunks; long; too long for bits
    ids=str,
)
def test_batches_score_as_in_sacrebleu_and_rouge_score(count: int, words: int, length: int) -> None:
    rng = np.random.default_rng(count)
    texts = long_texts(rng, count, words=words, length=length)
    references = [tuple(long_texts(rng, int(rng.integers(1, 4)), words=words, length=length)) for _ in texts]
    found = {score.__name__: score(texts, references) for score in (bleu, chrf, rouge_l)}
    for row in range(0, count, max(1, count // 10)):
        text, given = texts[row], references[row]
        assert found["bleu"][row] == pytest.approx(sentence_bleu(text, given).score / 100, abs=1e-9)
        assert found["chrf"][row] == pytest.approx(sentence_chrf(text, given).score / 100, abs=1e-9)
        expected = ROUGE.score_multi(given, text)["rougeL"].fmeasure
        assert found["rouge_l"][row] == pytest.approx(expected, abs=1e-9)
        assert [float(values[row]) for values in found.values()] == [
            of_one(score, text, given) for score in (bleu, chrf, rouge_l)
        ]


def test_numbers_that_would_not_fit_are_not_packed() -> None:
    assert pack_ngrams([["a", "b", "a"]], 4, merged=True) is not None
    assert pack_ngrams([list(range(60_000))], 4, merged=True) is None
    assert pack_ngrams([[]], 4, merged=True) is not None
    different = [chr(0x4E00 + number) for number in range(900)]
    assert pack_ngrams([different], 6, merged=False) is None
    (value,) = set(chrf(["".join(different[:400])] + ["x"] * 9, [["".join(different)]] * 10)[:1].tolist())
    assert value == pytest.approx(sentence_chrf("".join(different[:400]), ["".join(different)]).score / 100, abs=1e-9)


def test_few_texts_and_many_are_scored_in_different_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    counted = overlap.count_common_ngrams
    monkeypatch.setattr(
        overlap, "count_common_ngrams", lambda texts, known: asked.append(len(texts)) or counted(texts, known)
    )
    few, many = [bleu([f"a b c{row}" for row in range(count)], [("a b",)] * count) for count in (2, 40)]
    assert asked == [40]
    assert few.tolist() == many[:2].tolist()


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
