"""The mole: a Q-table learns to praise the movie, one text after another."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Table, explore, new_table, thirds, tiny_returns

EPISODES, RATE = 2000, 0.5


def update(table: Table, state: bytes, action: int, reward: float, following: bytes) -> None:
    """Moves the value of a token towards its reward and the best that comes after it."""
    best = table[state].max()
    table[state][action] += RATE * (reward + best - table[state][action])


def train(seed: int) -> tuple[Table, bytes, list[float]]:
    """Learns a table; returns it, the state in which every text begins, and the return of every text."""
    env = gym.make("TextGen-v0", level="tiny")
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    start, table = observation.tobytes(), new_table(info["action_mask"])
    returns = []
    for episode in range(EPISODES):
        observation, _ = env.reset()
        epsilon = max(0.2, 1.0 - episode / EPISODES)
        terminated, total = False, 0.0
        while not terminated:
            state = observation.tobytes()
            action = explore(table[state], epsilon, rng)
            observation, reward, terminated, _, _ = env.step(action)
            update(table, state, action, float(reward), observation.tobytes())
            total += float(reward)
        returns.append(total)
    return table, start, returns


def run(seed: int) -> Findings:
    """Trains once and measures."""
    table, start, returns = train(seed)
    first, last = thirds(returns)
    return {
        "value of the beginning": float(table[start].max()),
        "best return": tiny_returns().best,
        "rise": last - first,
        "return at last": last,
        "first words": table[start][np.isfinite(table[start])].tolist(),
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(table: Table, state: bytes, action: int, reward: float, following: bytes) -> None:
    """The best that comes after a token stands in the state that it leads to."""
    best = table[following].max()
    table[state][action] += RATE * (reward + best - table[state][action])


BUG = Bug(
    symptom="The return rises at first. But no opening word seems better than another.",
    tell=Tell(
        number="value of the beginning",
        sound=(1.0, 1.6),
        side="below",
        meaning="the highest Q of the empty text; a trained table should promise about the best return there",
    ),
    healthy={"rise": (0.2, 4.0)},
    chart=Chart(
        series="first words",
        across="first word",
        up="Q of the empty text",
        labels=("was", "not", "very", "great", "bad", "and", "end"),
        reference="best return",
        reference_label="best possible return",
    ),
    name="max over s instead of s'",
    faulty="update",
    mended=mended,
    explanation=(
        "The update looks for the best token in the state where the agent was, not in the state where it has arrived. "
        "No value ever travels backwards along a text: a token is worth its own reward and what was known here before. "
        "Rewards come at the end, so that only the last tokens learn anything. That is enough for the return to rise, "
        "because ends that cost much are avoided. What gives it away is the value of the beginning, which stays far "
        "from what the agent earns. Take the maximum over `table[following]`."
    ),
)
