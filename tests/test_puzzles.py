"""The puzzles: scoring by hand, prompts as promised, and an oracle that earns everything."""

from __future__ import annotations

import itertools
import pickle
import re
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from textgym import tasks
from textgym.audit import audit
from textgym.constraints import Grammar, Lexicon
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import TaskError
from textgym.exact import TreeSolution, solve
from textgym.factory import EnvFactory
from textgym.nesting import find_open
from textgym.prompts import PromptTable
from textgym.puzzles import Answer, Rows, Solved, careless, draw_prompts, row_puzzle
from textgym.task import Task
from textgym.tasks.adding import TASK as ADD
from textgym.tasks.spelling import WORDS
from textgym.tokenizers import WordTokenizer

NAMES = ("Copy", "Reverse", "Sort", "Add", "Brackets", "Spell")
ROWS = ("Copy", "Reverse", "Sort")
LEVELS = ("easy", "medium", "hard")
EVERY = [(name, level) for name in NAMES for level in LEVELS]


def check_answer(name: str, prompt: str, answer: str) -> bool:
    """Whether the answer is right, by other means than the tasks'."""
    shown, said = prompt.split(), answer.split()
    match name:
        case "Copy":
            return prompt.swapcase() == answer
        case "Reverse":
            return all(shown[-1 - place] == letter for place, letter in enumerate(said)) and len(shown) == len(said)
        case "Sort":
            in_order = all(one <= other for one, other in itertools.pairwise(said))
            return in_order and all(shown.count(letter) == said.count(letter) for letter in {*shown, *said})
        case "Add":
            one, other = "".join(shown).split("+")
            numbers = [one, other, "".join(said)]
            return int(one) + int(other) == int(numbers[2]) and all(number == str(int(number)) for number in numbers)
        case "Brackets":
            row = prompt + answer
            for _ in range(len(row)):
                row = re.sub(r"\(\)|\[\]|\{\}|<>", "", row)
            return not row and set(answer) <= set(")]}>")
    assert shown[0] == "spell"
    return "".join(reversed(said) if shown[2:] == ["backwards"] else said) == shown[1]


def texts_of(task: Task, texts: list[str]) -> EpisodeBatch:
    """One text to each prompt, with its end."""
    ids = [task.encode_completion(text) for text in texts]
    return EpisodeBatch.from_ids(task.prompts, task.tokenizer, range(len(ids)), ids, max_new_tokens=task.budget)


def earn(task: Task, prompt: str, text: str, *, end: bool = True) -> float:
    """What one text earns."""
    ids = task.encode_completion(text)
    row = [task.prompts.index_of(prompt)]
    batch = EpisodeBatch.from_ids(task.prompts, task.tokenizer, row, [ids if end else task.tokenizer.encode(text)])
    assert task.success is not None
    reward = float(task.reward(batch)[0])
    assert bool(task.success(batch)[0]) == (reward == 1.0)
    return reward


# ---- what the puzzles share ----------------------------------------------------------------------------------------

WORD = WordTokenizer(["a", "b", "c"])
TABLE = PromptTable([Prompt("a", ("a b",)), Prompt("b", ("c",))], WORD)
END, UNKNOWN = WORD.eos_ids[0], WORD.unk_id


@pytest.mark.parametrize(
    ("row", "ids", "expected"),
    [
        (0, [0, 1, END], 1.0),
        (0, [0, 1], 2 / 3),
        (0, [0, END], 1 / 3),
        (0, [END], 0.0),
        (0, [], 0.0),
        (0, [1, 1, END], 0.0),  # the second is right, but not from the beginning on
        (0, [0, 2, END], 1 / 3),
        (0, [0, 1, 1, END], 2 / 3),
        (0, [0, UNKNOWN], 1 / 3),
        (1, [2, END], 1.0),
        (1, [2, 2, END], 1 / 2),
        (1, [END], 0.0),
    ],
)
def test_answer_pays_for_the_right_beginning(row: int, ids: list[int], expected: float) -> None:
    batch = EpisodeBatch.from_ids(TABLE, WORD, [row], [ids])
    assert Answer()(batch).tolist() == [expected]
    assert Solved()(batch).tolist() == [float(expected == 1.0)]


