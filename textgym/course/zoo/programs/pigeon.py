"""The pigeon: a Q-table learns to review whatever it is asked to; there are four prompts."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import explore, new_table, thirds

EPISODES, RATE, PROMPTS = 1500, 0.5, 4


def begin(env: gym.Env[Any, Any], seed: int, episode: int) -> Any:
    """Starts an episode, so that the whole training can be repeated from its seed."""
    return env.reset(seed=seed)[0]


def train(seed: int) -> tuple[list[float], list[int]]:
    """Learns a table; returns the return of every text, and how often each prompt was asked."""
    env = gym.make("TextGen-v0", level="easy", max_new_tokens=2)
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    table = new_table(info["action_mask"])
    returns: list[float] = []
    asked = dict.fromkeys(range(PROMPTS), 0)
    prompts: dict[bytes, int] = {}
    for episode in range(EPISODES):
        observation = begin(env, seed, episode)
        asked[prompts.setdefault(observation.tobytes(), len(prompts))] += 1
        epsilon = max(0.1, 1.0 - episode / (0.6 * EPISODES))
        terminated, total = False, 0.0
        while not terminated:
            state = observation.tobytes()
            action = explore(table[state], epsilon, rng)
            observation, reward, terminated, _, _ = env.step(action)
            following = 0.0 if terminated else table[observation.tobytes()].max()
            table[state][action] += RATE * (float(reward) + following - table[state][action])
            total += float(reward)
        returns.append(total)
    return returns, [*asked.values()]


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, asked = train(seed)
    first, last = thirds(returns)
    return {
        "prompts seen": int(np.count_nonzero(asked)),
        "rise": last - first,
        "return at last": last,
        "asked": asked,
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(env: gym.Env[Any, Any], seed: int, episode: int) -> Any:
    """The first reset gets the seed; all later ones go on from there."""
    return env.reset(seed=seed if episode == 0 else None)[0]


BUG = Bug(
    symptom="The return rises fast, faster than in other people's runs, and the runs repeat exactly.",
    tell=Tell(
        number="prompts seen",
        sound=(PROMPTS, PROMPTS),
        side="below",
        meaning=f"how many of the {PROMPTS} prompts the training has asked",
    ),
    healthy={"rise": (0.2, 4.0)},
    chart=Chart(series="asked", across="prompt", up="texts", labels=("1", "2", "3", "4")),
    name="the same seed at every reset",
    faulty="begin",
    mended=mended,
    explanation=(
        "`reset(seed=seed)` starts the environment's random numbers anew, so that every episode is the first one "
        "again, with the same prompt. The agent becomes very good at one prompt in four and has never seen the "
        "others. The curve looks better than an honest one, because the problem has become easier. What gives "
        "it away is a count of the prompts. Seed the first reset, and none after it."
    ),
)
