"""Reviews: its levels, its gold, its grammar, oracle and demonstrations."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reviewing import gold_of, score

from textgym.constraints import Mask
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import TaskError
from textgym.grammars import FOLLOWS, KINDS, MODIFIERS
from textgym.prompts import PromptTable
from textgym.tasks import get
from textgym.tasks.reviews import LEVELS, SUCCESS, make_grammar, make_tokenizer, writable_words

# ---- levels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "words", "tokens", "train", "test"),
    [
        ("tiny", 6, 4, 1, 0),
        ("easy", 15, 5, 4, 2),
        ("medium", 60, 8, 16, 8),
        ("hard", 200, 16, 32, 16),
        ("chinese", 22, 10, 11, 5),
    ],
)
def test_levels_are_as_documented(level: str, words: int, tokens: int, train: int, test: int) -> None:
    task = get("Reviews", level)
    assert (len(set(writable_words(LEVELS[level]))), task.budget) == (words, tokens)
    assert task.prompts.has_splits is (level != "tiny")
    assert len(task.prompts.rows("train" if test else "all")) == train
    assert len(task.prompts) == train + test


@pytest.mark.parametrize("level", ["easy", "medium", "hard", "chinese"])
def test_held_out_prompts_are_new_pairings_of_known_words(level: str) -> None:
    train, test = LEVELS[level].train, LEVELS[level].test
    assert not set(train) & set(test)
    if level != "chinese":
        assert {word for text in test for word in text.split()} <= {word for text in train for word in text.split()}
    else:
        assert {text[0] for text in test} <= {text[0] for text in train}
        assert {text[1:] for text in test} <= {text[1:] for text in train}


@pytest.mark.parametrize("level", list(LEVELS))
def test_only_review_words_may_be_written(level: str) -> None:
    task = get("Reviews", level)
    (constraint,) = task.constraints
    blank = np.full((1, task.budget), task.tokenizer.vocab_size, dtype=np.int32)
    mask: Mask = constraint(task.tokenizer, blank, np.zeros(1, dtype=np.int64))
    legal = {task.tokenizer.tokens[index] for index in np.flatnonzero(mask[0])}
    assert constraint.static
    assert legal == {*writable_words(LEVELS[level]), "<eos>"}
    assert not (task.prompts.ids == task.tokenizer.unk_id).any()


# ---- gold ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "text", "expected"),
    [
        ("praise the movie", "was great", np.tanh(1.2 / 1.35)),
        ("pan the movie", "was great", -np.tanh(1.2 / 1.35)),
        ("praise the movie", "was really great", np.tanh(1.2 * 1.3 / 1.35)),
        ("praise the movie", "was not really bad", np.tanh(0.7 * 1.3 * 0.5 / 1.35)),
        ("praise the movie", "was not great and good", np.tanh((-0.7 * 1.2 + 0.5) / 1.35)),
        ("praise the movie", "was great and dull", np.tanh((1.2 - 0.7) / 1.35)),
        ("praise the movie", "were great", np.tanh(1.2 / 1.35) - 0.5),
        ("praise the jokes", "were great", np.tanh(1.2 / 1.35)),
        ("praise the movie", "great", np.tanh(1.2 / 1.35) - 0.55),
        ("praise the movie", "was great good", np.tanh(1.7 / 1.35) - 0.55),
        ("praise the movie", "was great and", np.tanh(1.2 / 1.35) - 0.55),
        ("praise the movie", "was very really great", np.tanh(1.2 * 1.3 * 1.3 / 1.35) - 0.55),
        ("praise the movie", "was great and great", np.tanh(2.4 / 1.35) - 0.6),
        ("praise the movie", "", -0.6),
        ("praise the movie", "was", -0.6 - 0.55),
        ("praise the movie", "was great movie", np.tanh(1.2 / 1.35) - 2 * 0.55),
        ("praise the movie", "was great sofa", np.tanh(1.2 / 1.35) - 2 * 0.55),
    ],
)
def test_gold_reads_like_a_person(prompt: str, text: str, expected: float) -> None:
    assert gold_of("easy", prompt, text) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "slips"),
    [
        ("the acting was superb", 0.0),
        ("it was superb overall", 0.0),
        ("felt superb", 0.0),
        ("the scenes were superb", 0.0),
        ("was superb but the scenes were fine", 0.0),
        ("the scenes was superb", 0.5),
        ("was superb and they were fine", 0.5),  # the movie is one
        ("the superb", 0.4),  # no noun, no verb
        ("overall was superb", 2 * 0.4),
    ],
)
def test_gold_knows_clauses_with_subjects_of_their_own(text: str, slips: float) -> None:
    sentiment = 1.2 * text.count("superb") + 0.4 * text.count("fine")
    assert gold_of("medium", "praise the movie", text) == pytest.approx(np.tanh(sentiment / 2.5) - slips, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 23), max_size=9)), min_size=1, max_size=6))
def test_gold_is_the_same_alone_and_together_and_in_range(rows: list[tuple[int, list[int]]]) -> None:
    task = get("Reviews")
    assert task.gold is not None
    prompts, texts = [row[0] for row in rows], [row[1] for row in rows]
    together = task.gold(EpisodeBatch.from_ids(task.prompts, task.tokenizer, prompts, texts, max_new_tokens=12))
    low, high = task.gold.range  # type: ignore[attr-defined]
    for (prompt, ids), value in zip(rows, together.tolist(), strict=True):
        assert task.gold(EpisodeBatch.from_ids(task.prompts, task.tokenizer, [prompt], [ids])).tolist() == [value]
        assert low <= value <= high


def test_gold_follows_the_table_of_prompts_that_it_is_given() -> None:
    task = get("Reviews")
    assert task.gold is not None
    backwards = PromptTable(task.prompts.prompts[::-1], task.tokenizer)
    ids = [task.encode_completion("were really great")] * 6
    forward = task.gold(EpisodeBatch.from_ids(task.prompts, task.tokenizer, range(6), ids))
    assert task.gold(EpisodeBatch.from_ids(backwards, task.tokenizer, range(6), ids)).tolist() == forward[::-1].tolist()


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("were really awful and dull", 0.93),
        ("were not good", 0.25),
        ("was really awful and dull", 0.43),
        ("were really awful and awful", 0.37),
        ("were really great and moving", -0.93),
        ("", -0.60),
    ],
)
def test_the_example_of_the_page_is_true(text: str, stated: float) -> None:
    assert gold_of("easy", "pan the actors", text) == pytest.approx(stated, abs=0.005)


def test_success_is_a_nearly_perfect_review() -> None:
    task = get("Reviews")
    assert score(task, "success", "pan the plot", "was really awful and dull") == 1.0
    assert score(task, "success", "pan the plot", "was awful and boring") == 1.0
    assert score(task, "success", "pan the plot", "was awful") == 0.0
    for level in LEVELS:
        task = get("Reviews", level)
        assert all(score(task, "gold", prompt, task.best_text(prompt)) >= SUCCESS for prompt in task.prompts.texts)


def test_gold_and_success_pickle_without_their_tables() -> None:
    task = get("Reviews")
    before = gold_of("easy", "pan the plot", "was dull")
    assert before == pytest.approx(np.tanh(0.7 / 1.35))
    assert pickle.loads(pickle.dumps(task.gold)) == task.gold
    assert pickle.loads(pickle.dumps(task.success)) == task.success


# ---- grammar and demonstrations --------------------------------------------------------------------------------------


def test_the_grammar_is_closed() -> None:
    assert all(set(after) <= set(KINDS) for after in FOLLOWS.values())
    assert "end" not in FOLLOWS["verb"]
    assert not set(MODIFIERS) - set(KINDS)


@pytest.mark.parametrize("level", list(LEVELS))
def test_demonstrations_are_mixed_and_mostly_right(level: str) -> None:
    task, grammar = get("Reviews", level), make_grammar(LEVELS[level])
    prompt = task.prompts.prompts[0]
    rng = np.random.default_rng(0)
    texts = [task.demonstrate(prompt, rng) for _ in range(500)]
    ids = [task.tokenizer.encode(text) for text in texts]
    words = len(writable_words(LEVELS[level]))
    assert all(len(row) <= task.budget and all(index < words for index in row) for row in ids)
    padded = EpisodeBatch.from_ids(task.prompts, task.tokenizer, [0] * 500, ids).completion_ids
    found = grammar.analyse(padded, np.full(500, prompt.metadata["plural"]))
    right = (found.order_errors == 0) & (found.agreement_errors == 0)
    assert 0.75 < right.mean() < 0.98
    assert 0.5 < (found.sentiment > 0).mean() < 0.85
    assert len(set(texts)) > (15 if level == "tiny" else 50)


def test_demonstrations_repeat_under_a_seed() -> None:
    task = get("Reviews")
    first, second = ([task.demonstrate("pan the plot", np.random.default_rng(5)) for _ in range(3)] for _ in range(2))
    assert first == second


def test_the_oracle_knows_only_its_prompts() -> None:
    task = get("Reviews")
    assert task.make_oracle is not None
    with pytest.raises(TaskError, match="pan the sofa"):
        task.best_text(Prompt("pan the sofa"))


def test_vocabularies_put_review_words_first() -> None:
    for level in LEVELS.values():
        tokens = make_tokenizer(level).tokens
        assert tokens[: len(writable_words(level))] == writable_words(level)
        assert tokens[-2:] == ("<eos>", "<unk>")
