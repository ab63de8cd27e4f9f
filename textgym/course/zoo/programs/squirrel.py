"""The squirrel: a Q-table learns to praise the movie and keeps what it has found."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Table, explore, new_table, thirds, tiny_returns

EPISODES, RATE, DISCOUNT = 1200, 0.5, 0.9


def update(table: Table, state: bytes, action: int, target: float) -> None:
    """Learns from what a token turned out to be worth."""
    table[state][action] += RATE * target


def train(seed: int) -> tuple[list[float], list[float]]:
    """Learns a table; returns the return of every text and the largest value known by then."""
    env = gym.make("TextGen-v0", level="tiny")
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    table = new_table(info["action_mask"])
    returns, largest = [], [0.0]
    for episode in range(EPISODES):
        observation, _ = env.reset()
        epsilon = max(0.1, 1.0 - episode / (0.6 * EPISODES))
        terminated, total, highest = False, 0.0, largest[-1]
        while not terminated:
            state = observation.tobytes()
            action = explore(table[state], epsilon, rng)
            observation, reward, terminated, _, _ = env.step(action)
            following = 0.0 if terminated else table[observation.tobytes()].max()
            update(table, state, action, float(reward) + DISCOUNT * following)
            highest = max(highest, float(table[state].max()))
            total += float(reward)
        returns.append(total)
        largest.append(highest)
    return returns, largest


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, largest = train(seed)
    first, last = thirds(returns)
    return {
        "largest value": float(np.log10(largest[-1])),
        "best return": float(np.log10(tiny_returns().best)),
        "rise": last - first,
        "return at last": last,
        "largest value over time": [float(np.log10(max(value, 0.1))) for value in largest[::10]],
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(table: Table, state: bytes, action: int, target: float) -> None:
    """Moves a value towards its target, and stops there."""
    table[state][action] += RATE * (target - table[state][action])


BUG = Bug(
    symptom="The return rises. The values rise too, and do not stop.",
    tell=Tell(
        number="largest value",
        sound=(-1.0, 0.3),
        side="above",
        meaning="the highest Q of any state and token, as a power of ten",
    ),
    healthy={"rise": (0.3, 4.0)},
    chart=Chart(
        series="largest value over time",
        across="texts / 10",
        up="highest Q, power of ten",
        reference="best return",
        reference_label="best possible return",
    ),
    name="a missing -Q(s, a)",
    faulty="update",
    mended=mended,
    explanation=(
        "The update adds the target instead of the difference between target and value. Each visit adds to the heap: Q "
        "counts how often a good token was written rather than what it is worth. Because good tokens are visited "
        "more often, the order comes out well enough and the return rises. What gives it away is a value that has no "
        "bound, and that what was tried twice as often is worth twice as much. Subtract `table[state][action]`."
    ),
)
