"""TextWorld: games made offline, played by command and by token."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

pytest.importorskip("textworld")

from textgym.errors import ConfigurationError, EpisodeOverError, TaskError
from textgym.integrations.textworld import TextWorldEnv, make_game, said
from textgym.integrations.tokenized import TokenizedEnv
from textgym.tokenizers import WordTokenizer, split_words

SEED = 7
QUEST = ("take teacup from chair", "put teacup on counter")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of two rooms, not compiled."""
    return make_game(tmp_path_factory.mktemp("games") / "world.json", seed=SEED)


@pytest.fixture
def env(world: Path) -> Iterator[TextWorldEnv]:
    """That world."""
    made = TextWorldEnv(world)
    yield made
    made.close()


def tokens_of(env: Any, *, max_new_tokens: int = 8) -> TokenizedEnv:
    """One word, one action, for every command of its games."""
    words = sorted({word for command in env.unwrapped.commands for word in split_words(command)})
    return TokenizedEnv(env, WordTokenizer(words), unknown="keep", max_new_tokens=max_new_tokens)


def test_the_same_seed_makes_the_same_game(world: Path, tmp_path: Path) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    again = make_game(tmp_path / "again.json", seed=SEED)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert TextWorldEnv(again).commands == TextWorldEnv(world).commands


def test_a_game_is_won_and_the_score_is_paid_once(env: TextWorldEnv) -> None:
    text, info = env.reset(seed=0)
    assert "recover the teacup from the chair" in text
    assert (info["score"], info["max_score"], info["won"], info["lost"]) == (0.0, 1.0, False, False)
    steps = [env.step("look"), *(env.step(command) for command in QUEST)]
    assert [reward for _, reward, *_ in steps] == [0.0, 0.0, 1.0]
    assert [ended for _, _, *ended, _ in steps] == [[False, False], [False, False], [True, False]]
    assert steps[-1][-1]["won"] is True
    with pytest.raises(EpisodeOverError, match="reset"):
        env.step("look")
    assert env.reset()[1]["score"] == 0.0
    assert env.step("look")[1] == 0.0


def test_rewards_add_up_to_the_score(tmp_path: Path) -> None:
    env = TextWorldEnv(make_game(tmp_path / "two.json", seed=SEED, objects=4, quests=2))
    assert env.reset(seed=0)[1]["max_score"] == 2.0
    quests = ("go south", "open fridge", "take shadfly from shelf", "put shadfly on chair")
    steps = [env.step(command) for command in quests]
    assert [info["score"] for *_, info in steps] == [0.0, 1.0, 1.0, 2.0]  # what TextWorld calls the reward
    assert [reward for _, reward, *_ in steps] == [0.0, 1.0, 0.0, 1.0]


def test_what_is_not_admissible_changes_nothing(env: TextWorldEnv) -> None:
    commands = env.reset(seed=0)[1]["admissible_commands"]
    for command in ("", "quit", "\\x", "put teacup on counter"):
        text, reward, terminated, truncated, info = env.step(command)
        assert (text, reward, terminated, truncated) == ("Invalid command.", 0.0, False, False)
        assert info["admissible_commands"] == commands


def test_a_limit_is_a_truncation(world: Path) -> None:
    env = gym.wrappers.TimeLimit(TextWorldEnv(world), 2)
    env.reset(seed=0)
    assert env.step("look")[2:4] == (False, False)
    assert env.step("look")[2:4] == (False, True)


def test_the_seed_chooses_the_game(world: Path, tmp_path: Path) -> None:
    other = make_game(tmp_path / "other.json", seed=SEED + 1)
    env = TextWorldEnv([world, other])

    def begins(seed: int) -> list[str]:
        return [env.reset(seed=seed)[0], *(env.reset()[0] for _ in range(5))]

    assert begins(0) == begins(0)
    assert len({tuple(begins(seed)) for seed in range(6)}) > 2
    assert env.reset(options={"game": 1})[0] != env.reset(options={"game": 0})[0]
    assert set(TextWorldEnv(world).commands) < set(env.commands)
    env.close()


