"""The parrot: a policy learns to praise the movie in sixteen lanes, each with a generator of random numbers.

Whoever trains with the same seed again gets the same texts again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Floats, masked_softmax, new_logits, policy_gradient, smooth, thirds, write

LANES, UPDATES, RATE = 16, 300, 0.3


class Lanes:
    """Random numbers for all lanes, each from the lane's own generator."""

    def __init__(self, generators: list[np.random.Generator]) -> None:
        self.generators = generators

    def random(self, shape: tuple[int, int]) -> Floats:
        """One row for each lane."""
        return np.stack([generator.random(shape[1]) for generator in self.generators])


def generators(seed: int) -> list[np.random.Generator]:
    """A generator for each lane."""
    return [np.random.default_rng(seed) for _ in range(LANES)]


def train(seed: int) -> tuple[list[float], list[float]]:
    """Trains a policy; returns the mean return of each batch, and how many different texts it had."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"}).vector(LANES)
    chance: Any = Lanes(generators(seed))
    envs.reset(seed=seed)
    mask = envs.unwrapped.action_masks()[0]
    logits, usual = new_logits(envs), -2.0
    returns, different = [], []
    for _ in range(UPDATES):
        policy = masked_softmax(logits, mask)
        texts = write(envs, policy, chance)
        credit = (texts.returns - usual)[:, None] * texts.alive
        usual += 0.1 * (float(texts.returns.mean()) - usual)
        logits += RATE * policy_gradient(policy, texts, credit)
        returns.append(float(texts.returns.mean()))
        different.append(len({text.tobytes() for text in texts.tokens * texts.alive}))
    return returns, [float(count) for count in different]


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, different = train(seed)
    first, last = thirds(returns)
    return {
        "different texts of the first batches": float(np.mean(different[:10])),
        "rise": last - first,
        "return at last": last,
        "different texts": smooth(different),
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(seed: int) -> list[np.random.Generator]:
    """Seeds are spawned: the lanes differ, and the same seed still gives the same lanes."""
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(LANES)]


BUG = Bug(
    symptom="Training is reproducible and the return moves, in leaps. Batches of 16 learn no faster than single texts.",
    tell=Tell(
        number="different texts of the first batches",
        sound=(8.0, 16.0),
        side="below",
        meaning="how many different texts a batch of 16 holds, on average over the first ten batches",
    ),
    healthy={"rise": (-1.0, 4.0)},
    chart=Chart(series="different texts", across="training", up="different texts in a batch of 16"),
    name="seed reuse across lanes",
    faulty="generators",
    mended=mended,
    explanation=(
        "All lanes get the same seed, draw the same numbers and write the same text. The batch has sixteen rows and "
        "one sample; its standard error is zero, and wrong. Nothing fails, because identical lanes are allowed. "
        "What gives it away is the number of different texts in a batch. Seeds that are added up "
        "(`seed + lane`) collide with the next run's instead; spawn them with `np.random.SeedSequence(seed).spawn(n)`."
    ),
)
