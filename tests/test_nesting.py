"""Nested brackets: what is open, the grammar of balanced texts, and the reward, against a slow reader."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import TaskError
from textgym.nesting import PAIRS, Balance, Balanced, close, find_open, nest
from textgym.prompts import PromptTable
from textgym.tokenizers import CharTokenizer

BRACKETS = CharTokenizer("()[]")
END = BRACKETS.eos_ids[0]
PROMPTS = ("(", "([", "([]", "[[(", "()")
TABLE = PromptTable([Prompt(text) for text in PROMPTS], BRACKETS)
TEXTS = st.lists(st.integers(0, 3), max_size=6).flatmap(lambda ids: st.sampled_from([ids, [*ids, END]]))


def batch(prompts: list[int], texts: list[list[int]]) -> EpisodeBatch:
    return EpisodeBatch.from_ids(TABLE, BRACKETS, prompts, texts, max_new_tokens=7)


def score(prompt: str, text: str) -> float:
    """What a text earns; a full stop ends it."""
    ids = [END if letter == "." else BRACKETS.encode(letter)[0] for letter in text]
    return float(Balance()(batch([PROMPTS.index(prompt)], [ids]))[0])


def read_slowly(prompt: str, ids: list[int]) -> float:
    """The reward, one bracket after the other, with the text itself as the memory."""
    begun = len(find_open(prompt))
    text, fewest = prompt, begun
    for index in ids:
        if index == END:
            return (begun - fewest + (not find_open(text))) / (begun + 1)
        try:
            fewest = min(fewest, len(find_open(text + BRACKETS.tokens[index])))
        except TaskError:
            break
        text += BRACKETS.tokens[index]
    return (begun - fewest) / (begun + 1)


def test_what_is_open_and_how_to_close_it() -> None:
    assert [find_open(text) for text in ("", "(", "()", "([]{", "<{}<")] == ["", "(", "", "({", "<<"]
    assert [close(text) for text in ("", "(", "()", "([]{", "<{}<")] == ["", ")", "", "})", ">>"]


@pytest.mark.parametrize("text", [")", "(]", "([)]", "a", "()x"])
def test_text_that_cannot_be_balanced_is_an_error(text: str) -> None:
    with pytest.raises(TaskError, match="is not the beginning of a balanced row"):
        find_open(text)


@pytest.mark.parametrize(
    ("prompt", "text", "expected"),
    [
        ("(", ").", 1.0),
        ("(", ")", 1 / 2),  # not ended
        ("(", ".", 0.0),
        ("(", "].", 0.0),
        ("(", ")).", 1 / 2),  # closes nothing
        ("(", "()).", 1.0),  # a detour
        ("(", ")().", 1.0),
        ("(", ")(.", 1 / 2),  # a bracket of its own stays open
        ("([", "]).", 1.0),
        ("([", "]].", 1 / 3),
        ("([", ")].", 0.0),
        ("([", "[]]).", 1.0),
        ("([", "[)]).", 0.0),
        ("([]", ").", 1.0),
        ("[[(", ")]].", 1.0),
        ("[[(", ")]", 2 / 4),
        ("()", ".", 1.0),
        ("()", "].", 0.0),
    ],
)
def test_reward_of_single_texts(prompt: str, text: str, expected: float) -> None:
    assert score(prompt, text) == expected


PAIRS_OF_TEXTS = st.lists(st.tuples(st.integers(0, len(PROMPTS) - 1), TEXTS), min_size=1, max_size=8)


@given(PAIRS_OF_TEXTS)
def test_reward_reads_as_a_slow_reader_does_alone_and_in_a_batch(pairs: list[tuple[int, list[int]]]) -> None:
    rows, texts = [row for row, _ in pairs], [ids for _, ids in pairs]
    together = Balance()(batch(rows, texts))
    assert together.tolist() == [read_slowly(PROMPTS[row], ids) for row, ids in pairs]
    assert together.tolist() == [float(Balance()(batch([row], [ids]))[0]) for row, ids in pairs]
    assert Balanced()(batch(rows, texts)).tolist() == (together == 1.0).tolist()


@given(PAIRS_OF_TEXTS)
def test_machine_earns_what_reading_column_by_column_does(pairs: list[tuple[int, list[int]]]) -> None:
    texts = batch([row for row, _ in pairs], [ids for _, ids in pairs])
    reward = Balance()
    machine = reward._machine(texts)
    assert machine is not None
    assert machine(texts).tolist() == reward._read(texts).tolist()


def test_where_a_machine_would_be_too_large_columns_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = batch([0], [[1, END]])
    expected = Balance()(texts).tolist()
    monkeypatch.setattr("textgym.nesting.MOST_STATES", 3)
    reward = Balance()
    assert reward._machine(texts) is None
    assert reward(texts).tolist() == expected


def test_an_unknown_token_stops_the_reading() -> None:
    unknown = BRACKETS.unk_id
    assert Balance()(batch([0, 1], [[unknown, 1, END], [3, unknown, 1, END]])).tolist() == [0.0, 1 / 3]


def test_reward_serves_another_table_of_prompts_and_pickles_without_its_cache() -> None:
    reward = Balance()
    reward(batch([0], [[1, END]]))
    other = PromptTable([Prompt("[")], BRACKETS)
    assert reward(EpisodeBatch.from_ids(other, BRACKETS, [0], [[3, END]])).tolist() == [1.0]
    assert pickle.loads(pickle.dumps(reward)) == reward
    assert not pickle.loads(pickle.dumps(reward))._cache


def legal(grammar_depth: int, text: str) -> str:
    """What may follow a text; a full stop is the end."""
    ids = np.array([[*BRACKETS.encode(text), *[BRACKETS.vocab_size] * 6]], dtype=np.int32)
    mask = nest(PAIRS[:2], grammar_depth)(BRACKETS, ids, np.array([len(text)]))[0]
    return "".join("." if index == END else BRACKETS.tokens[index] for index in np.flatnonzero(mask))


def test_grammar_closes_in_the_right_kind() -> None:
    assert legal(2, "") == "()[]."  # what the prompt opened may be closed in any kind
    assert legal(2, "(") == "()["
    assert legal(2, "([") == "]"  # no deeper
    assert legal(2, "([]") == "()["
    assert legal(2, ")]") == "()[]."
    assert legal(2, ")[(") == ")"


def test_grammar_allows_exactly_the_texts_that_nest() -> None:
    def is_legal(text: str) -> bool:
        return all(letter in legal(2, text[:place]) for place, letter in enumerate(text))

    def nests(text: str) -> bool:
        stack = ""
        for letter in text:
            if letter in "([":
                stack += letter
            elif stack and stack[-1] + letter not in PAIRS:
                return False
            else:
                stack = stack[:-1]
            if len(stack) > 2:
                return False
        return True

    texts = ["".join(letters) for letters in itertools.product("()[]", repeat=4)]
    assert [is_legal(text) for text in texts] == [nests(text) for text in texts]
    assert 0 < sum(map(nests, texts)) < len(texts)
