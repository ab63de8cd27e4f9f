"""GEM's interface, with its faults: a class that has both, since gem-llm does not install beside Gymnasium 1.4."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from textgym.errors import ConfigurationError, EpisodeOverError
from textgym.integrations.gem import GemEnv
from textgym.integrations.tokenized import TokenizedEnv
from textgym.tokenizers import CharTokenizer

TURNS = 3


class Guess:
    """The interface of GEM's games, written for these tests: guess a number between 1 and 9 in three turns."""

    def __init__(self) -> None:
        self.reset()

    def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
        if seed is not None:  # as GEM does: for the whole process
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
        self.number = random.randint(1, 9)
        self.turn = 0
        return "Guess.", {"suffix": "Your guess?"}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.turn += 1
        info = {"suffix": "Your guess?"}
        if action == str(self.number):
            return "Right.", 1.0, True, False, info
        if self.turn >= TURNS:  # both flags at once, as GEM's games have it
            return "No turns left.", 0.25, True, True, info
        noise = random.random() + np.random.random()  # noqa: NPY002
        return f"Wrong, {noise:.3f}.", 0.0, False, False, info


class Patient(Guess):
    """Cut off from outside after a turn."""

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        return "Stop.", 0.0, False, True, {}


def lose(env: Any) -> tuple[str, float, bool, bool, dict[str, Any]]:
    """The last step of a game without a right guess."""
    for _ in range(TURNS):
        result = env.step("0")
    return result


def test_the_last_turn_is_one_end_and_not_two() -> None:
    raw = Guess()
    assert lose(raw)[2:4] == (True, True)  # the fault
    env = GemEnv(Guess)
    env.reset(seed=0)
    _, reward, terminated, truncated, info = lose(env)
    assert (reward, terminated, truncated, info["turn_limit"]) == (0.25, True, False, True)


def test_other_ends_stay_what_they_are() -> None:
    env = GemEnv(Guess)
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step(str(env.game.number))
    assert (reward, terminated, truncated, info["turn_limit"]) == (1.0, True, False, False)
    cut = GemEnv(Patient)
    cut.reset(seed=0)
    assert cut.step("1")[2:4] == (False, True)
    with pytest.raises(EpisodeOverError):
        cut.step("1")


def test_the_process_keeps_its_random_numbers() -> None:
    def next_numbers(act: Any) -> tuple[float, float]:
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        act()
        return random.random(), float(np.random.random())  # noqa: NPY002

    untouched = next_numbers(lambda: None)
    assert next_numbers(lambda: Guess().reset(seed=1)) != untouched  # the fault

    def play() -> None:
        env = GemEnv(Guess)
        env.reset(seed=1)
        env.step("0")
        env.reset()

    assert next_numbers(play) == untouched


def test_two_environments_leave_each_other_alone() -> None:
    def story(env: GemEnv, *, beside: GemEnv | None) -> list[str]:
        texts = [env.reset(seed=3)[0]]
        for _ in range(2):
            if beside is not None:
                beside.reset(seed=9)
            texts.append(env.step("0")[0])
        return texts

    assert story(GemEnv(Guess), beside=None) == story(GemEnv(Guess), beside=GemEnv(Guess))


def test_seeds_are_chains() -> None:
    def numbers(seed: int) -> list[int]:
        env = GemEnv(Guess)
        env.reset(seed=seed)
        found = [env.game.number]
        for _ in range(9):
            env.reset()
            found.append(env.game.number)
        return found

    assert numbers(0) == numbers(0)
    assert numbers(0) != numbers(1)
    assert len(set(numbers(0))) > 3


def test_no_step_after_the_end_or_before_the_start() -> None:
    env = GemEnv(Guess)
    with pytest.raises(EpisodeOverError, match="reset"):
        env.step("1")
    env.reset(seed=0)
    lose(env)
    with pytest.raises(EpisodeOverError, match="reset"):
        env.step("1")


def test_an_environment_will_do_and_other_things_will_not() -> None:
    env = GemEnv(Guess())
    assert env.reset(seed=0)[0] == "Guess."
    env.close()
    with pytest.raises(ConfigurationError, match="no reset and no step"):
        GemEnv(object)
    with pytest.raises(ConfigurationError, match="expected a function"):
        GemEnv("game:GuessTheNumber-v0")
    with pytest.raises(ConfigurationError, match="take none"):
        env.reset(options={"level": 1})


def test_its_tokens() -> None:
    env = TokenizedEnv(GemEnv(Guess), CharTokenizer("0123456789"), max_new_tokens=1, unknown="keep")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not having a spec.*")
        check_env(env)
        check_env(env.env)
    env.reset(seed=4)
    _, reward, terminated, truncated, info = env.step(env.env.game.number)
    assert (reward, terminated, truncated, info["stop_reason"]) == (1.0, True, False, "stop")
    assert (info["utterance_end"], info["suffix"]) == ("length", "Your guess?")
