"""EpisodeBatch: what rewards see."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgym.episodes import EOS, GOING, ILLEGAL, LENGTH, STOP, STOP_REASONS, EpisodeBatch, Prompt
from textgym.errors import UnknownNameError
from textgym.prompts import PromptTable
from textgym.tokenizers import WordTokenizer

WORDS = WordTokenizer(["was", "great", "dull"])  # 3 is <eos>, 4 is <unk>, 5 the padding
TABLE = PromptTable(
    [Prompt("great", ("was great",), {"n": 1}), Prompt("dull dull", metadata={"m": "x"}), Prompt(" was  great ")], WORDS
)


def batch(completions: list[list[int]], rows: list[int] | None = None, **options: object) -> EpisodeBatch:
    return EpisodeBatch.from_ids(TABLE, WORDS, rows or [0] * len(completions), completions, **options)


def test_layout() -> None:
    made = batch([[0, 1, 3], [2], []], [1, 0, 2])
    assert made.tokens.tolist() == [[2, 2, 0, 1, 3], [5, 1, 2, 5, 5], [0, 1, 5, 5, 5]]
    assert made.tokens.dtype == np.int32
    assert made.completion_ids.tolist() == [[0, 1, 3], [2, 5, 5], [5, 5, 5]]
    assert made.lengths.tolist() == [3, 1, 0]
    assert made.stop_codes.tolist() == [EOS, LENGTH, LENGTH]
    assert made.stop_reasons == ["eos", "length", "length"]
    assert len(made) == 3
    assert batch([[0]], max_new_tokens=4).completion_ids.shape == (1, 4)


def test_texts_are_derived_from_ids() -> None:
    made = batch([[0, 1, 3], [2, 4], []], [2, 1, 0])
    assert made.completions == ["was great", "dull", ""]
    assert made.prompt_texts == [" was  great ", "dull dull", "great"]  # as written, never stripped
    assert made.references == [(), (), ("was great",)]
    assert [made.ids(row) for row in range(3)] == [[0, 1, 3], [2, 4], []]


def test_metadata_by_column() -> None:
    made = batch([[0], [1], [2]], [0, 1, 0])
    assert made.metadata("n") == [1, None, 1]
    assert made.metadata("m") == [None, "x", None]
    with pytest.raises(UnknownNameError, match="unknown column of the prompts 'k'"):
        made.metadata("k")


def test_each_text_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    decode = WORDS.decode
    monkeypatch.setattr(WORDS, "decode", lambda ids: seen.append(list(ids)) or decode(ids))
    made = batch([[0, 3], [1]])
    assert seen == []
    assert made.completions is made.completions
    assert seen == [[0, 3], [1]]


def test_gold_and_success_are_computed_on_demand() -> None:
    calls: list[int] = []

    def gold(episodes: EpisodeBatch) -> np.ndarray:
        calls.append(len(episodes))
        return episodes.lengths.astype(np.float64)

    made = batch([[0, 3], []], gold=gold, success=lambda episodes: episodes.lengths > 0)
    assert (made.has_gold, calls) == (True, [])
    assert made.gold().tolist() == [2.0, 0.0]
    assert made.success().dtype == bool
    assert made.success().tolist() == [True, False]
    assert made.take([1]).gold().tolist() == [0.0]
    assert calls == [2, 1]
    plain = batch([[0]])
    assert (plain.has_gold, plain.gold(), plain.success()) == (False, None, None)


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=1, max_size=6), st.data())
def test_take_keeps_rows_whole(completions: list[list[int]], data: st.DataObject) -> None:
    prompts = data.draw(st.lists(st.integers(0, 2), min_size=len(completions), max_size=len(completions)))
    rows = data.draw(st.lists(st.integers(0, len(completions) - 1), max_size=5))
    whole = batch(completions, prompts, keys=np.arange(len(completions), dtype=np.uint64) + np.uint64(100))
    part = whole.take(rows)
    assert [part.ids(row) for row in range(len(part))] == [completions[row] for row in rows]
    assert part.prompt_texts == [whole.prompt_texts[row] for row in rows]
    assert part.completions == [whole.completions[row] for row in rows]
    assert part.keys.tolist() == [100 + row for row in rows]
    assert part.stop_reasons == [whole.stop_reasons[row] for row in rows]
    assert part.prompts is whole.prompts


def test_take_by_mask() -> None:
    assert batch([[0], [1], [2]]).take(np.array([True, False, True])).completions == ["was", "dull"]


def test_stop_codes_index_the_reasons() -> None:
    named = [STOP_REASONS[code] for code in (GOING, EOS, STOP, LENGTH, ILLEGAL)]
    assert named == [None, "eos", "stop", "length", "illegal"]
    assert len(STOP_REASONS) == 5
    made = batch([[0]])
    made.stop_codes = np.full(len(made), GOING, dtype=np.uint8)
    assert made.stop_reasons == [None]


def test_an_empty_batch_and_a_pickled_one() -> None:
    empty = batch([])
    assert (len(empty), empty.completions, empty.prompt_texts) == (0, [], [])
    again = pickle.loads(pickle.dumps(batch([[0, 1]])))
    assert (again.completions, again.prompt_texts) == (["was great"], ["great"])
