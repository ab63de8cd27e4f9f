"""The bat: a Q-table learns to praise the movie. Its state is what a classifier hears in the text so far."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import explore, new_table, smooth, thirds, tiny_returns

EPISODES, RATE = 1200, 0.3
PRAISE, BLAME, NEITHER = 0, 1, 2


def classify(text: str) -> int:
    """A classifier of three classes: whether the text so far praises, blames, or does neither."""
    balance = text.split().count("great") - text.split().count("bad")
    return PRAISE if balance > 0 else BLAME if balance < 0 else NEITHER


def state_of(observation: Any, text: str) -> bytes:
    """The row of the table for a text."""
    return bytes([classify(text)])


def train(seed: int) -> tuple[int, list[float]]:
    """Learns a table; returns how many states it knows, and the return of every text."""
    env = gym.make("TextGen-v0", level="tiny")
    rng = np.random.default_rng(seed)
    names = env.unwrapped.task.tokenizer.tokens  # type: ignore[attr-defined]
    _, info = env.reset(seed=seed)
    table = new_table(info["action_mask"])
    returns = []
    for episode in range(EPISODES):
        observation, _ = env.reset()
        epsilon = max(0.05, 1.0 - episode / (0.6 * EPISODES))
        terminated, total, text = False, 0.0, ""
        state = state_of(observation, text)
        while not terminated:
            action = explore(table[state], epsilon, rng)
            observation, reward, terminated, _, _ = env.step(action)
            text = f"{text} {names[action]}".strip()
            here, state = state, state_of(observation, text)
            following = 0.0 if terminated else table[state].max()
            table[here][action] += RATE * (float(reward) + following - table[here][action])
            total += float(reward)
        returns.append(total)
    return len(table), returns


def run(seed: int) -> Findings:
    """Trains once and measures."""
    states, returns = train(seed)
    first, last = thirds(returns)
    return {
        "states": states,
        "rise": last - first,
        "return at last": last,
        "returns": smooth(returns),
        "best return": tiny_returns().best,
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(observation: Any, text: str) -> bytes:
    """The state is the whole text so far: the token ids that the agent sees."""
    return bytes(observation.tobytes())


BUG = Bug(
    symptom="The return rises, and stops far below what is possible, however long the training.",
    tell=Tell(number="states", sound=(100, 2000), side="below", meaning="how many different states the table knows"),
    healthy={"rise": (0.3, 4.0)},
    chart=Chart(
        series="returns", across="training", up="return", reference="best return", reference_label="best return"
    ),
    name="a class index used as a state",
    faulty="state_of",
    mended=mended,
    explanation=(
        "The classifier turns every text into one of three numbers, and the table has one row for each. Texts that "
        "need different next words are the same state: after `great` and after `great was great` the agent must write "
        "the same word, and it cannot know how long its text is. Q-learning runs without complaint on any bytes. What "
        "gives it away is the number of rows. A class is a fine reward and a poor state: use the token ids."
    ),
)
