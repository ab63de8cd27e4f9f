"""Pictures of texts: what is shown, and that no text can drive the terminal."""

from __future__ import annotations

import re
from itertools import pairwise

import gymnasium as gym
import pytest
from toys import EOS, PLAIN, A, B, toy

from textgym.env import TextGenerationEnv
from textgym.rendering import ansi, use_colour
from textgym.tokenizers import CharTokenizer
from textgym.vector_env import TextGenerationVectorEnv

COLOUR = re.compile(r"\x1b\[\d+m")


@pytest.fixture(autouse=True)
def _colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_colour_is_all_that_colour_adds() -> None:
    plain, coloured = (
        ansi("pan it", ["was", "bad"], stop_reason="eos", reward=-1.5, colour=colour) for colour in (False, True)
    )
    assert plain == "pan it > was bad  [eos, reward -1.500]"
    assert COLOUR.sub("", coloured) == plain
    assert coloured != plain
    assert coloured.count("\x1b[0m") == 4


def test_neighbours_differ_in_colour() -> None:
    colours = re.findall(r"\x1b\[(3\d)m", ansi("", ["x"] * 12, colour=True))
    assert all(one != other for one, other in pairwise(colours))


def test_colour_can_be_switched_off_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert use_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not use_colour()
    assert ansi("p", ["a"]) == "p > a"


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("text", ["\x1b[2J", "\x07", "a\nb", "\r", "\x9b31m", "\u202e", "\udc80"])
def test_control_characters_are_shown_and_not_obeyed(text: str, colour: bool) -> None:
    for line in (ansi("p", [text], colour=colour), ansi(text, ["a"], colour=colour)):
        left = COLOUR.sub("", line)
        assert left.isprintable()
        assert repr(text)[1:-1] in left


def test_a_reward_that_is_not_known_counts_as_nothing() -> None:
    assert ansi("p", [], stop_reason="length", colour=False) == "p >  [length, reward +0.000]"


def test_ansi_environments_return_a_line() -> None:
    env = TextGenerationEnv(PLAIN, render_mode="ansi")
    env.reset(options={"prompt_index": 0})
    assert COLOUR.sub("", env.render()) == "praise the movie >"
    env.step(A)
    assert COLOUR.sub("", env.render()) == "praise the movie > a"
    reward = env.step(EOS)[1]
    assert COLOUR.sub("", env.render()) == f"praise the movie > a <eos>  [eos, reward {reward:+.3f}]"
    assert TextGenerationEnv(PLAIN).render() is None


@pytest.mark.parametrize("timing", ["end", "step"])
def test_the_line_shows_the_return_whenever_it_was_paid(timing: str) -> None:
    env = TextGenerationEnv(PLAIN, render_mode="ansi", reward_timing=timing)
    env.reset(options={"prompt_index": 0})
    total = sum(env.step(token)[1] for token in (A, B, EOS))
    assert f"reward {total:+.3f}" in env.render()


def test_human_environments_print_as_they_go(capsys: pytest.CaptureFixture[str]) -> None:
    env = gym.make("TextGen-v0", task=PLAIN, render_mode="human")
    env.reset(options={"prompt_index": 0})
    env.step(A)
    env.step(7)
    lines = COLOUR.sub("", capsys.readouterr().out).splitlines()
    assert lines[0] == "praise the movie >"
    assert lines[1] == "praise the movie > a"
    assert lines[2] == "praise the movie > a the  [illegal, reward -7.000]"
    assert len(lines) == 3
    assert env.render() is None
    assert capsys.readouterr().out == ""


def test_a_vocabulary_with_control_characters_is_harmless() -> None:
    task = toy(prompts=["\x1b[2J"], tokenizer=CharTokenizer("\x1b[2J\n"), constraints=(), budget=5)
    env = TextGenerationEnv(task, render_mode="ansi")
    env.reset(seed=0)
    for token in range(5):
        env.step(token)
    assert COLOUR.sub("", env.render()).isprintable()
    assert env.last_episodes.completions == ["\x1b[2J\n"]
    envs = TextGenerationVectorEnv(task, num_envs=2, render_mode="ansi")
    envs.reset(seed=0)
    envs.step([0, 0])
    assert all(COLOUR.sub("", line).isprintable() for line in envs.render())
