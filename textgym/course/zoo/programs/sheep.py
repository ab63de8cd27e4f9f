"""The sheep: a Q-table learns to praise the movie and follows the path that it knows."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Floats, new_table, thirds, tiny_returns

EPISODES, RATE = 1200, 0.5


def choose(values: Floats, episode: int, rng: np.random.Generator) -> int:
    """Which token to write next."""
    return int(values.argmax())


def train(seed: int) -> tuple[list[float], list[int]]:
    """Learns a table; returns the return of every text, and how many different texts there were by then."""
    env = gym.make("TextGen-v0", level="tiny")
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    table = new_table(info["action_mask"])
    returns, different, texts = [], [], set()
    for episode in range(EPISODES):
        observation, _ = env.reset()
        terminated, total = False, 0.0
        while not terminated:
            state = observation.tobytes()
            action = choose(table[state], episode, rng)
            observation, reward, terminated, _, _ = env.step(action)
            following = 0.0 if terminated else table[observation.tobytes()].max()
            table[state][action] += RATE * (float(reward) + following - table[state][action])
            total += float(reward)
        returns.append(total)
        texts.add(observation.tobytes())
        different.append(len(texts))
    return returns, different


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, different = train(seed)
    return {
        "different texts": different[-1],
        "all texts": 1555,
        "return at last": thirds(returns)[1],
        "rise": thirds(returns)[1] - tiny_returns().random,
        "best return": tiny_returns().best,
        "different texts over time": different[::20],
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(values: Floats, episode: int, rng: np.random.Generator) -> int:
    """The best token as far as is known; at first, and now and then later, any token."""
    if rng.random() >= max(0.1, 1.0 - episode / (0.6 * EPISODES)):
        return int(values.argmax())
    return int(rng.choice(np.flatnonzero(values > -np.inf)))


BUG = Bug(
    symptom="The return rises within a few texts and stays where it is, every time at the same place.",
    tell=Tell(
        number="different texts",
        sound=(250, 1555),
        side="below",
        meaning="how many different texts the agent tried; there are 1,555",
    ),
    healthy={"rise": (0.5, 4.0)},
    chart=Chart(series="different texts over time", across="texts / 20", up="different texts so far"),
    name="pure argmax without exploration",
    faulty="choose",
    mended=mended,
    explanation=(
        "The agent always writes the token that it values most, while it learns as well as afterwards. It leaves a "
        "text only if it was paid less than what it has not tried yet, and settles on the first one that is good. "
        "The same happens with every seed, because nothing is random. The curve looks like fast learning; what gives "
        "it away is how few texts were ever tried. Explore: write a random token with a probability that falls."
    ),
)