def test_answer_scores_a_text_alone_as_among_others_and_follows_its_table() -> None:
    reward = Answer()
    texts = [[0, 1, END], [2, END], [0], [], [1, 0, END]]
    rows = [0, 1, 0, 1, 0]
    together = reward(EpisodeBatch.from_ids(TABLE, WORD, rows, texts, max_new_tokens=5))
    alone = [reward(EpisodeBatch.from_ids(TABLE, WORD, [row], [ids]))[0] for row, ids in zip(rows, texts, strict=True)]
    assert together.tolist() == alone == [1.0, 1.0, 1 / 3, 0.0, 0.0]
    other = PromptTable([Prompt("a", ("b",))], WORD)
    assert reward(EpisodeBatch.from_ids(other, WORD, [0], [[1, END]])).tolist() == [1.0]
    assert pickle.loads(pickle.dumps(reward)) == reward


def draw_number(rng: np.random.Generator) -> Prompt:
    return Prompt(str(rng.integers(10)))


def test_drawn_prompts_differ_and_a_quarter_is_held_out() -> None:
    prompts = draw_prompts(draw_number, count=8, seed=("one", 1))
    assert len({prompt.text for prompt in prompts}) == 8
    assert [prompt.split for prompt in prompts] == ["train"] * 6 + ["test"] * 2
    assert prompts == draw_prompts(draw_number, count=8, seed=("one", 1))
    assert prompts != draw_prompts(draw_number, count=8, seed=("one", 2))


def test_more_prompts_than_there_are_is_an_error() -> None:
    with pytest.raises(TaskError, match="only 10 different prompts were found for .*, where 11 were asked for"):
        draw_prompts(draw_number, count=11, seed=("one",))


def test_demonstrations_are_of_mixed_quality_and_stay_within_the_answer() -> None:
    write, rng = careless(None), np.random.default_rng(0)
    said = [write(Prompt("", ("a b c d",)), rng) for _ in range(400)]
    assert 0.4 < said.count("a b c d") / 400 < 0.65  # half, and slips that undo each other
    assert {"b a c d", "a b d", "a a b c", "d b c a"} <= set(said)
    assert all(set(text.split()) <= {"a", "b", "c", "d"} and 1 <= len(text.split()) <= 4 for text in said)


def test_a_puzzle_of_ones_own_takes_a_few_lines() -> None:
    task = row_puzzle("Mine", sorted, [Rows("tiny", 2, 1, 2, 6)], summary="Sort.", skill="sorting")
    assert (task.level, task.tags, task.budget) == ("tiny", ("puzzle", "sorting"), 3)
    with pytest.raises(TaskError, match="no facts ship for the task Mine at level 'tiny'"):
        _ = task.facts


