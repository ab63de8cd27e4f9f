"""Masks of the single constraints, and that they compose by logical and."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import toy

from textgym.constraints import Constraint, Grammar, Lexicon, MinLength, NoRepeat
from textgym.env import TextGenerationEnv
from textgym.errors import TaskError
from textgym.legality import Rules, tabulate
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
def test_no_repeat_allows_what_the_text_lacks_and_the_end(texts: list[list[int]]) -> None:
    assert masks(NoRepeat(), texts) == [
        [index for index in range(5) if index not in ids or index == 3] for ids in texts
    ]


def grams(ids: list[int], n: int) -> set[tuple[int, ...]]:
    """The n-grams of a text that hold no end."""
    found = {tuple(ids[place : place + n]) for place in range(len(ids) - n + 1)}
    return {gram for gram in found if 3 not in gram}


@given(TEXTS, st.integers(1, 7))
def test_no_repeat_forbids_what_would_end_an_n_gram_again(texts: list[list[int]], n: int) -> None:
    expected = []
    for ids in texts:
        seen = grams(ids, n)
        again = {index for index in range(5) if len(ids) >= n and tuple([*ids, index][-n:]) in seen}
        expected.append([index for index in range(5) if index not in again])
    assert masks(NoRepeat(n), texts) == expected


def test_no_repeat_of_pairs_by_hand() -> None:
    assert not NoRepeat(2).static
    assert masks(NoRepeat(2), [[], [0, 1], [0, 1, 0], [0, 0]]) == [
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 4],
        [0, 2, 3, 4],  # "a b" again
        [1, 2, 3, 4],
    ]
    assert masks(NoRepeat(2), [[0, 1, 3, 0]]) == [[0, 2, 3, 4]]  # the end of a turn between them
    assert masks(NoRepeat(2), [[0, 3, 1, 3]]) == [[0, 1, 2, 3, 4]]  # ... is no part of a pair


def test_no_repeat_of_nothing_is_an_error() -> None:
    with pytest.raises(TaskError, match=r"NoRepeat\(0\): expected an n-gram of at least 1 token"):
        NoRepeat(0)


RULES = {"noun": {"a": "verb", "b": "verb"}, "verb": {"c": "over"}, "over": {"a": "verb"}}
VERSE = Grammar("noun", RULES, ends=("over",))
LETTERS = Grammar("any", {"any": {"a": "any", "b": "any"}}, ends=("any",))


def test_grammar_allows_what_its_state_does() -> None:
    assert not VERSE.static
    assert masks(VERSE, [[], [0], [1], [0, 2], [0, 2, 0]]) == [[0, 1], [2], [2], [0, 3], [2]]


def test_grammar_goes_on_after_its_last_rule_with_the_end_alone() -> None:
    assert masks(Grammar("start", {"start": {"a": "over"}}, ends=("over",)), [[], [0]]) == [[0], [3]]
    assert masks(Grammar("start", {}, ends=("start",)), [[]]) == [[3]]


def test_grammar_allows_nothing_after_a_forbidden_token() -> None:
    assert masks(VERSE, [[2], [2, 0], [0, 1], [0, 2, 2]]) == [[], [], [], []]


@given(TEXTS)
def test_grammar_follows_a_text_as_it_reads_it(texts: list[list[int]]) -> None:
    completions = np.full((len(texts), 6), WORDS.vocab_size, dtype=np.int32)
    for row, ids in enumerate(texts):
        completions[row, : len(ids)] = ids
    states = np.zeros(len(texts), dtype=np.int64)
    for column in completions.T:
        states = VERSE.follow(WORDS, states, column)
    assert states.tolist() == VERSE.read(WORDS, completions, np.array([len(ids) for ids in texts])).tolist()
    assert [np.flatnonzero(row).tolist() for row in VERSE.legal(WORDS, states)] == masks(VERSE, texts)


def test_grammar_begins_anew_after_the_end_of_a_turn_and_overlooks_foreign_tokens() -> None:
    assert masks(VERSE, [[0, 2, 3], [0, 2, 3, 4], [0, 4], [0, 2, 3, 1]]) == [[0, 1], [0, 1], [2], [2]]


def test_grammar_serves_two_vocabularies_in_turn_and_pickles() -> None:
    other = WordTokenizer(["c", "x", "b", "a"])
    blank = np.full((1, 2), other.vocab_size, dtype=np.int32), np.zeros(1, dtype=np.int64)
    for grammar in (VERSE, pickle.loads(pickle.dumps(VERSE)), copy.deepcopy(VERSE)):
        assert np.flatnonzero(grammar(other, *blank)[0]).tolist() == [2, 3]
        assert masks(grammar, [[]]) == [[0, 1]]
        assert grammar == VERSE
        assert hash(grammar) == hash(VERSE)


def test_grammar_masks_are_fresh_arrays() -> None:
    VERSE(WORDS, np.full((1, 1), 5, dtype=np.int32), np.zeros(1, dtype=np.int64))[:] = False
    assert masks(VERSE, [[]]) == [[0, 1]]


def test_grammar_names_what_does_not_fit() -> None:
    with pytest.raises(TaskError, match="the state 'verb', which has no rules and is not in ends"):
        Grammar("noun", {"noun": {"a": "verb"}}, ends=())
    with pytest.raises(TaskError, match="the state 'nowhere', which"):
        Grammar("nowhere", {"noun": {"a": "noun"}}, ends=())
    with pytest.raises(TaskError, match=r"token 'cc' is not in the vocabulary\. Did you mean 'c'"):
        masks(Grammar("noun", {"noun": {"cc": "noun"}}, ends=("noun",)), [[]])


@given(TEXTS)
def test_a_mask_does_not_depend_on_the_batch(texts: list[list[int]]) -> None:
    for constraint in (Lexicon(("a",)), MinLength(3), NoRepeat(), NoRepeat(2), VERSE):
        assert masks(constraint, texts) == [masks(constraint, [ids])[0] for ids in texts]


@given(TEXTS)
def test_constraints_compose_by_and(texts: list[list[int]]) -> None:
    rules = (NoRepeat(), MinLength(2), Grammar("s", {"s": {"a": "s", "b": "s", "c": "s"}}, ends=("s",)))
    together = [
        set.intersection(*map(set, found)) for found in zip(*(masks(rule, texts) for rule in rules), strict=True)
    ]
    for ids, allowed in zip(texts, together, strict=True):
        assert (3 in allowed) == (len(ids) >= 2)
        assert allowed - {3} == {0, 1, 2} - set(ids)


def test_constraints_compose_in_an_environment() -> None:
    env = TextGenerationEnv(task=toy(constraints=(LETTERS, MinLength(2), NoRepeat(2))), include_mask=True)
    env.reset(seed=0)
    legal = []
    for token in (0, 0, 1):
        legal.append(np.flatnonzero(env.action_masks()).tolist())
        env.step(token)
    legal.append(np.flatnonzero(env.action_masks()).tolist())
    end = env.eos_id
    assert legal == [[0, 1], [0, 1], [1, end], [0, 1, end]]


def test_the_table_of_a_grammar_grows_with_the_vocabulary_and_not_with_its_square() -> None:
    words = [f"w{number}" for number in range(2000)]
    tokenizer = WordTokenizer(words)
    grammar = Grammar("begun", {"begun": dict.fromkeys(words, "over")}, ends=("over",))
    codes = np.zeros(tokenizer.vocab_size + 1, dtype=np.uint8)
    rules = Rules(np.ones(tokenizer.vocab_size, dtype=bool), (grammar,), codes)
    table = tabulate(rules, tokenizer)
    assert table is not None
    arrays = (table.masks, table.codes, table.steps, table.rows, table.stuck)
    assert sum(array.nbytes for array in arrays) < 32 * grammar.count_states(tokenizer) * (tokenizer.vocab_size + 1)
