"""A task whose parts cannot be what they are meant to be says so, in words about the task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from textgym import tasks
from textgym.constraints import Grammar, Lexicon, MinLength
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import PromptError, RewardError, TaskError, UnknownNameError
from textgym.task import Task
from textgym.tokenizers import WordTokenizer

WORDS = WordTokenizer(["a", "b"])


@dataclass
class Rule:
    """A rule that returns this mask."""

    mask: Any
    static: Any = False

    def __call__(self, *text: Any) -> Any:
        return self.mask


@dataclass
class Answers:
    """A partner that returns these replies."""

    replies: Any
    max_reply_tokens: Any = 1

    def __call__(self, batch: EpisodeBatch) -> Any:
        return self.replies


def make(**changes: Any) -> Task:
    fields: dict[str, Any] = {
        "name": "Own",
        "summary": "Write.",
        "levels": {"easy": None},
        "level": "easy",
        "make_prompts": lambda level: [Prompt("a b")],
        "make_tokenizer": lambda level: WORDS,
        "make_reward": lambda level: lambda batch: np.zeros(len(batch)),
        "max_new_tokens": lambda level: 2,
    }
    return Task(**{**fields, **changes})


def play(task: Task) -> tuple[int, str]:
    """Writes one token until the end; the number of steps and the stop reason."""
    env = gym.make("TextGen-v0", task=task)
    env.reset(seed=0)
    for steps in range(1, 100):
        *_, ended, _, info = env.step(0)
        if ended:
            return steps, info["stop_reason"]
    raise AssertionError("it never ends")


def test_the_task_of_these_tests_is_fine() -> None:
    assert play(make()) == (2, "length")
    assert play(make(make_constraints=lambda level: [Lexicon(("a",))])) == (2, "length")


@pytest.mark.parametrize("vector", [False, True])
def test_a_partner_that_never_ends_is_cut_off_by_the_turns(vector: bool) -> None:
    task = make(make_partner=lambda level: Answers([[1]]), max_turns=lambda level: 3)
    if not vector:
        assert play(task) == (6, "length")
        return
    envs = gym.make_vec("TextGen-v0", num_envs=1, task=task)
    envs.reset(seed=0)
    ended = [bool(envs.step(np.zeros(1, dtype=int))[2][0]) for _ in range(6)]
    assert ended == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_new_tokens": 3}, r"Own: max_new_tokens=3; expected a function .* max_new_tokens=lambda level: 3"),
        ({"make_reward": "exact_match"}, "make_reward='exact_match'; expected a function of the level's settings"),
        ({"max_new_tokens": lambda level: 0}, "max_new_tokens of the task Own gave 0; expected a whole number"),
        ({"max_new_tokens": lambda level: "3"}, "gave '3'; expected a whole number"),
        ({"make_tokenizer": lambda level: "word"}, "make_tokenizer of the task Own gave 'word'; expected a tokenizer"),
        ({"make_reward": lambda level: None}, "make_reward of the task Own gave None; expected a function of a batch"),
        ({"make_constraints": lambda level: None}, "make_constraints .* gave None; expected a tuple of rules"),
        ({"make_constraints": lambda level: Lexicon(("a",))}, "expected a tuple of rules"),
        ({"make_constraints": lambda level: (len,)}, "an attribute 'static', True or False"),
        ({"make_constraints": lambda level: (Rule(np.ones(3, dtype=bool), static=True),)}, r"gave shape \(3,\)"),
        ({"make_constraints": lambda level: (Rule(np.ones((1, 3), dtype=bool)),)}, r"expected a mask .* \(1, 4\)"),
        ({"make_constraints": lambda level: (Rule(np.ones((1, 4), dtype=int)),)}, "of type int64; expected a mask"),
        ({"make_constraints": lambda level: (Rule(None),)}, "gave None; expected a mask"),
        ({"make_stop": lambda level: lambda ids, lengths: True}, "stop rule gave True for 1 texts; expected an array"),
        ({"make_partner": lambda level: Answers([[1]])}, "has make_partner and no max_turns"),
        ({"max_turns": lambda level: 2}, "has max_turns and no make_partner"),
    ],
)
def test_parts_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        play(make(**changes))


@pytest.mark.parametrize(
    ("partner", "turns", "message"),
    [
        (
            len,
            2,
            "make_partner of the task Own gave .* expected a callable with max_reply_tokens",
        ),
        (Answers([[1]], max_reply_tokens=-1), 2, "expected a callable with max_reply_tokens"),
        (Answers([[1], [1, 1]]), 2, "returned rows of different lengths; textgym.partners.pad_replies"),
        (Answers([[1]]), 0, "max_turns of the task Own gave 0"),
    ],
)
def test_partners_that_cannot_be(partner: Any, turns: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        play(make(make_partner=lambda level: partner, max_turns=lambda level: turns))


def test_levels_are_checked_when_the_task_is_made() -> None:
    with pytest.raises(UnknownNameError, match="unknown level of the task Own 'easi'. Did you mean 'easy'"):
        make(level="easi")
    with pytest.raises(UnknownNameError, match="unknown level"):
        make(levels={})


def test_prompts_are_prompts() -> None:
    with pytest.raises(PromptError, match="prompt 1 of the task is 'b'; expected a textgym.episodes.Prompt"):
        play(make(make_prompts=lambda level: [Prompt("a"), "b"]))
    with pytest.raises(PromptError, match="the prompt 5: expected a text"):
        Prompt(5)  # type: ignore[arg-type]
    with pytest.raises(PromptError, match=r"references='red': expected a tuple of texts, \('red',\)"):
        Prompt("a", references="red")  # type: ignore[arg-type]


def test_a_reward_of_one_text_in_the_place_of_one_of_a_batch() -> None:
    with pytest.raises(RewardError, match=r"shape \(\) for 1 texts; expected \(1,\); textgym.rewards.PerText makes"):
        play(make(make_reward=lambda level: lambda completion: 1.0))


def test_rules_with_slips() -> None:
    with pytest.raises(TaskError, match=r"the grammar's end 'ovr' .* Did you mean 'over'"):
        Grammar("noun", {"noun": {"a": "over"}, "over": {"b": "over"}}, ends=("ovr",))
    with pytest.raises(TaskError, match=r"MinLength\(-1\): expected 0 tokens or more"):
        MinLength(-1)


def test_prompts_without_what_a_conversation_hides() -> None:
    task = tasks.get("GuessNumber").override(prompts=[Prompt("guess")])
    with pytest.raises(TaskError, match="the prompts have no column 'secret'.*give each prompt one"):
        play(replace(task, max_turns=lambda level: 3))
