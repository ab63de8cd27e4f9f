"""Diagnostics: scores by hand, secrets, prompts as promised, and easy levels solved exactly."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from textgym import tasks
from textgym.audit import audit
from textgym.diagnostics import (
    Begins,
    Complete,
    Decoyed,
    GuessSome,
    Noisy,
    Scaled,
    letters,
    name_generator,
    secret_prompts,
)
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError, TaskError, UnknownNameError
from textgym.exact import solve
from textgym.prompts import PromptTable
from textgym.task import Task
from textgym.tasks.proxy import draw_tastes
from textgym.tokenizers import WordTokenizer

NAMES = ("Needle", "Delay", "Recall", "Noise", "Scale", "Vocabulary", "Distract", "Horizon", "Proxy")
LEVELS = ("easy", "medium", "hard")
every_task = pytest.mark.parametrize("name", NAMES)
every_level = pytest.mark.parametrize(("name", "level"), [(name, level) for name in NAMES for level in LEVELS])

TOKENIZER = WordTokenizer(letters(4))
TABLE = PromptTable([Prompt("a", ("b c", "d")), Prompt("b", ("c a",))], TOKENIZER)
EOS = TOKENIZER.eos_ids[0]
A, B, C, D = range(4)


def texts(*completions: list[int], prompt: int = 0) -> EpisodeBatch:
    """Completions of one prompt of the table."""
    return EpisodeBatch.from_ids(TABLE, TOKENIZER, [prompt] * len(completions), completions, max_new_tokens=3)


def written(task: Task, answers: list[str], rows: list[int]) -> EpisodeBatch:
    """Texts for prompts of a task."""
    ids = [task.encode_completion(text) for text in answers]
    return EpisodeBatch.from_ids(
        task.prompts, task.tokenizer, rows, ids, max_new_tokens=task.budget, gold=task.gold, success=task.success
    )


# ---- scores by hand -----------------------------------------------------------------------------------------------


def test_begins_wants_the_first_token_of_a_reference_and_enough_tokens() -> None:
    batch = texts([B, EOS], [B, A, A], [B, A, EOS], [D, C, C], [C, B, B], [EOS], [])
    assert Begins(3)(batch).tolist() == [0, 1, 1, 1, 0, 0, 0]
    assert Begins()(batch).tolist() == [1, 1, 1, 1, 0, 0, 0]
    assert Begins()(texts([C], [B], prompt=1)).tolist() == [1, 0]  # one reference is filled up, with what nobody writes


def test_decoys_fall_on_the_way_to_the_needle() -> None:
    batch = texts([A, A, A], [B, A, A], [B, C, A], [B, C, EOS], [EOS])
    assert Decoyed(0.3)(batch) == pytest.approx([0.3, 0.2, 0.1, 1.0, 0.3])
    assert Complete()(batch).tolist() == [0, 0, 0, 1, 0]
    assert Complete(enough=0.6)(batch).tolist() == [0, 0, 1, 1, 0]


def test_noise_is_a_coin_of_the_episode_and_falls_out_of_the_mean() -> None:
    count = 4000
    batch = texts(*[[B, C, EOS]] * count)
    rewards = Noisy(2.0)(batch)
    assert set(rewards.tolist()) == {-1.0, 3.0}
    assert rewards.mean() == pytest.approx(1.0, abs=4 * 2.0 / np.sqrt(count))
    assert Noisy(2.0)(batch.take([7])) == rewards[7]
    low, high = Noisy(2.0).outcomes(batch.take([0]))
    assert (low[0], low[1].tolist(), high[0], high[1].tolist()) == (0.5, [-1.0], 0.5, [3.0])
    assert Noisy(2.0).range == (-2.0, 3.0)


def test_scaled_multiplies() -> None:
    batch = texts([B, A, A], [B, C, EOS])
    assert Scaled(30.0)(batch) == pytest.approx([10.0, 30.0])
    assert Scaled(30.0).range == (0.0, 30.0)


@pytest.mark.parametrize("score", [Begins(2), Decoyed(0.1), Noisy(1.0), Scaled(2.0), Complete(Begins(2))])
def test_scores_survive_pickle_and_deepcopy_with_full_caches(score: Any) -> None:
    batch = texts([B, C, EOS], [A])
    scores = score(batch).tolist()
    assert pickle.loads(pickle.dumps(score))(batch).tolist() == scores
    assert copy.deepcopy(score)(batch).tolist() == scores
    fresh, other = pickle.loads(pickle.dumps(score)), PromptTable([Prompt("a", ("a",))], TOKENIZER)
    elsewhere = EpisodeBatch.from_ids(other, TOKENIZER, [0], [[A, EOS]])
    assert score(elsewhere) == fresh(elsewhere)


@pytest.mark.parametrize(
    ("name", "answer", "reward"),
    [
        ("Recall", "{0}", 1.0),
        ("Recall", "{0} {1}", 0.5),
        ("Distract", "z", 0.0),
        ("Horizon", "b c d", 1.0),
        ("Horizon", "b c", 0.5),
        ("Horizon", "b c a", 0.5),
        ("Horizon", "", 0.0),
        ("Needle", "", 0.1),
        ("Vocabulary", "", 0.0),
        ("Delay", "a a a a", 0.0),
    ],
)
def test_examples_of_the_pages(name: str, answer: str, reward: float) -> None:
    task = tasks.get(name)
    batch = written(task, [answer.format(*task.prompts.texts[0].split())], [0])
    assert task.reward(batch)[0] == pytest.approx(reward)


# ---- what all of them promise -------------------------------------------------------------------------------------


@every_level
def test_the_oracle_earns_the_best_on_every_prompt(name: str, level: str) -> None:
    task = tasks.get(name, level)
    rows = list(range(min(len(task.prompts), 64)))
    batch = written(task, [task.best_text(task.prompts.prompts[row]) for row in rows], rows)
    score = task.reward if task.gold is None else task.gold
    assert score(batch).tolist() == [1.0] * len(rows)
    solved = batch.success()
    assert solved is not None
    assert solved.all()


@every_level
def test_demonstrations_are_of_mixed_quality(name: str, level: str) -> None:
    task, rng = tasks.get(name, level), np.random.default_rng(0)
    rows = np.resize(np.arange(len(task.prompts)), 60).tolist()
    batch = written(task, [task.demonstrate(task.prompts.prompts[row], rng) for row in rows], rows)
    score = task.reward if task.gold is None else task.gold
    assert len(set(score(batch).tolist())) > 1
    assert not np.isin(batch.completion_ids, sorted(task.tokenizer.special_ids)).any()


@every_task
def test_easy_levels_are_solved_exactly_as_the_facts_say(name: str) -> None:
    task = tasks.get(name)
    for kind in ("reward", "gold") if task.gold is not None else ("reward",):
        split = task.default_split
        found, known = solve(f"TextGen/{name}-v0", kind=kind, engine="tree").returns, task.returns(split, kind)
        assert known.exact
        for number in ("random", "blind", "best"):
            assert getattr(known, number) == pytest.approx(getattr(found, number), abs=1e-8)


@every_task
def test_easy_levels_leave_room_above_blind_and_degenerate_writers(name: str) -> None:
    found = audit(f"TextGen/{name}-v0")
    assert not found.oracle_beaten
    assert not found.is_too_easy
    assert found.floor <= 0.5
    assert bool(found.hacks) == (name == "Proxy")


# ---- prompts and secrets ------------------------------------------------------------------------------------------


def test_answers_of_secret_prompts_begin_with_different_words() -> None:
    words = letters(8)
    prompts = secret_prompts(words, name_generator("test"), prompts=3, length=2, answers=2)
    assert [prompt.text for prompt in prompts] == ["a", "b", "c"]
    answers = [answer.split(" ") for prompt in prompts for answer in prompt.references]
    assert len({answer[0] for answer in answers}) == len(answers) == 6
    assert {word for answer in answers for word in answer} <= set(words)
    assert all(len(answer) == 2 for answer in answers)
    assert prompts == secret_prompts(words, name_generator("test"), prompts=3, length=2, answers=2)
    assert prompts != secret_prompts(words, name_generator("another"), prompts=3, length=2, answers=2)


def test_too_few_words_for_so_many_answers_is_an_error() -> None:
    with pytest.raises(TaskError, match="6 answers that begin with different words, but only 5 words"):
        secret_prompts(letters(5), name_generator("test"), prompts=3, answers=2)


def test_every_fourth_word_of_a_demonstration_is_a_guess() -> None:
    answer = " ".join(["x"] * 4000)
    guessed = GuessSome(letters(4))(Prompt("a", (answer,)), np.random.default_rng(0)).split(" ")
    assert len(guessed) == 4000
    assert set(guessed) == {"x", *letters(4)}
    assert guessed.count("x") == pytest.approx(3000, abs=120)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["Recall", "Distract"])
def test_prompts_with_splits_are_as_promised(name: str, level: str) -> None:
    task = tasks.get(name, level)
    settings, prompts = task.settings, task.prompts.prompts
    train, test = ({p.text for p in prompts if p.split == split} for split in ("train", "test"))
    assert not train & test
    assert (len(train), len(test)) == (settings.prompts * 3 // 4, settings.prompts // 4)
    for prompt in prompts:
        row = prompt.text.split(" ")
        assert len(row) == settings.length
        if name == "Recall":
            assert prompt.references == (" ".join(row[: settings.cue]),)
        else:
            assert [word for word in row if word in settings.words[: settings.matter]] == list(prompt.references)


def test_a_vocabulary_holds_the_words_of_its_level_and_two_good_ones_a_prompt() -> None:
    for level, size in zip(LEVELS, (8, 256, 4096), strict=True):
        task = tasks.get("Vocabulary", level)
        assert task.tokenizer.vocab_size == size + 2  # with the end and the unknown word
        batch = written(task, list(task.settings.words), [1] * size)
        assert task.reward(batch).sum() == 2.0


def test_only_the_reward_differs_between_levels_of_noise_and_scale() -> None:
    for name in ("Noise", "Scale"):
        easy, *others = (tasks.get(name, level) for level in LEVELS)
        assert all(task.prompts.prompts == easy.prompts.prompts for task in others)
        assert all(task.budget == easy.budget == 3 for task in others)
    assert [tasks.get("Noise", level).settings.noise for level in LEVELS] == [0.1, 1.0, 10.0]
    assert [tasks.get("Scale", level).max_return for level in LEVELS] == [1.0, 1000.0, 0.001]


def test_the_expected_reward_of_noise_is_its_gold() -> None:
    for level in LEVELS:
        rewards, golds = (solve("TextGen/Noise-v0", level=level, kind=kind).returns for kind in ("reward", "gold"))
        assert (rewards.random, rewards.best) == pytest.approx((golds.random, golds.best))


def test_noise_is_not_paid_by_step() -> None:
    with pytest.raises(ConfigurationError, match="noisy scores do not add up"):
        gym.make("TextGen/Noise-v0", reward_timing="step")


# ---- Proxy --------------------------------------------------------------------------------------------------------


def gold_at_the_optimum(level: str) -> float:
    task = tasks.get("Proxy", level)
    solution = solve(task)
    batch = EpisodeBatch.from_ids(
        task.prompts, task.tokenizer, range(4), [solution.optimal_ids(row) for row in range(4)], gold=task.gold
    )
    golds = batch.gold()
    assert golds is not None
    return float(golds.mean())


def test_fewer_pairs_leave_less_gold_at_the_optimum_of_the_reward() -> None:
    assert [round(gold_at_the_optimum(level), 2) for level in LEVELS] == [0.99, 0.57, 0.28]


def test_tastes_are_those_of_neighbours() -> None:
    task = tasks.get("Proxy")
    tastes, edge = draw_tastes(task.settings), 6
    batch = written(task, ["a c", "f", "", "b b b b"], [2, 2, 2, 2])
    worths = tastes.worths[2].tolist()
    sums = [
        worths[edge][0] + worths[0][2] + worths[2][edge],
        worths[edge][5] + worths[5][edge],
        0.0,
        worths[edge][1] + 3 * worths[1][1] + worths[1][edge],
    ]
    low, high = float(tastes.lowest[2]), float(tastes.highest[2])
    golds = batch.gold()
    assert golds is not None
    assert golds == pytest.approx([min(max((value - low) / (high - low), 0.0), 1.0) for value in sums])


def test_the_reward_of_random_texts_is_standardised_and_bound_to_its_vocabulary() -> None:
    task = tasks.get("Proxy")
    assert task.returns().random == pytest.approx(0.0, abs=0.3)
    assert pickle.loads(pickle.dumps(task.reward)) == task.reward
    with pytest.raises(ConfigurationError):
        gym.make("TextGen/Proxy-v0", tokenizer="char")


def test_an_unknown_level_is_an_error_that_names_the_others() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'easy'. Known: easy, hard, medium"):
        tasks.get("Horizon", "eazy")
