"""How many tokens a second: TextGen-v0 against Gymnasium's CartPole-v1, as ratios within one run.

Everything is measured in turn, round after round, so that a machine that slows down slows down all of it.
Actions are drawn beforehand; rewards and numeric infos are on, the true score is off.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import textgym  # noqa: F401 - registers the ids
from textgym import tasks

from .machine import processor

TABLE = "speed of the suite"  # its name in docs/speed.md
LANES = (1, 64, 1024, 4096)
_DRAWN = 64  # steps' worth of actions drawn beforehand

Run = Callable[[float], float]
"""Runs for about so many seconds and returns units (tokens, steps, frames) a second."""


@dataclass(frozen=True)
class Ratio:
    """A quotient of two rates measured side by side.

    Attributes:
        median: Median over the rounds.
        low: Smallest of the rounds.
        high: Largest of the rounds.
        rate: Median rate of the numerator, in units a second.
    """

    median: float
    low: float
    high: float
    rate: float

    def __str__(self) -> str:
        return f"{self.median:7.2f}  ({self.low:.2f} to {self.high:.2f})  {self.rate:>14,.0f}/s"


def measure(runs: Mapping[str, Run], *, rounds: int, seconds: float) -> dict[str, NDArray[np.float64]]:
    """Measures each in turn, ``rounds`` times, after one uncounted warm-up: name -> ``(rounds,)`` rates."""
    for run in runs.values():
        run(seconds / 10)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            rates[name].append(run(seconds))
    return {name: np.array(values) for name, values in rates.items()}


def ratio(rates: Mapping[str, NDArray[np.float64]], ours: str, theirs: str) -> Ratio:
    """The quotient round by round."""
    quotients = rates[ours] / rates[theirs]
    return Ratio(float(np.median(quotients)), quotients.min(), quotients.max(), float(np.median(rates[ours])))


def single(env_id: str, **kwargs: Any) -> Run:
    """Steps one environment made by ``gym.make``, resetting at each end."""
    env = gym.make(env_id, **kwargs)
    actions = [int(action) for action in _actions(env.unwrapped, env.action_space, (10_000,))]

    def run(seconds: float) -> float:
        env.reset(seed=0)
        steps, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            for action in actions[steps % 5_000 : steps % 5_000 + 500]:
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
            steps += 500
        return steps / spent

    return run


def vector(env_id: str, lanes: int, *, native: bool, end: bool = True, **kwargs: Any) -> Run:
    """Steps a vector environment: the native one, or Gymnasium's loop over single ones."""
    mode = "vector_entry_point" if native else "sync"
    envs = gym.make_vec(env_id, num_envs=lanes, vectorization_mode=mode, **kwargs)
    actions = _actions(envs.unwrapped, envs.single_action_space, (_DRAWN, lanes), end=end)

    def run(seconds: float) -> float:
        envs.reset(seed=0)
        steps, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            for _ in range(8):
                envs.step(actions[steps % _DRAWN])
                steps += 1
        return steps * lanes / spent

    return run


def _actions(env: Any, space: Any, shape: tuple[int, ...], *, end: bool = True) -> NDArray[np.int64]:
    """Uniform over the actions that a text environment allows at first, without the end id if not ``end``."""
    allowed = np.arange(space.n)
    inner = env.envs[0].unwrapped if hasattr(env, "envs") else env
    if hasattr(inner, "action_masks"):
        mask = np.atleast_2d(inner.action_masks())[0].copy()
        mask[inner.eos_id] &= end
        allowed = np.flatnonzero(mask)
    return allowed[np.random.default_rng(0).integers(len(allowed), size=shape)]


def growth(budget: int, *, lanes: int = 256) -> Run:
    """The last steps of long texts, a second; the plain copy of the observation is taken off."""
    envs: Any = gym.make_vec("TextGen-v0", num_envs=lanes, max_new_tokens=budget).unwrapped
    actions = _actions(envs, envs.single_action_space, (_DRAWN, lanes), end=False)
    tokens = envs.reset(seed=0)[0]
    for step in range(budget - 16):
        envs.step(actions[step % _DRAWN])
    late = envs.get_state()

    def run(seconds: float) -> float:
        stepping, copying, steps = 0.0, 0.0, 0
        while stepping + copying < seconds:
            envs.set_state(late)
            start = time.perf_counter()
            for step in range(15):
                envs.step(actions[step])
            middle = time.perf_counter()
            for _ in range(15):
                tokens.copy()
            stepping += middle - start
            copying += time.perf_counter() - middle
            steps += 15
        return steps / (stepping - copying)

    return run


