"""The hamster: a Q-table learns to praise the movie, sixteen texts at a time.

The lanes start a new text by themselves when one ends: what `step` returns is then the first state of the next text.
"""

from __future__ import annotations

import numpy as np

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Flags, Floats, explore, new_table, thirds, tiny_returns

LANES, STEPS, DISCOUNT, RATE = 16, 250, 0.9, 0.5


def targets(rewards: Floats, best_next: Floats, terminated: Flags) -> Floats:
    """Where the values of the tokens just written should move to."""
    return rewards + DISCOUNT * best_next


def train(seed: int) -> tuple[list[float], list[float]]:
    """Learns a table; returns the return of every text, and the largest value known after every step."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"}).vector(LANES, autoreset_mode="SameStep")
    rng = np.random.default_rng(seed)
    observations, info = envs.reset(seed=seed)
    table = new_table(info["action_mask"][0])
    returns: list[float] = []
    largest: list[float] = []
    for step in range(STEPS):
        rows = [table[tokens.tobytes()] for tokens in observations]
        epsilon = max(0.1, 1.0 - step / (0.6 * STEPS))
        actions = np.array([explore(row, epsilon, rng) for row in rows])
        observations, rewards, terminated, _, _ = envs.step(actions)
        best_next = np.array([table[tokens.tobytes()].max() for tokens in observations])
        for row, action, target in zip(rows, actions, targets(rewards, best_next, terminated), strict=True):
            row[action] += RATE * (target - row[action])
        returns += rewards[terminated].tolist()
        largest.append(max(largest[-1:] + [float(row.max()) for row in rows]))
    return returns, largest


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, largest = train(seed)
    first, last = thirds(returns)
    return {
        "largest value": largest[-1],
        "best return": tiny_returns().best,
        "rise": last - first,
        "return at last": last,
        "largest value over time": largest,
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(rewards: Floats, best_next: Floats, terminated: Flags) -> Floats:
    """Nothing follows the end of a text."""
    return rewards + DISCOUNT * best_next * ~terminated


BUG = Bug(
    symptom="The return rises as it should, but the table is sure of rewards that no text can earn.",
    tell=Tell(number="largest value", sound=(0.5, 1.6), side="above", meaning="the highest Q of any state and token"),
    healthy={"rise": (0.5, 4.0)},
    chart=Chart(
        series="largest value over time",
        across="steps",
        up="highest Q",
        reference="best return",
        reference_label="best possible return",
    ),
    name="bootstrapping past the end",
    faulty="targets",
    mended=mended,
    explanation=(
        "The target adds the value of the next state even where the text has ended. The lanes restart by themselves, "
        "so that the next state is the beginning of another text, and the agent is promised the praise of that one "
        "too, and of the one after it. All values rise by about the same amount, so the order of the tokens "
        "hardly changes and the return rises all the same. What gives it away is a value above the highest return "
        "there is; with a discount of 1 it would grow for ever. Multiply the bootstrapped value by `not terminated`."
    ),
)
