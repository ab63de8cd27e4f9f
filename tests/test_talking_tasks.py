"""The conversations of the suite: GuessNumber, Wordle, Dialogue and Chain."""

from __future__ import annotations

import pickle
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from talking import ask_oracle, converse, factory_of
from toys import constant

from textgym.env import TextGenerationEnv
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import TaskError
from textgym.exact import ConversationSolution, solve
from textgym.partners import pad_replies
from textgym.playing import play, random_act
from textgym.talk import Earned, Hidden, Spell, last_tokens, pay
from textgym.tasks import TASKS, get
from textgym.tasks.wordle import mark
from textgym.tokenizers import WordTokenizer

NAMES = ("GuessNumber", "Wordle", "Dialogue", "Chain")
CASES = [(name, level) for name in NAMES for level in ("easy", "medium", "hard")]


# ---- all of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "level"), CASES)
def test_tasks_are_as_listed(name: str, level: str) -> None:
    task = get(name, level)
    listing = TASKS[name]
    assert (task.name, task.tags, tuple(task.levels)) == (name, listing.tags, listing.levels)
    assert len(task.prompts) <= 2000
    assert task.prompts.has_splits == (name in ("Dialogue", "Chain"))


@pytest.mark.parametrize(("name", "level"), CASES)
def test_random_play_keeps_to_the_rules_and_earns_what_the_facts_say(name: str, level: str) -> None:
    task = get(name, level)
    rows = np.resize(np.arange(len(task.prompts)), max(1500, len(task.prompts)))
    batch, returns = play(random_act(3), factory_of(task), episodes=len(rows), prompt_indices=rows)
    assert not {"illegal", "eos"} & set(batch.stop_reasons)
    assert (batch.success() == (returns >= (1.0 if name == "Chain" else 1e-9))).all()
    error = returns.std() / np.sqrt(len(returns)) + 2e-3
    assert abs(returns.mean() - task.returns("all").random) < 4.5 * error


@pytest.mark.parametrize(("name", "level"), CASES)
def test_demonstrations_are_conversations_in_the_vocabulary(name: str, level: str) -> None:
    task, rng = get(name, level), np.random.default_rng(5)
    texts = [task.demonstrate(prompt, rng) for prompt in task.prompts.prompts[:50] for _ in range(3)]
    ids = [task.tokenizer.encode(text) for text in texts]
    assert all(task.tokenizer.unk_id not in text and len(text) <= task.budget for text in ids)
    assert len(set(texts)) > len(task.prompts.prompts[:50]) / 2


@pytest.mark.parametrize("name", ["Dialogue", "Chain"])
@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_prompts_are_disjoint(name: str, level: str) -> None:
    task = get(name, level)
    texts = {split: {task.prompts.texts[row] for row in task.prompts.rows(split)} for split in ("train", "test")}
    assert all(texts.values())
    assert not texts["train"] & texts["test"]


@pytest.mark.parametrize("name", ["GuessNumber", "Wordle"])
@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_hidden_secrets_do_not_show(name: str, level: str) -> None:
    table = get(name, level).prompts
    assert len(set(table.texts)) == 1
    assert len({prompt.metadata["secret"] for prompt in table.prompts}) == len(table)


@pytest.mark.parametrize(("name", "level"), CASES)
def test_copies_and_pickles_score_alike(name: str, level: str) -> None:
    task = get(name, level)
    batch, returns = play(random_act(1), factory_of(task), episodes=20)
    for copy in (pickle.loads(pickle.dumps(task.reward)), deepcopy(task.reward)):
        assert (copy(batch) == returns).all()
        assert copy == task.reward


@pytest.mark.parametrize("name", NAMES)
def test_a_partner_that_never_ends_is_stopped_by_the_turns(name: str) -> None:
    @dataclass(frozen=True)
    class Deaf:
        max_reply_tokens: int = get(name).partner.max_reply_tokens  # type: ignore[union-attr]

        def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
            return pad_replies([[]] * len(batch), batch.tokenizer.vocab_size)

    task = replace(get(name), make_partner=constant(Deaf()), make_constraints=None)
    env = TextGenerationEnv(task, split="all")
    env.reset(seed=0)
    steps = [env.step(env.eos_id) for _ in range(task.turns)]
    assert [step[2] for step in steps] == [False] * (task.turns - 1) + [True]
    assert (steps[-1][4]["stop_reason"], steps[-1][4]["turns"], steps[-1][1]) == ("length", task.turns, steps[-1][1])