def ppo(lanes: int, *, native: bool, rollout_only: bool) -> Run:
    """Frames a second of SB3's PPO through NativeVecEnv or DummyVecEnv.

    Both have the sizes of textgym's tuned PPO: 2,048 tokens a rollout, 4 epochs, minibatches of 512. With more and
    smaller minibatches the update, which is the same for both, takes nearly all the time.
    """
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    from textgym.integrations.sb3 import NativeVecEnv

    torch.set_num_threads(1)
    rollout = 2_048
    if native:
        env: Any = NativeVecEnv(gym.make_vec("TextGen-v0", num_envs=lanes, autoreset_mode="SameStep"))
    else:
        env = DummyVecEnv([lambda: gym.make("TextGen-v0")] * lanes)
    model = PPO("MlpPolicy", env, n_steps=rollout // lanes, batch_size=512, n_epochs=4, device="cpu", seed=0)
    _, callback = model._setup_learn(rollout)

    def run(seconds: float) -> float:
        frames, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            if rollout_only:
                model.collect_rollouts(env, callback, model.rollout_buffer, model.n_steps)
            else:
                model.learn(rollout, reset_num_timesteps=False)
            frames += rollout
        return frames / spent

    return run


def report(*, rounds: int = 5, seconds: float = 0.3, sb3: bool = False) -> Iterator[str]:
    """Yields the lines of the report as they are measured."""
    head = f"{'':<46}{'ratio':>7}  (spread over {rounds} rounds)  {'rate':>10}"
    yield head
    rates = measure({"single": single("TextGen-v0"), "CartPole": single("CartPole-v1")}, rounds=rounds, seconds=seconds)
    yield _line("single, TextGen-v0 / CartPole-v1", ratio(rates, "single", "CartPole"))
    for lanes in LANES:
        yield from _vector_lines(lanes, rounds, seconds)
    rates = measure({"512": growth(512), "16": growth(16)}, rounds=rounds, seconds=seconds)
    yield _line("time of a step, 512 / 16 new tokens, 256 lanes", ratio(rates, "16", "512"))
    if sb3:
        yield from _sb3_lines(rounds, seconds)


def suite(*, rounds: int = 5, seconds: float = 0.3, lanes: int = 1024) -> Iterator[str]:
    """Yields a line for each task of the suite: its native vector environment against CartPole's."""
    yield f"{'':<46}{'ratio':>7}  (spread over {rounds} rounds)  {'rate':>10}"
    for name, measured in measure_suite(rounds=rounds, seconds=seconds, lanes=lanes):
        yield _line(f"{name}, {lanes} lanes / CartPole-v1 native", measured)


def measure_suite(*, rounds: int, seconds: float, lanes: int = 1024) -> Iterator[tuple[str, Ratio]]:
    """Yields each task of the suite, at its default level, with its speed against CartPole's."""
    for name in tasks.names():
        runs = {
            "ours": vector(f"TextGen/{name}-v0", lanes, native=True),
            "CartPole": vector("CartPole-v1", lanes, native=True),
        }
        yield name, ratio(measure(runs, rounds=rounds, seconds=seconds), "ours", "CartPole")


def markdown(measured: Iterable[tuple[str, Ratio]], *, rounds: int, lanes: int = 1024) -> Iterator[str]:
    """Yields the lines of a table of the suite's speed, with the machine and the day below."""
    yield f"| task | tags | tokens a second, {lanes:,} lanes | times CartPole's steps | lowest to highest of {rounds} |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for name, found in measured:
        tags = ", ".join(tasks.TASKS[name].tags)
        yield f"| {name} | {tags} | {found.rate:,.0f} | {found.median:.2f} | {found.low:.2f} to {found.high:.2f} |"
    yield ""
    yield f"Measured on {date.today():%d %B %Y} on {describe_machine()}."


def describe_machine() -> str:
    """The processor, the number of cores, and the versions that speed depends on."""
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, Gymnasium {gym.__version__}"
    return f"{processor()}, {os.cpu_count()} cores, {platform.system()}, {versions}"


def _vector_lines(lanes: int, rounds: int, seconds: float) -> Iterator[str]:
    runs = {
        "native": vector("TextGen-v0", lanes, native=True),
        "32 tokens": vector("TextGen-v0", lanes, native=True, end=False, max_new_tokens=32),
        "CartPole native": vector("CartPole-v1", lanes, native=True),
        "sync": vector("TextGen-v0", lanes, native=False),
        "CartPole sync": vector("CartPole-v1", lanes, native=False),
    }
    rates = measure(runs, rounds=rounds, seconds=seconds)
    yield _line(f"{lanes} lanes, native / CartPole-v1 native", ratio(rates, "native", "CartPole native"))
    yield _line(f"{lanes} lanes, 32-token texts / CartPole-v1 native", ratio(rates, "32 tokens", "CartPole native"))
    yield _line(f"{lanes} lanes, native / SyncVectorEnv", ratio(rates, "native", "sync"))
    yield _line(f"{lanes} lanes, SyncVectorEnv / CartPole-v1's", ratio(rates, "sync", "CartPole sync"))


def _sb3_lines(rounds: int, seconds: float) -> Iterator[str]:
    for rollout_only, what in ((True, "rollout alone"), (False, "rollout and update")):
        runs = {
            "native": ppo(256, native=True, rollout_only=rollout_only),
            "dummy": ppo(8, native=False, rollout_only=rollout_only),
        }
        rates = measure(runs, rounds=rounds, seconds=max(1.0, seconds))
        yield _line(f"SB3 PPO, {what}: NativeVecEnv 256 / Dummy 8", ratio(rates, "native", "dummy"))


def _line(what: str, measured: Ratio) -> str:
    return f"{what:<50}{measured}"
