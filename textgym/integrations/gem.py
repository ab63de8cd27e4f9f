"""GEM's environments as Gymnasium text environments, with one flag at the end and randomness of their own.

GEM (the package gem-llm) asks for an older Gymnasium than textgym, so that the two do not install together; where they
do in your case, this adapter needs nothing but GEM's interface: ``reset(seed) -> (text, info)`` and
``step(text) -> (text, reward, terminated, truncated, info)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from textgym.errors import ConfigurationError, EpisodeOverError
from textgym.global_random import guarded
from textgym.integrations.text_spaces import AnyText


class GemEnv(gym.Env[str, str]):
    """One of GEM's environments, repaired.

    GEM reports the end of a game's own turns as terminated and truncated at once: here it is terminated alone, since
    the number of turns is part of the game and told in its text, and ``info["turn_limit"]`` is True. GEM draws from
    the global generators of Python and NumPy and seeds them for the whole process: here every call sees them as
    seeded by this environment's own generator, and leaves them as they were. Stepping on after the end is an error.

    Args:
        make: Makes the environment, as in ``GemEnv(lambda: gem.make("game:GuessTheNumber-v0"))``; an environment
            will do, too, but then what it draws while it is made comes from the global generators.
        max_length: The most characters of an action or observation.

    Raises:
        ConfigurationError: for what has no ``reset`` and ``step``.
    """

    def __init__(self, make: Callable[[], Any] | Any, *, max_length: int = 100_000) -> None:
        if not callable(make) and not hasattr(make, "step"):
            raise ConfigurationError(f"{make!r}: expected a function that makes an environment of GEM")
        with guarded(0):
            game: Any = make() if isinstance(make, type) or not hasattr(make, "step") else make
        missing = [name for name in ("reset", "step") if not callable(getattr(game, name, None))]
        if missing:
            raise ConfigurationError(
                f"{game!r} has no {' and no '.join(missing)}: expected an environment of GEM, or a function that "
                "makes one"
            )
        self.game = game
        self.action_space = AnyText(max_length)
        self.observation_space = AnyText(max_length)
        self._over = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begins an episode.

        Raises:
            ConfigurationError: for options, which GEM has none of.
        """
        super().reset(seed=seed)
        if options:
            raise ConfigurationError(f"options {sorted(options)}: the environments of GEM take none")
        drawn = self._draw()
        with guarded(drawn):
            text, info = self.game.reset(seed=drawn)
        self._over = False
        return text, dict(info)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Says something.

        Raises:
            EpisodeOverError: before the first reset, or if the episode has ended.
        """
        if self._over:
            raise EpisodeOverError("the episode has ended, or not begun; call reset() before the next step()")
        with guarded(self._draw()):
            text, reward, terminated, truncated, found = self.game.step(action)
        info = {**found, "turn_limit": bool(terminated and truncated)}
        self._over = bool(terminated or truncated)
        return text, float(reward), bool(terminated), bool(truncated and not terminated), info

    def close(self) -> None:
        """Closes the game, where it can be closed."""
        if hasattr(self.game, "close"):
            self.game.close()

    def _draw(self) -> int:
        return int(self.np_random.integers(2**31))
