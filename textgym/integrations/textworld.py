"""TextWorld's games as Gymnasium text environments, with admissible commands, and games made offline.

Install with ``pip install 'textgym[textworld]'`` (Linux and macOS).
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym

from textgym.atomic import write_whole
from textgym.errors import ConfigurationError, EpisodeOverError, TaskError
from textgym.global_random import guarded
from textgym.integrations._versions import require
from textgym.integrations.text_spaces import AnyText
from textgym.keys import spawn_seed

INFOS = ("admissible_commands", "description", "feedback", "max_score", "objective", "score", "won", "lost")
INVALID = "Invalid command."
SILENT = "[To get text observation use the '.z8' file"


class TextWorldEnv(gym.Env[str, str]):
    """A pool of games, one of which is played in each episode.

    The reward of a step is what the score changed by (TextWorld's own environments return the score so far, which
    sums up to something else). ``terminated`` says that the game is won or lost; there is no time limit, so wrap one
    around: ``gymnasium.wrappers.TimeLimit(TextWorldEnv(game), 50)`` truncates, where TextWorld's own limit looks
    like a lost game. The seed chooses the game, too. What a step says is the game's text without the banner, the
    prompt and the status line.

    A command that is not admissible changes nothing and is answered by "Invalid command.": it never reaches the
    interpreter, which knows commands of its own (to quit, to write files) and stumbles over backslashes.

    ``info`` holds ``score``, ``max_score``, ``won``, ``lost`` and ``admissible_commands``, which
    :class:`~textgym.integrations.tokenized.TokenizedEnv` turns into masks.

    Args:
        games: Files made by TextWorld: ``.z8`` with its ``.json`` beside it, or the ``.json`` alone, which is ten times
            faster and says nothing but its objective: good for masks and for agents that know what they did.
        max_length: The most characters of an action or observation.

    Raises:
        MissingDependencyError: if textworld is not installed.
        ConfigurationError: for another version, or files that are no games of TextWorld.

    Attributes:
        commands: Every command that may ever be admissible in these games: what a vocabulary must be able to write.
    """

    def __init__(self, games: str | Path | Sequence[str | Path], *, max_length: int = 100_000) -> None:
        _import()
        given = [games] if isinstance(games, str | Path) else list(games)
        self.games = tuple(_check_game(Path(game)) for game in given)
        if not self.games:
            raise ConfigurationError("no games: expected a .z8 or .json file made by TextWorld; make_game makes one")
        self.commands = tuple(sorted({command for game in self.games for command in _all_commands(game)}))
        self.action_space = AnyText(max_length)
        self.observation_space = AnyText(max_length)
        self._started: dict[Path, Any] = {}
        self._game: Any = None
        self._state: Any = None
        self._score = 0.0
        self._over = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begins a game, drawn from the pool.

        Args:
            seed: Starts a new chain of draws.
            options: ``{"game": int}`` chooses the game.
        """
        super().reset(seed=seed)
        number = int(self.np_random.integers(len(self.games)))
        drawn = int(self.np_random.integers(2**31))
        self._game = self._start(self.games[self._chosen(options, number)])
        with guarded(drawn):
            self._game.seed(drawn)
            state = self._state = self._game.reset()
        self._score, self._over = float(state.get("score") or 0), False
        parts = [state.get("objective"), state.get("description") or said(state["feedback"])]
        return "\n\n".join(part.strip() for part in parts if part), _info(state)

    def _chosen(self, options: dict[str, Any] | None, drawn: int) -> int:
        if options and set(options) != {"game"}:
            raise ConfigurationError(f"options {sorted(options)}: expected 'game', a number from 0")
        number = (options or {}).get("game", drawn)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(self.games):
            raise ConfigurationError(f"game={number!r}: expected a number from 0 to {len(self.games) - 1}")
        return number

    def _start(self, game: Path) -> Any:
        if game not in self._started:
            textworld = _import()
            infos = textworld.EnvInfos(**dict.fromkeys(INFOS, True))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that its interpreter knows no such game by name
                self._started[game] = textworld.start(str(game), infos)
        return self._started[game]

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Says a command.

        Raises:
            EpisodeOverError: before the first reset, or if the game has ended.
        """
        if self._over:
            raise EpisodeOverError("the game has ended, or not begun; call reset() before the next step()")
        drawn = int(self.np_random.integers(2**31))
        if action not in self._state["admissible_commands"]:
            return INVALID, 0.0, False, False, _info(self._state)
        with guarded(drawn):
            self._state, score, done = self._game.step(action)
        reward, self._score = float(score) - self._score, float(score)
        self._over = bool(done)
        return said(self._state["feedback"]), reward, self._over, False, _info(self._state)

    def close(self) -> None:
        """Ends the interpreters of all games."""
        for game in self._started.values():
            game.close()
        self._started.clear()
        self._over = True


def make_game(
    path: str | Path, *, seed: int, rooms: int = 2, objects: int = 3, quests: int = 1, quest_length: int = 2
) -> Path:
    """Makes a game with TextWorld's own generator, offline.

    Args:
        path: Where to: ``.z8`` compiles it (some seconds), ``.json`` writes its world alone.
        seed: The same seed, the same game.
        rooms: Number of rooms.
        objects: Number of objects.
        quests: Number of quests; each is worth a point.
        quest_length: Commands that a quest takes.

    Returns:
        The path, absolute.

    Raises:
        ConfigurationError: for another file extension, or sizes that make no game.
        TaskError: if the compiler fails, or does not run on this machine.
    """
    textworld, place = _import(), Path(path).absolute()
    if place.suffix not in (".z8", ".json"):
        raise ConfigurationError(f"{str(path)!r}: expected a name that ends in .z8 or .json")
    options = textworld.GameOptions()
    options.nb_rooms, options.nb_objects, options.quest_length = rooms, objects, quest_length
    options.nb_parallel_quests = quests
    options.seeds = seed
    place.parent.mkdir(parents=True, exist_ok=True)
    with guarded(spawn_seed(seed, "textworld")):
        try:
            game = textworld.generator.make_game(options)
        except Exception as error:  # each part of the generator has errors of its own
            raise ConfigurationError(
                f"TextWorld makes no game with rooms={rooms}, objects={objects}, quests={quests}, "
                f"quest_length={quest_length}: {error}"
            ) from error
        if place.suffix == ".json":
            write_whole(place, json.dumps(game.serialize()))
        else:
            _compile(textworld, game, options, place)
    return place


def _compile(textworld: Any, game: Any, options: Any, place: Path) -> None:
    """Writes the game and its world, whole or not at all."""
    with TemporaryDirectory(dir=place.parent) as folder:
        options.path = str(Path(folder) / place.name)
        try:
            textworld.generator.compile_game(game, options)
        except Exception as error:
            raise TaskError(
                f"TextWorld cannot compile {str(place)!r}: {type(error).__name__}: {error}. Its compilers run on Linux "
                "and macOS; a .json game needs none"
            ) from error
        for suffix in (".json", ".z8"):
            os.replace(Path(options.path).with_suffix(suffix), place.with_suffix(suffix))


def said(feedback: str) -> str:
    r"""The game's words in what its interpreter prints: without the prompt and the status line behind it.

    Example:
        >>> said("\nYou take the cup.\n\n> " + " " * 40 + "-= Kitchen =-0/1")
        'You take the cup.'
    """
    text = "" if SILENT in feedback else feedback
    head, prompt, _ = text.rpartition("\n>")
    return (head if prompt else text).strip()


def _info(state: Any) -> dict[str, Any]:
    numbers = {"score": float(state.get("score") or 0), "max_score": float(state.get("max_score") or 0)}
    flags = {name: bool(state.get(name)) for name in ("won", "lost")}
    return {"admissible_commands": list(state["admissible_commands"]), **numbers, **flags}


def _check_game(path: Path) -> Path:
    world = path.with_suffix(".json")
    if path.suffix not in (".z8", ".json") or not path.is_file() or not world.is_file():
        raise ConfigurationError(
            f"{str(path)!r} is no game of TextWorld: expected a .json file, or a .z8 file with its .json beside it; "
            "make_game makes one"
        )
    return path.absolute()


def _all_commands(game: Path) -> list[str]:
    textworld = _import()
    try:
        return list(textworld.Game.load(str(game.with_suffix(".json"))).possible_admissible_commands)
    except Exception as error:  # any file may stand there
        raise ConfigurationError(
            f"{str(game)!r} cannot be read as a game of TextWorld: {type(error).__name__}: {error}"
        ) from error


def _import() -> Any:
    require("textworld", "textworld", "1.7", "2")
    with guarded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its parsers, about their own syntax
        import textworld
        import textworld.generator
    return textworld