@pytest.mark.parametrize("name", NAMES)
def test_an_over_long_reply_is_an_error(name: str) -> None:
    @dataclass(frozen=True)
    class Chatty:
        max_reply_tokens: int = 1

        def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
            return np.zeros((len(batch), 4), dtype=np.int32)

    env = TextGenerationEnv(replace(get(name), make_partner=constant(Chatty()), make_constraints=None), split="all")
    env.reset(seed=0)
    with pytest.raises(TaskError, match="replied 4 tokens; its max_reply_tokens is 1"):
        env.step(env.eos_id)


def test_prompts_without_the_hidden_column_are_refused() -> None:
    prompts = [Prompt("guess 1 to 7"), Prompt("guess", (), {"secret": 3})]
    env = TextGenerationEnv(get("GuessNumber").override(prompts=prompts))
    env.reset(seed=0)
    with pytest.raises(TaskError, match="prompt 0 has no 'secret'"):
        env.step(0)


# ---- GuessNumber ----------------------------------------------------------------------------------------------------


def test_hints_and_the_price_of_guesses() -> None:
    task = get("GuessNumber")
    batch, paid = converse(task, "2", "7", "6", prompt=5)
    assert batch.dialogue(0) == [
        ("agent", "2"),
        ("partner", "higher"),
        ("agent", "7"),
        ("partner", "lower"),
        ("agent", "6"),  # the last turn has no reply
    ]
    assert (paid, batch.stop_reasons, batch.success().tolist()) == (0.8, ["length"], [True])
    batch, paid = converse(task, "6", prompt=5)
    assert (paid, batch.stop_reasons, batch.completions) == (1.0, ["stop"], ["6 correct"])
    assert converse(task, "1", "2", "3", prompt=5)[1] == 0.0


@pytest.mark.parametrize("level", ["easy", "medium"])
def test_halving_is_what_the_solver_finds(level: str) -> None:
    task = get("GuessNumber", level)
    solution = solve(factory_of(task))
    assert isinstance(solution, ConversationSolution)
    batch, returns = ask_oracle(task, len(task.prompts))
    assert returns.mean() == pytest.approx(solution.optimal_return, abs=1e-12)
    assert task.max_return == pytest.approx(solution.optimal_return, abs=1e-8)
    assert task.random_return == pytest.approx(solution.random_return, abs=1e-8)
    assert returns.max() == 1.0 > solution.optimal_return  # luck with one secret is no foresight
    first = int(batch.ids(0)[0])
    assert solution.q()[first] == pytest.approx(solution.optimal_return)


def test_halving_at_level_hard() -> None:
    task = get("GuessNumber", "hard")
    batch, returns = ask_oracle(task, 100)
    guesses = Counter(batch.num_tokens.tolist())
    assert guesses == {turn: min(2 ** (turn - 1), 100 - 63) for turn in range(1, 8)}
    assert returns.mean() == pytest.approx(1 - 0.05 * (np.mean(list(guesses.elements())) - 1))


# ---- Wordle ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guess", "secret", "marks"),
    [
        ("cat", "cat", "hit hit hit"),
        ("act", "cat", "near near hit"),
        ("tot", "hot", "miss hit hit"),  # the one t is hit, the other is too many
        ("too", "hot", "near hit miss"),
        ("allee", "eagle", "near near miss near hit"),
        ("eerie", "eagle", "hit miss miss miss hit"),
        ("level", "eagle", "near near miss near miss"),
        ("speed", "abide", "miss miss near miss near"),
        ("oozes", "floor", "near near miss miss miss"),
    ],
)
def test_marks_count_repeated_letters(guess: str, secret: str, marks: str) -> None:
    found = mark(*(np.array([[ord(letter) for letter in word]]) for word in (guess, secret)))
    assert " ".join(("hit", "near", "miss")[code] for code in found[0]) == marks


def slow_marks(guess: str, secret: str) -> list[int]:
    """By crossing out letters, as one would with a pencil."""
    left = [s for g, s in zip(guess, secret, strict=True) if g != s]
    marks = []
    for g, s in zip(guess, secret, strict=True):
        marks.append(0 if g == s else 1 if g in left else 2)
        if g != s and g in left:
            left.remove(g)
    return marks


