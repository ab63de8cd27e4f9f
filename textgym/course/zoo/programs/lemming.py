"""The lemming: a Q-table learns to praise the movie in at most three tokens. A `TimeLimit` around it says so."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import TimeLimit

from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Table, explore, new_table, thirds

EPISODES, RATE, LIMIT = 600, 0.5, 3


def step(env: gym.Env[Any, Any], action: int) -> tuple[Any, float, bool]:
    """One step of the environment: what is seen next, the reward, and whether the episode is over."""
    observation, reward, done, *_ = env.step(action)
    return observation, float(reward), done


def train(seed: int) -> tuple[list[float], list[int]]:
    """Learns a table; returns the return of every episode, and its steps."""
    env = TimeLimit(gym.make("TextGen-v0", level="tiny", reward_timing="step"), max_episode_steps=LIMIT)
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    table: Table = new_table(info["action_mask"])
    returns, lengths = [], []
    for episode in range(EPISODES):
        observation, _ = env.reset()
        epsilon = max(0.1, 1.0 - episode / (0.6 * EPISODES))
        done, total, length = False, 0.0, 0
        while not done:
            state = observation.tobytes()
            action = explore(table[state], epsilon, rng)
            observation, reward, done = step(env, action)
            following = table[observation.tobytes()].max()
            table[state][action] += RATE * (reward + following - table[state][action])
            total, length = total + reward, length + 1
        returns.append(total)
        lengths.append(length)
    return returns, lengths


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, lengths = train(seed)
    first, last = thirds(returns)
    return {
        "longest episode": max(lengths),
        "limit": LIMIT,
        "rise": last - first,
        "return at last": last,
        "episodes by length": np.bincount(lengths, minlength=5)[1:5].tolist(),
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(env: gym.Env[Any, Any], action: int) -> tuple[Any, float, bool]:
    """An episode is over when its text has ended, or when somebody outside has cut it off."""
    observation, reward, terminated, truncated, _ = env.step(action)
    return observation, float(reward), terminated or truncated


BUG = Bug(
    symptom="The return rises as it should. Some episodes seem to take their time.",
    tell=Tell(
        number="longest episode",
        sound=(1, LIMIT),
        side="above",
        meaning=f"the steps of the longest episode; the limit is {LIMIT}",
    ),
    healthy={"rise": (0.3, 5.0)},
    chart=Chart(series="episodes by length", across="steps", up="episodes", labels=("1", "2", "3", "4")),
    name="the step of four values",
    faulty="step",
    mended=mended,
    explanation=(
        "Up to 2022 `step` returned four values, and programs of that time are still copied: observation, reward, "
        "done, info. Unpacked with `*_` the fifth value is swallowed in silence, and with it the difference between "
        "`terminated` and `truncated`. The time limit reports the cut, nobody reads it, and the loop walks on over "
        "the edge. What gives it away is an episode that is longer than the limit. End on either of the two flags, "
        "and bootstrap only after `truncated`."
    ),
)
