"""What the tests of the environments share: which ones to try, how to play them, when two results are the same."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray
from toys import TOYS

from textgym import registration, tasks


def suite() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every registered id with its default level, then every level of every task."""
    yield from ((env_id, {}) for env_id in registration.env_ids())
    for name in tasks.names():
        task = tasks.get(name)
        yield from ((f"TextGen/{name}-v0", {"level": level}) for level in task.levels if level != task.level)


SUITE = list(suite())
SUITE_IDS = [" ".join([env_id, *kwargs.values()]) for env_id, kwargs in SUITE]
# The other levels differ in size alone: they go through `textgym check` and the golden trajectories.
IDS = [env_id for env_id, kwargs in SUITE if not kwargs]

ENVS: dict[str, tuple[str, dict[str, Any]]] = dict(zip(SUITE_IDS, SUITE, strict=True))
ENVS |= {f"toy {name}": ("TextGen-v0", {"task": task}) for name, task in TOYS.items()}
every_id = pytest.mark.parametrize("env_id", IDS)
every_env = pytest.mark.parametrize("name", [name for name in ENVS if name in IDS or name.startswith("toy ")])
every_timing = pytest.mark.parametrize("timing", ["end", "step"])


def make(name: str, **extra: Any) -> Any:
    """One environment of :data:`ENVS`."""
    env_id, kwargs = ENVS[name]
    task = kwargs.get("task") or tasks.get(registration.task_name(env_id), kwargs.get("level"))
    if extra.get("reward_timing", "end") != "end" and getattr(task.reward, "stochastic", False):
        pytest.skip("noise is not paid by step")
    return gym.make(env_id, **kwargs, **extra)


# ---- playing and comparing ----------------------------------------------------------------------------------------


def assert_same(left: Any, right: Any, path: str = "") -> None:
    """Fails unless both are equal to the last bit: values, types, shapes, dtypes and keys."""
    if isinstance(left, dict):
        assert isinstance(right, dict), path
        assert left.keys() == right.keys(), (path, left.keys() ^ right.keys())
        for key in left:
            assert_same(left[key], right[key], f"{path}/{key}")
    elif isinstance(left, tuple | list):
        assert type(left) is type(right), (path, type(left), type(right))
        assert len(left) == len(right), path
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_same(one, other, f"{path}/{number}")
    elif isinstance(left, np.ndarray):
        assert isinstance(right, np.ndarray), path
        assert (left.dtype, left.shape) == (right.dtype, right.shape), (path, left.dtype, right.dtype)
        if left.dtype == object:
            assert_same(left.tolist(), right.tolist(), path)
        else:
            assert np.array_equal(left, right), (path, left, right)
    else:
        assert type(left) is type(right), (path, left, right)
        assert left == right, (path, left, right)


def any_action(env: Any, rng: np.random.Generator, *, illegal: float = 0.1) -> int:
    """A legal id, or with some probability an illegal one where there is any."""
    return _choose(env.unwrapped.action_masks(), rng, illegal)


def any_actions(envs: Any, rng: np.random.Generator, *, illegal: float = 0.1) -> NDArray[np.int64]:
    """:func:`any_action` for a native vector environment."""
    return np.array([_choose(mask, rng, illegal) for mask in envs.unwrapped.action_masks()])


def _choose(mask: NDArray[np.bool_], rng: np.random.Generator, illegal: float) -> int:
    wild = rng.random() < illegal and not mask.all()
    choices = np.flatnonzero(~mask if wild else mask)
    return int(choices[rng.integers(len(choices))])


def play_episode(env: Any, rng: np.random.Generator, *, illegal: float = 0.0, **reset: Any) -> list[Any]:
    """One episode: what reset returned, then what each step returned."""
    record: list[Any] = [env.reset(**reset)]
    while len(record) == 1 or not record[-1][2]:
        record.append(env.step(any_action(env, rng, illegal=illegal)))
    return record


def play_chain(name: str, *, seed: int = 0, episodes: int = 20, **extra: Any) -> list[Any]:
    """The first episodes of a seed, always with the same choices."""
    env, rng = make(name, **extra), np.random.default_rng(0)
    return [play_episode(env, rng, illegal=0.1, seed=None if n else seed) for n in range(episodes)]


# ---- copies -------------------------------------------------------------------------------------------------------

Event = tuple[str, Any]
"""``("reset", kwargs)`` or ``("step", action)``."""


def _keep_copy(env: Any, make: Callable[[], Any]) -> Callable[[], Any]:
    twin = copy.deepcopy(env)
    return lambda: twin


def _keep_pickle(env: Any, make: Callable[[], Any]) -> Callable[[], Any]:
    data = pickle.dumps(env)
    return lambda: pickle.loads(data)


def _keep_state(env: Any, make: Callable[[], Any], *, fresh: bool) -> Callable[[], Any]:
    state = env.get_state()

    def go_back() -> Any:
        other = make() if fresh else env
        other.set_state(state)
        return other

    return go_back


WAYS: dict[str, Callable[[Any, Callable[[], Any]], Callable[[], Any]]] = {
    "deepcopy": _keep_copy,
    "pickle": _keep_pickle,
    "own state": partial(_keep_state, fresh=False),
    "state of another": partial(_keep_state, fresh=True),
}


def check_copies(
    make: Callable[[], Any], choose: Callable[[Any, Any], Event], *, way: str, events: int, window: int = 12
) -> None:
    """Keeps a copy after every event of a run and checks that each copy goes on as the run did."""
    env, last = make(), None
    done, outputs, kept = [], [], []
    for _ in range(events):
        done.append(choose(env, last))
        last = _apply(env, done[-1])
        outputs.append(copy.deepcopy(last))
        kept.append(WAYS[way](env, make))
    for number, restore in enumerate(kept, start=1):
        twin = restore()
        for event, output in zip(done[number : number + window], outputs[number : number + window], strict=True):
            assert_same(_apply(twin, event), output)


def _apply(env: Any, event: Event) -> Any:
    name, argument = event
    return env.reset(**argument) if name == "reset" else env.step(argument)