def test_marks_equal_crossing_out() -> None:
    words = ["".join(letters) for letters in product("abc", repeat=4)]
    pairs = list(product(words, words))
    letters = [np.array([[ord(letter) for letter in pair[side]] for pair in pairs]) for side in (0, 1)]
    assert mark(*letters).tolist() == [slow_marks(*pair) for pair in pairs]


def test_a_game_of_wordle() -> None:
    task = get("Wordle")
    secret = task.settings.words.index("hot")
    batch, paid = converse(task, "c a t", "o a t", "h o t", prompt=secret)
    assert batch.completions == ["c a t miss miss hit o a t near miss hit h o t"]
    assert (paid, batch.stop_reasons) == (0.8, ["length"])
    batch, paid = converse(task, "c a t", "h o t", prompt=secret)
    assert (paid, batch.stop_reasons, batch.completions[0][-11:]) == (0.9, ["stop"], "hit hit hit")


def test_only_words_of_the_list_may_be_spelt_at_level_easy() -> None:
    env = TextGenerationEnv(get("Wordle"))
    env.reset(seed=0)
    tokens = np.array(env.task.tokenizer.tokens)
    seen = ["".join(tokens[env.action_masks()])]
    for letter in "tot":
        env.step(int(np.flatnonzero(tokens == letter)[0]))
        seen.append("".join(tokens[env.action_masks()]))
    assert seen == ["achot", "o", "ot", "achot"]


def test_lists_of_words() -> None:
    for level, letters, count in (("easy", 3, 8), ("medium", 4, 60), ("hard", 5, 200)):
        words = get("Wordle", level).settings.words
        assert (len(words), len(set(words)), {len(word) for word in words}) == (count, count, {letters})


def test_exact_wordle() -> None:
    task = get("Wordle")
    solution = solve(factory_of(task))
    _, returns = ask_oracle(task, 8)
    assert returns.mean() == pytest.approx(solution.optimal_return) == pytest.approx(task.max_return)


@pytest.mark.parametrize("level", ["medium", "hard"])
def test_the_oracle_finds_every_word(level: str) -> None:
    task = get("Wordle", level)
    batch, returns = ask_oracle(task, len(task.prompts))
    assert batch.success().all()
    assert returns.mean() == pytest.approx(task.max_return, abs=1e-8)


def test_another_length_of_turns_is_refused() -> None:
    env = TextGenerationEnv(get("Wordle", "hard").override(max_new_tokens=3))
    env.reset(seed=0)
    env.step(0)
    env.step(1)
    with pytest.raises(TaskError, match="a turn of this conversation has 5 letters"):
        env.step(2)


# ---- talk.py --------------------------------------------------------------------------------------------------------


def test_shared_pieces() -> None:
    assert pay(np.array([True, False]), np.array([3, 3]), 0.1).tolist() == [1 - 0.1 * 3, 0.0]
    ids = np.array([[4, 5, 6], [4, 9, 9]], dtype=np.int32)
    assert last_tokens(ids, np.array([3, 1]), 2).tolist() == [[5, 6], [4, 4]]
    batch: Any = np.zeros(3)
    assert Earned(lambda _: np.array([0.0, 0.5, 1.0]))(batch).tolist() == [0.0, 1.0, 1.0]
    assert Earned(lambda _: np.array([0.0, 0.5, 1.0]), at_least=1.0)(batch).tolist() == [0.0, 0.0, 1.0]
    assert pickle.loads(pickle.dumps(Hidden("secret"))) == Hidden("secret")


def test_spelling_in_the_middle_of_a_conversation() -> None:
    tokenizer = WordTokenizer(["a", "b", "c"])
    texts = np.array([[0, 1, 2, 2, 9, 9], [0, 1, 2, 2, 1, 9], [1, 9, 9, 9, 9, 9]], dtype=np.int32)
    mask = Spell(("ab", "ba", "bc"))(tokenizer, texts, np.array([4, 5, 1]))
    assert mask[:, :3].tolist() == [[True, True, False], [True, False, True], [True, False, True]]
    assert not mask[:, 3:].any()


def test_hidden_columns_follow_the_prompts() -> None:
    hidden, rows = Hidden("state"), [3, 1]
    for task in (get("Chain"), get("Chain", "medium"), get("Chain")):
        batch = EpisodeBatch.from_ids(task.prompts, task.tokenizer, rows, [[0], [0]])
        assert hidden(batch).tolist() == [[*task.prompts.prompts[row].metadata["state"]] for row in rows]