# ---- the puzzles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "prompt", "text", "expected"),
    [
        ("Copy", "C A B", "c a b", 1.0),
        ("Copy", "C A B", "c a", 1 / 2),
        ("Copy", "C A B", "c a a", 1 / 2),
        ("Copy", "C A B", "b a c", 0.0),
        ("Reverse", "a b c", "c b a", 1.0),
        ("Reverse", "a b c", "c b", 1 / 2),
        ("Reverse", "a b c", "a b c", 0.0),
        ("Sort", "c a a", "a a c", 1.0),
        ("Sort", "c a a", "a a", 1 / 2),
        ("Sort", "c a a", "c a a", 0.0),
        ("Add", "6 + 5", "1 1", 1.0),
        ("Add", "6 + 5", "1", 1 / 3),
        ("Add", "6 + 5", "1 0", 1 / 3),
        ("Add", "6 + 5", "6", 0.0),
        ("Brackets", "([", "])", 1.0),
        ("Brackets", "([", "()])", 1.0),
        ("Brackets", "([", "]]", 1 / 3),
        ("Brackets", "([", ")]", 0.0),
        ("Spell", "spell tea backwards", "a e t", 1.0),
        ("Spell", "spell tea backwards", "a e", 1 / 2),
        ("Spell", "spell tea backwards", "t e a", 0.0),
        ("Spell", "spell tea", "t e a", 1.0),
    ],
)
def test_what_the_pages_say_a_text_earns(name: str, prompt: str, text: str, expected: float) -> None:
    assert earn(tasks.get(name, "easy"), prompt, text) == expected


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_the_answers_are_right_and_earn_everything(name: str, level: str) -> None:
    task = tasks.get(name, level)
    answers = [task.best_text(prompt) for prompt in task.prompts.prompts]
    wrong = [
        text for text, answer in zip(task.prompts.texts, answers, strict=True) if not check_answer(name, text, answer)
    ]
    assert wrong == []
    batch = texts_of(task, answers)
    assert (batch.lengths <= task.budget).all()
    assert (task.reward(batch) == 1.0).all()
    assert task.success is not None
    assert task.success(batch).all()


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_no_answer_is_paid_without_its_end(name: str, level: str) -> None:
    task = tasks.get(name, level)
    ids = [task.tokenizer.encode(task.best_text(prompt)) for prompt in task.prompts.prompts]
    unended = EpisodeBatch.from_ids(task.prompts, task.tokenizer, range(len(ids)), ids)
    assert (task.reward(unended) == [len(row) / (len(row) + 1) for row in ids]).all()


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_prompts_are_split_as_the_page_says(name: str, level: str) -> None:
    task = tasks.get(name, level)
    splits = [set(np.array(task.prompts.texts)[task.prompts.rows(split)]) for split in ("train", "test")]
    assert not splits[0] & splits[1]
    assert len(splits[1]) * 3 == len(splits[0])
    page = import_module(tasks.TASKS[name].module).__doc__
    (row,) = re.findall(rf"^{level} .*", page, flags=re.MULTILINE)
    *_, tokens, prompts = row.split()
    assert (int(tokens), int(prompts.replace(",", ""))) == (task.budget, len(task.prompts)), row


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_nothing_in_a_prompt_is_unknown(name: str, level: str) -> None:
    task = tasks.get(name, level)
    assert not (task.prompts.ids == task.tokenizer.unk_id).any()
    assert all(task.tokenizer.unk_id not in task.tokenizer.encode(text) for (text,) in task.prompts.references)


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_demonstrations_are_better_than_chance_and_worse_than_the_oracle(name: str, level: str) -> None:
    task, rng = tasks.get(name, level), np.random.default_rng(1)
    said = [task.demonstrate(prompt, rng) for prompt in task.prompts.prompts[:200]]
    assert task.returns("all").random + 0.2 < task.reward(texts_of(task, said)).mean() < 1.0


@pytest.mark.parametrize("name", NAMES)
def test_stated_facts_of_the_easy_level_are_the_exact_ones(name: str) -> None:
    task = tasks.get(name, "easy")
    solution = solve(EnvFactory(f"TextGen/{name}-v0", {"split": "test"}), engine="tree")
    assert isinstance(solution, TreeSolution)
    stated, found = task.returns("test"), solution.returns
    assert stated.inexact == ()
    assert [stated.random, stated.blind, stated.best] == pytest.approx(
        [found.random, found.blind, found.best], abs=1e-8
    )
    assert stated.best == 1.0


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_what_can_be_earned_is_all_and_no_fixed_text_earns_it(name: str, level: str) -> None:
    task = tasks.get(name, level)
    for split in ("train", "test", "all"):
        returns = task.returns(split)
        assert 0.0 < returns.random < returns.blind < 0.6
        assert (returns.best, returns.is_exact("best")) == (1.0, True)