def test_masks_are_the_admissible_commands(env: TextWorldEnv) -> None:
    tokens = tokens_of(env)
    _, info = tokens.reset(seed=0)
    begun = {tokens.tokenizer.encode(command)[0] for command in info["admissible_commands"]}
    assert set(np.flatnonzero(tokens.action_masks())) == begun
    total = 0.0
    for command in QUEST:
        for token in [*tokens.tokenizer.encode(command), tokens.eos_id]:
            assert tokens.action_masks()[token]
            _, reward, terminated, _, info = tokens.step(token)
            total += reward
        assert info["utterance"] == command
    assert (total, terminated, info["won"]) == (1.0, True, True)


def test_random_play_under_the_mask_is_never_invalid(env: TextWorldEnv) -> None:
    tokens = tokens_of(env)
    tokens.reset(seed=0)
    rng = np.random.default_rng(0)
    replies = []
    for _ in range(300):
        _, _, over, _, info = tokens.step(rng.choice(np.flatnonzero(tokens.action_masks())))
        replies += [info["reply"]] if "reply" in info else []
        if over:
            assert info["stop_reason"] == "stop"
            tokens.reset()
    assert len(replies) > 50
    assert "Invalid command." not in replies


def test_gymnasiums_checker_passes(env: TextWorldEnv) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not having a spec.*")
        check_env(env)
        check_env(tokens_of(env))


def test_what_is_no_game(world: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}", encoding="utf-8")
    (tmp_path / "bare.z8").write_bytes(b"")
    for games, what in (
        ("missing.json", "no game of TextWorld"),
        (tmp_path / "bare.z8", r"\.json beside it"),
        (tmp_path / "bad.json", "cannot be read"),
        ([], "make_game makes one"),
    ):
        with pytest.raises(ConfigurationError, match=what):
            TextWorldEnv(games)
    with pytest.raises(ConfigurationError, match=r"ends in .z8 or .json"):
        make_game(tmp_path / "game.txt", seed=0)
    with pytest.raises(ConfigurationError, match="quest_length=-1"):
        make_game(tmp_path / "game.json", seed=0, quest_length=-1)
    env = TextWorldEnv(world)
    with pytest.raises(EpisodeOverError, match="reset"):
        env.step("look")
    for options, what in (({"gme": 0}, "expected 'game'"), ({"game": 1}, "from 0 to 0")):
        with pytest.raises(ConfigurationError, match=what):
            env.reset(options=options)


def test_a_compiler_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFORM_HOME", str(tmp_path / "nothing"))
    with pytest.raises(TaskError, match=r"cannot compile .*a \.json game needs none"):
        make_game(tmp_path / "game.z8", seed=SEED)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        ("\nTaken.\n\n> " + " " * 60 + "-= Kitchen =-0/1", "Taken."),
        ("The end.", "The end."),
        ("\n[To get text observation use the '.z8' file instead of the '.json' one.]\n", ""),
    ],
)
def test_words_without_the_interpreters(printed: str, text: str) -> None:
    assert said(printed) == text


@pytest.mark.slow
def test_a_compiled_game_speaks(tmp_path: Path) -> None:
    make_game(tmp_path / "game.json", seed=SEED + 1)  # another world, in whose place this one goes
    game = make_game(tmp_path / "game.z8", seed=SEED)
    assert {path.name for path in tmp_path.iterdir()} == {"game.json", "game.z8"}
    env = TextWorldEnv(game)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not having a spec.*")
        check_env(env)
    text, _ = env.reset(seed=0)
    assert "recover the teacup from the chair" in text
    assert "You see a teacup on the chair" in text
    assert "$$" not in text  # of the banner
    assert env.step("take teacup from chair")[0] == "You take the teacup from the chair."
    assert env.step("save")[0] == "Invalid command."
    text, reward, terminated, _, info = env.step("put teacup on counter")
    assert "You put the teacup on the counter." in text
    assert (reward, terminated, info["won"], info["score"]) == (1.0, True, True, 1.0)
    tokens = tokens_of(env)
    rng = np.random.default_rng(0)
    tokens.reset(seed=1)
    for _ in range(200):
        _, _, over, _, info = tokens.step(rng.choice(np.flatnonzero(tokens.action_masks())))
        assert info.get("reply") != "Invalid command."
        if over:
            tokens.reset()
    tokens.close()
