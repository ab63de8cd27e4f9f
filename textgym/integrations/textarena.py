"""TextArena's games as Gymnasium text environments for one learner, whoever plays the others.

Install with ``pip install 'textgym[textarena]'``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym

from textgym.errors import ConfigurationError, EpisodeOverError, TaskError
from textgym.global_random import guarded
from textgym.integrations._versions import require
from textgym.integrations.text_spaces import AnyText

GAME = -1
"""The sender of the game's own messages."""
BEGINNINGS = 20
"""Games that are tried until the learner comes to move."""

Player = Callable[[str], str]
Moves = Callable[[Any], Sequence[str]]


class TextArenaEnv(gym.Env[str, str]):
    """One of TextArena's games, seen by one player.

    An observation is what was said to the player since its last turn, and no more:
    :class:`~textgym.integrations.tokenized.TokenizedEnv` keeps the history, and forgets it at reset. (TextArena's own
    observation wrappers never do, so that the second game begins with the moves of the first; they are passed by here,
    while its action wrappers stay.) The step that ends the game pays the learner's reward, which TextArena hands out
    on closing only. The game draws from generators seeded by this environment's own, not from the process's.

    Args:
        game: An id such as ``"TicTacToe-v0"``, or an environment of TextArena.
        learner: The player that acts here.
        opponents: Who plays the others: a function from all that was said to the player to its move (TextArena's
            agents are such), a dict with one for each player, "random" (needs ``moves``), or "self": all
            turns are the learner's, one player after the other, and the reward is that of the one who moved last.
        num_players: How many play.
        moves: The legal moves of a game, ``(environment of TextArena) -> list of texts``: they come as
            ``info["admissible_commands"]``, where TokenizedEnv makes masks of them.
        max_length: The most characters of an action or observation.
        **kwargs: Arguments of the game, such as ``max_turns``.

    Raises:
        MissingDependencyError: if textarena is not installed.
        ConfigurationError: for another version, an unknown id, or players that do not fit the game.
    """

    def __init__(
        self,
        game: Any,
        *,
        learner: int = 0,
        opponents: Player | Mapping[int, Player] | str | None = None,
        num_players: int | None = None,
        moves: Moves | None = None,
        max_length: int = 100_000,
        **kwargs: Any,
    ) -> None:
        self.game, self._core = _make(game, kwargs)
        self.learner, self.moves = learner, moves
        others = len(opponents) if isinstance(opponents, Mapping) else int(opponents is not None)
        self.num_players = num_players or 1 + others
        self._opponents = self._read_opponents(opponents)
        self.action_space = AnyText(max_length)
        self.observation_space = AnyText(max_length)
        self._heard: dict[int, str] = {}
        self._over = True

    def _read_opponents(self, opponents: Any) -> dict[int, Player]:
        others = [player for player in range(self.num_players) if player != self.learner]
        if len(others) == self.num_players:
            raise ConfigurationError(f"learner={self.learner}: expected a player from 0 to {self.num_players - 1}")
        if opponents == "self":
            return {}
        if opponents == "random" and self.moves is None:
            raise ConfigurationError("opponents='random' draws among legal moves: give moves=, a function of the game")
        if opponents == "random":
            return dict.fromkeys(others, self._random_move)
        given = opponents if isinstance(opponents, Mapping) else dict.fromkeys(others, opponents)
        wrong = [player for player in others if not callable(given.get(player))]
        if wrong:
            raise ConfigurationError(
                f"opponents={opponents!r} says nothing about player {wrong[0]} of {self.num_players}: expected "
                "a function from text to text for each, 'random' or 'self'"
            )
        return {player: given[player] for player in others}

    def _random_move(self, _: str) -> str:
        legal = list(self._legal_moves())
        if not legal:
            raise TaskError(f"moves= finds no legal move for player {self._player} in {self._name}")
        return legal[int(self.np_random.integers(len(legal)))]

    def _legal_moves(self) -> Sequence[str]:
        return self.moves(self._core) if self.moves is not None else ()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begins a game; where others begin, they move first.

        Raises:
            ConfigurationError: for options, which TextArena has none of, or a number of players that the game refuses.
            TaskError: if the game fails, or the others end each of some games before the learner's first move.
        """
        super().reset(seed=seed)
        if options:
            raise ConfigurationError(f"options {sorted(options)}: the games of TextArena take none")
        for _ in range(BEGINNINGS):  # a game that ends without the learner is no episode
            self._begin()
            self._over = self._let_others_play()
            if not self._over:
                return self._hear(self._player), self._info()
        raise TaskError(
            f"{BEGINNINGS} games of {self._name} ended before player {self.learner} could move; the last: "
            f"{self.game.close()[1]}; are the opponents' moves legal?"
        )

    def _begin(self) -> None:
        drawn = self._draw()
        try:
            with guarded(drawn):
                self.game.reset(num_players=self.num_players, seed=drawn)
        except (AssertionError, ValueError) as error:
            raise ConfigurationError(f"{self._name} refuses num_players={self.num_players}: {error}") from error
        except Exception as error:  # it is the game's code, so it may raise anything
            raise TaskError(f"{self._name} fails at reset: {_shown(error)}") from error
        self._heard = dict.fromkeys(range(self.num_players), "")

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Makes the learner's move, and lets the others make theirs.

        Raises:
            EpisodeOverError: before the first reset, or if the game has ended.
            TaskError: if the game fails.
        """
        if self._over:
            raise EpisodeOverError("the game has ended, or not begun; call reset() before the next step()")
        mover = self._player
        self._over = self._move(action) or self._let_others_play()
        if not self._over:
            return self._hear(self._player), 0.0, False, False, self._info()
        rewards, details = self.game.close()
        if not rewards or mover not in rewards:
            raise TaskError(f"{self._name} ended with the rewards {rewards!r}: expected one for player {mover}")
        paid = {player: float(reward) for player, reward in rewards.items()}
        return self._hear(mover), paid[mover], True, False, {"player": mover, "rewards": paid, **details.get(mover, {})}

    def _move(self, action: str) -> bool:
        drawn = self._draw()
        try:
            with guarded(drawn):
                return bool(self.game.step(action=action)[0])
        except Exception as error:
            raise TaskError(f"{self._name} fails at the move {action!r}: {_shown(error)}") from error

    def _let_others_play(self) -> bool:
        """Until it is the learner's turn; True if the game ended before."""
        while (player := self._player) in self._opponents:
            self._hear(player)
            if self._move(self._opponents[player](self._heard[player])):
                return True
        return False

    def _hear(self, player: int) -> str:
        """What was said to a player since it was last asked, except by itself."""
        state = self._core.state
        if player == self._player and not state.done:  # some games add to it
            _, messages = self._core.get_observation()
        else:
            messages, state.observations[player] = state.observations[player], []
        lines = [f"[{_name(sender, state.role_mapping)}] {text}" for sender, text, *_ in messages]
        self._heard[player] += "".join(f"\n{line}" for line in lines)
        return "\n".join(line for line, (sender, *_) in zip(lines, messages, strict=True) if sender != player)

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {"player": self._player}
        if self.moves is not None:
            info["admissible_commands"] = list(self._legal_moves())
        return info

    @property
    def _name(self) -> str:
        return type(self._core).__name__

    @property
    def _player(self) -> int:
        return int(self._core.state.current_player_id)

    def _draw(self) -> int:
        return int(self.np_random.integers(2**31))


def _name(sender: int, roles: Mapping[int, str]) -> str:
    return "GAME" if sender == GAME else roles.get(sender, f"Player {sender}")


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _make(game: Any, kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """The game with TextArena's wrappers, and without."""
    require("textarena", "textarena", "0.7.4", "0.8")
    with guarded(0):  # it draws while it is imported
        import textarena
    if not isinstance(game, str | textarena.Env) or (kwargs and not isinstance(game, str)):
        raise ConfigurationError(
            f"{game!r} with the arguments {sorted(kwargs)}: expected an id such as 'TicTacToe-v0' and arguments, or an "
            "environment of TextArena alone"
        )
    try:
        with guarded(0):
            made = textarena.make(game, **kwargs) if isinstance(game, str) else game
    except Exception as error:  # an unknown id, an argument, a file that is missing or is no Python
        raise ConfigurationError(f"TextArena cannot make {game!r}: {_shown(error)}") from error
    core = made
    while isinstance(core, textarena.Wrapper):
        core = core.env
    return made, core