# ---- one by one ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ROWS)
def test_rows_are_as_long_as_the_level_says(name: str, level: str) -> None:
    task = tasks.get(name, level)
    rows: Rows = task.settings
    lengths = {len(text.split()) for text in task.prompts.texts}
    assert lengths == {*range(rows.shortest, rows.longest + 1)}
    shown = [letter.upper() for letter in rows.alphabet] if name == "Copy" else rows.alphabet
    assert {letter for text in task.prompts.texts for letter in text.split()} == {*shown}
    assert task.constraints == (Lexicon(rows.alphabet),)
    assert task.tokenizer.tokens[: rows.letters] == rows.alphabet


@pytest.mark.parametrize("name", NAMES)
def test_no_degenerate_writer_comes_near_the_best(name: str) -> None:
    found = audit(EnvFactory(f"TextGen/{name}-v0"))
    assert found.floor < 0.5
    assert not found.oracle_beaten
    assert not found.is_too_easy


def operands(level: str) -> list[tuple[str, str]]:
    return [tuple(text.replace(" ", "").split("+")) for text in tasks.get("Add", level).prompts.texts]


@pytest.mark.parametrize(("level", "lengths"), [("easy", {1}), ("medium", {1, 2}), ("hard", {4, 5, 6})])
def test_sums_have_numbers_of_the_stated_size_and_carries(level: str, lengths: set[int]) -> None:
    pairs = operands(level)
    assert {len(number) for pair in pairs for number in pair} == lengths
    carries = [sum(int(number[-1]) for number in pair) > 9 for pair in pairs]
    assert 0.1 < np.mean(carries) < 0.7
    longest = max(len(reference.split()) for (reference,) in ADD.at(level).prompts.references)
    assert longest == ADD.at(level).budget - 1


@pytest.mark.parametrize("level", LEVELS)
def test_brackets_are_as_deep_as_the_level_says(level: str) -> None:
    task = tasks.get("Brackets", level)
    setting: Any = task.settings
    texts = task.prompts.texts
    most = [max(len(find_open(text[: place + 1])) for place in range(len(text))) for text in texts]
    assert max(most) == setting.deepest
    assert all(find_open(text) for text in texts)
    assert (min(map(len, texts)), max(map(len, texts))) == (setting.shortest, setting.longest)
    assert {letter for text in texts for letter in text} == {letter for pair in setting.pairs for letter in pair}
    assert [type(rule) for rule in task.constraints] == ([] if level == "hard" else [Grammar])


def test_brackets_can_be_closed_by_a_detour_of_one_pair() -> None:
    for level in LEVELS:
        task = tasks.get("Brackets", level)
        detours = ["()" + task.best_text(prompt) for prompt in task.prompts.prompts]
        assert (task.reward(texts_of(task, detours)) == 1.0).all()


def test_no_mask_at_level_hard_leaves_wrong_kinds_legal() -> None:
    env = EnvFactory("TextGen/Brackets-v0", {"level": "hard"}).single()
    env.reset(seed=0)
    env.step(0)
    assert env.unwrapped.action_masks()[: len("()[]{}<>")].all()
    easy = EnvFactory("TextGen/Brackets-v0", {"level": "easy"}).single()
    easy.reset(seed=0)
    easy.step(0)  # "(", which only ")" may close
    assert easy.unwrapped.action_masks().tolist()[:5] == [True, True, True, False, False]


def test_words_are_different_and_can_be_written() -> None:
    assert len(WORDS) == len(set(WORDS)) == 200
    assert all(word.isascii() and word.isalpha() and word.islower() for word in WORDS)


@pytest.mark.parametrize(("level", "words"), [("easy", 12), ("medium", 80), ("hard", 200)])
def test_every_word_is_known_from_training(level: str, words: int) -> None:
    task = tasks.get("Spell", level)
    known = [{task.prompts.texts[row].split()[1] for row in task.prompts.rows(split)} for split in ("train", "test")]
    assert len(known[0]) == words
    assert known[1] < known[0]
    held_out = [task.prompts.texts[row].endswith("backwards") for row in task.prompts.rows("test")]
    assert np.mean(held_out) == 0.5
