"""TextArena: its faults, shown on its own environments, and their absence in the adapter."""

from __future__ import annotations

import random
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

pytest.importorskip("textarena")

from textgym.errors import ConfigurationError, EpisodeOverError, TaskError
from textgym.global_random import guarded
from textgym.integrations.textarena import TextArenaEnv
from textgym.integrations.tokenized import TokenizedEnv
from textgym.tokenizers import CharTokenizer

with guarded(0):
    import textarena as ta

NUMBERS = tuple(str(number) for number in range(1, 21))


def squares(game: Any) -> list[str]:
    """The free squares of TicTacToe."""
    board = game.state.game_state["board"]
    return [f"[{square}]" for square in range(9) if board[square // 3][square % 3] == ""]


def tic_tac_toe(**kwargs: Any) -> TextArenaEnv:
    return TextArenaEnv("TicTacToe-v0", **{"opponents": "random", "moves": squares, **kwargs})


def play(env: TextArenaEnv, seed: int) -> tuple[list[str], float, dict[str, Any]]:
    """One game of first legal moves: all that was seen, the return, and the last info."""
    text, info = env.reset(seed=seed)
    seen, total, over = [text], 0.0, False
    while not over:
        text, reward, over, truncated, info = env.step(info["admissible_commands"][0])
        assert truncated is False
        seen.append(text)
        total += reward
    return seen, total, info


# ---- faults -------------------------------------------------------------------------------------------------------


def test_a_game_begins_without_the_moves_of_the_last_one() -> None:
    raw = ta.make("GuessTheNumber-v0")
    with guarded(0):
        raw.reset(num_players=1, seed=1)
        first = raw.get_observation()[1]
        raw.step("[7]")
        raw.get_observation()
        raw.reset(num_players=1, seed=1)
        second = raw.get_observation()[1]
    assert "[7]" in second  # the fault
    assert len(second) > 2 * len(first) - 10

    env = TextArenaEnv("GuessTheNumber-v0")
    begin = env.reset(seed=1)[0]
    env.step("[7]")
    assert env.reset(seed=1)[0] == begin
    assert "[7]" not in begin
    assert begin == first.strip()


def test_an_environment_that_is_handed_over_is_repaired_too() -> None:
    env = TextArenaEnv(ta.make("GuessTheNumber-v0"))
    begin = env.reset(seed=1)[0]
    env.step("[7]")
    assert env.reset(seed=1)[0] == begin


def test_the_step_that_ends_the_game_pays() -> None:
    env = TextArenaEnv("GuessTheNumber-v0")
    env.reset(seed=0)
    number = env.game.game_number
    wrong = next(guess for guess in range(1, 21) if guess != number)
    assert env.step(f"[{wrong}]")[1:4] == (0.0, False, False)
    text, reward, terminated, truncated, info = env.step(str(number))  # its wrapper writes the brackets
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["rewards"] == {0: 1.0}
    assert info["invalid_move"] is False
    assert type(text) is str
    with pytest.raises(EpisodeOverError, match="reset"):
        env.step("1")


def test_consolation_for_invalid_moves_is_told() -> None:
    env = TextArenaEnv("GuessTheNumber-v0")
    env.reset(seed=0)
    env.step("what?")
    _, _, terminated, _, info = env.step("what?")
    assert terminated
    assert info["invalid_move"] is True


def test_the_process_keeps_its_random_numbers() -> None:
    def next_number(act: Any) -> tuple[float, float]:
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        act()
        return random.random(), float(np.random.random())  # noqa: NPY002

    untouched = next_number(lambda: None)
    raw = ta.make("GuessTheNumber-v0")
    assert next_number(lambda: raw.reset(num_players=1, seed=1)) != untouched  # the fault
    assert next_number(lambda: play(tic_tac_toe(), 1)) == untouched
    assert next_number(lambda: TextArenaEnv("GuessTheNumber-v0").reset(seed=1)) == untouched


# ---- players ------------------------------------------------------------------------------------------------------


def test_seeds_decide_everything() -> None:
    assert play(tic_tac_toe(), 3)[0] == play(tic_tac_toe(), 3)[0]
    assert len({tuple(play(tic_tac_toe(), seed)[0]) for seed in range(8)}) > 4
    numbers = set()
    env = TextArenaEnv("GuessTheNumber-v0")
    for seed in range(12):
        env.reset(seed=seed)
        numbers.add(env.game.game_number)
    assert len(numbers) > 4


def test_dice_of_a_game_are_its_own() -> None:
    def rolls(beside: bool) -> list[str]:
        env = TextArenaEnv("PigDice-v0", opponents=lambda said: "[hold]")
        seen = [env.reset(seed=2)[0]]
        for _ in range(4):
            if beside:
                TextArenaEnv("PigDice-v0", opponents=lambda said: "[hold]").reset(seed=8)
            seen.append(env.step("[roll]")[0])
        return seen

    assert rolls(beside=False) == rolls(beside=True)


@pytest.mark.parametrize("learner", [0, 1])
def test_a_scripted_opponent(learner: int) -> None:
    heard: list[str] = []

    def highest(said: str) -> str:
        heard.append(said)
        free = said.rpartition("Available Moves:")[2]
        return f"[{max(int(digit) for digit in free if digit.isdigit())}]"

    env = tic_tac_toe(opponents=highest, learner=learner)
    seen, total, info = play(env, 0)
    assert all(later.startswith(earlier) for earlier, later in pairwise(heard))
    assert f"You are Player {1 - learner}" in heard[0]
    assert f"You are Player {learner}" in seen[0]
    assert ("[Player 0] [8]" in seen[0]) == (learner == 1)  # the other moved first
    assert not any(f"[Player {learner}] [" in text for text in seen)  # one's own words do not come back
    assert total == info["rewards"][learner] == (1.0 if learner == 0 else -1.0)  # 0, 1, 2 or 8, 7, 6: the first wins
    assert info["player"] == learner


def test_oneself() -> None:
    env = tic_tac_toe(opponents="self", num_players=2)
    _, info = env.reset(seed=0)
    movers = []
    for square in (0, 3, 1, 4, 2):
        movers.append(info["player"])
        _, reward, over, _, info = env.step(f"[{square}]")
    assert movers == [0, 1, 0, 1, 0]
    assert (reward, over, info["rewards"]) == (1.0, True, {0: 1.0, 1: -1.0})


def test_random_opponents_are_legal_ones() -> None:
    for seed in range(6):
        _, total, info = play(tic_tac_toe(), seed)
        assert info["invalid_move"] is False
        assert total in (-1.0, 0.0, 1.0)
        assert "invalid" not in str(info["reason"]).lower()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"game": "NoSuchGame-v0"}, "NoSuchGame"),
        ({"game": "TicTacToe-v0", "levels": 3}, "cannot make"),
        ({"game": 3}, "expected an id"),
        ({"game": "TicTacToe-v0", "num_players": 2}, "player 1 of 2"),
        ({"game": "TicTacToe-v0", "opponents": {2: str}, "num_players": 2}, "player 1 of 2"),
        ({"game": "TicTacToe-v0", "opponents": "random"}, "give moves="),
        ({"game": "TicTacToe-v0", "opponents": str, "learner": 2}, "learner=2: expected a player from 0 to 1"),
    ],
)
def test_what_does_not_fit(arguments: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        TextArenaEnv(**arguments)


def test_a_game_for_two_is_not_played_alone() -> None:
    with pytest.raises(ConfigurationError, match="num_players=1"):
        TextArenaEnv("TicTacToe-v0").reset(seed=0)
    with pytest.raises(ConfigurationError, match="take none"):
        TextArenaEnv("GuessTheNumber-v0").reset(options={"level": 1})
    with pytest.raises(EpisodeOverError, match="reset"):
        TextArenaEnv("GuessTheNumber-v0").step("1")


def test_opponents_that_leave_nothing_to_play() -> None:
    env = tic_tac_toe(opponents=lambda said: "no move", learner=1)
    with pytest.raises(
        TaskError, match="20 games of TicTacToeEnv ended before player 1 .*are the opponents' moves legal"
    ):
        env.reset(seed=0)
    with pytest.raises(TaskError, match="no legal move for player 0"):
        tic_tac_toe(moves=lambda game: [], learner=1).reset(seed=0)


def test_games_that_fail_are_named() -> None:
    env = TextArenaEnv("GuessTheNumber-v0")
    env.reset(seed=0)
    del env.game.env.env.guessed_numbers
    with pytest.raises(TaskError, match=r"GuessTheNumberEnv fails at the move '\[3\]': AttributeError"):
        env.step("[3]")


# ---- tokens -------------------------------------------------------------------------------------------------------


def test_its_tokens() -> None:
    env = TokenizedEnv(tic_tac_toe(), CharTokenizer("[]0123456789"), max_new_tokens=4, unknown="keep")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not having a spec.*")
        check_env(env)
        check_env(env.env)
    rng = np.random.default_rng(0)
    for seed in range(5):
        env.reset(seed=seed)
        over = False
        while not over:
            _, _, over, _, info = env.step(rng.choice(np.flatnonzero(env.action_masks())))
        assert info["stop_reason"] == "stop"
        assert info["invalid_move"] is False
