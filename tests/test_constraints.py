"""Masks of the single constraints, and that they compose by logical and."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgym.constraints import Constraint, Lexicon, MinLength, NoRepeat
from textgym.errors import TaskError
from textgym.tokenizers import WordTokenizer

WORDS = WordTokenizer(["a", "b", "c"])  # 3 is <eos>, 4 is <unk>, 5 the padding
TEXTS = st.lists(st.lists(st.integers(0, 4), max_size=5), min_size=1, max_size=4)


def masks(constraint: Constraint, texts: list[list[int]]) -> list[list[int]]:
    """The ids that are allowed after each text."""
    completions = np.full((len(texts), 6), WORDS.vocab_size, dtype=np.int32)
    for row, ids in enumerate(texts):
        completions[row, : len(ids)] = ids
    mask = constraint(WORDS, completions, np.array([len(ids) for ids in texts]))
    assert (mask.dtype, mask.shape) == (np.dtype(bool), (len(texts), WORDS.vocab_size))
    return [np.flatnonzero(row).tolist() for row in mask]


def test_lexicon_allows_its_words_and_the_end() -> None:
    assert Lexicon(("c", "a")).static
    assert masks(Lexicon(("c", "a")), [[], [0, 1]]) == [[0, 2, 3], [0, 2, 3]]


def test_lexicon_names_a_word_outside_the_vocabulary() -> None:
    with pytest.raises(TaskError, match="'bb' is not in the vocabulary. Did you mean 'b'"):
        masks(Lexicon(("a", "bb")), [[]])


def test_lexicon_masks_are_fresh_arrays() -> None:
    first = Lexicon(("a",))(WORDS, np.full((2, 1), 5, dtype=np.int32), np.zeros(2, dtype=np.int64))
    first[0] = False
    assert first[1].any()


def test_min_length_forbids_only_an_early_end() -> None:
    assert not MinLength(2).static
    everything, no_end = [0, 1, 2, 3, 4], [0, 1, 2, 4]
    assert masks(MinLength(2), [[], [0], [0, 1], [0, 1, 2]]) == [no_end, no_end, everything, everything]


def test_min_length_forbids_every_end_id() -> None:
    class TwoEnds(WordTokenizer):
        def __init__(self) -> None:
            super().__init__(["a", "b"])
            self.eos_ids = (2, 0)

    mask = MinLength(1)(TwoEnds(), np.full((1, 2), 4, dtype=np.int32), np.zeros(1, dtype=np.int64))
    assert mask.tolist() == [[False, True, False, True]]


@given(TEXTS)
def test_no_repeat_allows_what_the_text_lacks(texts: list[list[int]]) -> None:
    assert masks(NoRepeat(), texts) == [[index for index in range(5) if index not in ids] for ids in texts]


@given(TEXTS)
def test_a_mask_does_not_depend_on_the_batch(texts: list[list[int]]) -> None:
    for constraint in (Lexicon(("a",)), MinLength(3), NoRepeat()):
        assert masks(constraint, texts) == [masks(constraint, [ids])[0] for ids in texts]


@given(TEXTS)
def test_constraints_compose_by_and(texts: list[list[int]]) -> None:
    both = [set(a) & set(b) for a, b in zip(masks(NoRepeat(), texts), masks(MinLength(2), texts), strict=True)]
    for ids, allowed in zip(texts, both, strict=True):
        assert (3 in allowed) == (len(ids) >= 2 and 3 not in ids)
        assert not allowed & set(ids)
