"""Builds the prefix tree of a wrapped environment by stepping it: nothing of the wrappers need be known.

Wrappers that change rewards, actions or ends are walked through ``get_state`` and ``step``, one step for every
(prefix, id), which is thousands of times slower than :mod:`textgym.exact.expansion` and always right.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces, wrappers
from numpy.typing import NDArray

from textgym.episodes import ILLEGAL
from textgym.errors import SolveError
from textgym.exact.limits import Limits
from textgym.exact.tree import Level, PrefixTree

Rows = NDArray[np.int64]
State = tuple[Any, list[dict[str, Any]]]
"""That of the base environment, and the attributes of each wrapper."""

TRANSPARENT: tuple[type, ...] = (
    gym.ObservationWrapper,
    wrappers.OrderEnforcing,
    wrappers.PassiveEnvChecker,
    wrappers.RecordEpisodeStatistics,
    wrappers.RecordVideo,
    wrappers.RenderCollection,
    wrappers.HumanRendering,
)
"""Wrappers that change neither actions nor rewards nor ends."""

_NOT_STATE = ("env", "_np_random", "_np_random_seed")


def opaque_wrappers(env: gym.Env[Any, Any]) -> list[gym.Wrapper[Any, Any, Any, Any]]:
    """The wrappers around an environment that may change actions, rewards or ends, from the outside in."""
    found = []
    while isinstance(env, gym.Wrapper):
        if not isinstance(env, TRANSPARENT):
            found.append(env)
        env = env.env
    return found


class Walker:
    """Steps a wrapped environment through all texts.

    Args:
        env: Wraps a textgym environment.
        groups: Rows of the prompt table; those of one group look alike, so their mean reward counts.
        limits: What it may take.

    Attributes:
        translated: Whether actions turned out to be other ids than those that were written.

    Raises:
        SolveError: for wrappers whose state cannot be kept and put back, or lasts longer than an episode.
    """

    def __init__(self, env: gym.Env[Any, Any], groups: Sequence[Rows], limits: Limits) -> None:
        if not isinstance(env.action_space, spaces.Discrete):
            raise SolveError(
                f"{env} has the action space {env.action_space}; solve needs Discrete, one token an action"
            )
        self.env, self.base, self.groups, self.limits = env, env.unwrapped, groups, limits
        self.wrappers = opaque_wrappers(env)
        self.actions = int(env.action_space.n)
        self.translated = self.actions != self.base.action_space.n  # type: ignore[attr-defined]

    def expand(self) -> PrefixTree:
        """All prefixes and what each action pays there; ids are the actions of the outermost wrapper.

        The environment is left as it was.
        """
        before = self._keep()
        try:
            self._check_wrappers(int(self.groups[0][0]))
            return self._expand()
        finally:
            self._go_back(before)

    def _expand(self) -> PrefixTree:
        trees = [[self._walk(int(prompt)) for prompt in group] for group in self.groups]
        first = trees[0][0]
        for tree in (tree for group in trees for tree in group):
            same = len(tree) == len(first) and all(
                np.array_equal(one.child, other.child) and np.array_equal(one.legal, other.legal)
                for one, other in zip(tree, first, strict=True)
            )
            if not same:
                raise SolveError("the wrappers allow other texts for other prompts; solve one at a time (prompt=)")
        levels = []
        for depth, level in enumerate(first):
            means = [np.mean([tree[depth].rewards[0] for tree in group], axis=0) for group in trees]
            illegal = [np.mean([tree[depth].illegal[0] for tree in group], axis=0) for group in trees]
            levels.append(Level(level.tokens, level.legal, level.child, np.array(means), np.array(illegal)))
        return PrefixTree(np.arange(self.actions), self.actions, tuple(levels))

    def text_of(self, prompt: int, actions: Sequence[int]) -> str:
        """What the base environment has written after these actions, which end the text."""
        before = self._keep()
        self.env.reset(options={"prompt_index": prompt})
        for action in actions:
            self.env.step(action)
        tokenizer = self.base.task.tokenizer  # type: ignore[attr-defined]
        written = self._written()
        self._go_back(before)
        return str(tokenizer.decode(written[written != tokenizer.vocab_size].tolist()))

    def _written(self) -> NDArray[np.int32]:
        width = self.base.task.prompts.width  # type: ignore[attr-defined]
        written: NDArray[np.int32] = self.base.get_state()["core"]["tokens"][0, width:]  # type: ignore[attr-defined]
        return written

    def _last_written(self, place: int) -> int:
        return int(self._written()[place])

    def _walk(self, prompt: int) -> list[Level]:
        self.env.reset(options={"prompt_index": prompt})
        states, tokens = [self._keep()], np.zeros((1, 0), dtype=np.int32)
        levels: list[Level] = []
        begin, done = time.perf_counter(), 0
        while states:
            legal = np.ones((len(states), self.actions), dtype=bool)
            child = np.full(legal.shape, -1, dtype=np.int64)
            rewards = np.zeros((1, *legal.shape))
            longer: list[list[int]] = []
            kept: list[State] = []
            for row, state in enumerate(states):
                for action in range(self.actions):
                    self._go_back(state)
                    _, reward, terminated, truncated, _ = self.env.step(action)
                    rewards[0, row, action] = reward
                    legal[row, action] = not self._broke_a_rule()
                    self.translated |= bool(legal[row, action]) and self._last_written(len(levels)) != action
                    if not (terminated or truncated):
                        child[row, action] = len(kept)
                        kept.append(self._keep())
                        longer.append([*tokens[row].tolist(), action])
                done += self.actions
                self._check_time(done, (time.perf_counter() - begin) / done, len(states) - row - 1 + len(kept))
            barred = np.where(legal[None], -np.inf, rewards).max(axis=2)  # -inf where every action is legal
            levels.append(Level(tokens, legal, child, rewards, barred))
            states, tokens = kept, np.array(longer, dtype=np.int32)
        return levels

    def _broke_a_rule(self) -> bool:
        ended = self.base.last_episodes  # type: ignore[attr-defined]
        return ended is not None and bool(ended.stop_codes[0] == ILLEGAL)

    def _check_time(self, done: int, seconds_each: float, waiting: int) -> None:
        """Refuses what would take too long: as many steps as are known to be waiting."""
        prompts = sum(map(len, self.groups))
        steps = float(done + waiting * self.actions) * prompts
        names = ", ".join(type(wrapper).__name__ for wrapper in self.wrappers)
        self.limits.check(
            f"an environment inside {names}, which has to be stepped prefix by prefix, is too large to solve by trying "
            "all texts",
            work=f"{steps:,.3g} steps",
            seconds=steps * seconds_each,
            gigabytes=steps * 2e-6,
            least=True,
        )

    def _keep(self) -> State:
        return self.base.get_state(), [_state_of(wrapper) for wrapper in self.wrappers]  # type: ignore[attr-defined]

    def _go_back(self, state: State) -> None:
        self.base.set_state(state[0])  # type: ignore[attr-defined]
        for wrapper, kept in zip(self.wrappers, state[1], strict=True):
            wrapper.__dict__.update(copy.deepcopy(kept))

    def _check_wrappers(self, prompt: int) -> None:
        """Plays an episode twice: a wrapper that is not as before afterwards gives every episode other rewards."""
        reward = self.base.task.reward  # type: ignore[attr-defined]
        if getattr(reward, "stochastic", False):
            raise SolveError(f"the reward {reward!r} is stochastic and cannot be averaged inside wrappers; use env.env")
        states, earned = [], []
        for _ in range(2):
            self.env.reset(options={"prompt_index": prompt})
            states.append([_state_of(wrapper) for wrapper in self.wrappers])
            earned.append(self._play())
        for wrapper, before, after in zip(self.wrappers, *states, strict=True):
            changed = [name for name in before if not _same(before[name], after.get(name))]
            if changed:
                raise SolveError(
                    f"the wrapper {type(wrapper).__name__} keeps {', '.join(changed)} from one episode to the next, so "
                    "that no text has one value; solve the environment inside it, env.env"
                )
        if not np.isclose(earned[0], earned[1], rtol=1e-6, atol=1e-6):
            raise SolveError(
                f"the same text earned {earned[0]:g}, and {earned[1]:g} when it was written again: the reward "
                f"{reward!r} or a wrapper depends on something else than prompt and text"
            )

    def _play(self) -> float:
        """Always writes the first legal id; what that earns."""
        total, over = 0.0, False
        while not over:
            action = int(np.flatnonzero(self.base.action_masks())[0]) % self.actions  # type: ignore[attr-defined]
            _, reward, terminated, truncated, _ = self.env.step(action)
            total, over = total + float(reward), terminated or truncated
        return total


def _state_of(wrapper: gym.Wrapper[Any, Any, Any, Any]) -> dict[str, Any]:
    own = {name: value for name, value in wrapper.__dict__.items() if name not in _NOT_STATE}
    try:
        return copy.deepcopy(own)
    except Exception as error:
        raise SolveError(
            f"solve cannot see through the wrapper {type(wrapper).__name__}: its state cannot be copied "
            f"({type(error).__name__}: {error}); solve the environment inside it, env.env"
        ) from error


def _same(one: Any, other: Any) -> bool:
    """Whether two states are alike, as far as it can be told; objects are compared by what they hold."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if hasattr(one, "__dict__") and not callable(one):
        return _same(vars(one), vars(other))
    return callable(one) or bool(one == other)
