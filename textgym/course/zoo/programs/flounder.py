"""The flounder: a reward model learns from a thousand judgements of which of two texts is better.

The judges see one text on the left and one on the right. Sides are drawn by lot, so that a liking for one side does
no harm.
"""

from __future__ import annotations

import numpy as np

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Flags, Floats, Texts, masked_softmax, new_logits, write

PAIRS, STEPS, RATE, NOISE = 1000, 150, 2.0, 0.5


def first_is_better(chose_left: Flags, swapped: Flags) -> Flags:
    """For each pair (N,) whether its first text won; `swapped` says where the first text stood on the right."""
    return chose_left


def features(texts: Texts, vocabulary: int) -> Floats:
    """How often each word follows each other word in a text, (N, F)."""
    kinds = (texts.states % (vocabulary + 1)) * vocabulary + texts.tokens
    counts = np.zeros((len(kinds), (vocabulary + 1) * vocabulary))
    np.add.at(counts, (np.arange(len(kinds))[:, None], kinds), texts.alive.astype(float))
    return counts


def fit(difference: Floats, won: Flags) -> tuple[Floats, list[float]]:
    """Bradley-Terry: weights so that the better text scores higher; and the loss of every step."""
    weights, losses = np.zeros(difference.shape[1]), []
    for _ in range(STEPS):
        chance = 1.0 / (1.0 + np.exp(-(difference @ weights)))
        losses.append(float(-np.log(np.where(won, chance, 1.0 - chance)).mean()))
        weights += RATE * difference.T @ (won - chance) / len(won)
    return weights, losses


def train(seed: int) -> tuple[float, float, list[float]]:
    """Collects judgements and fits; returns the model's accuracy on new pairs, the share of lefts, and the losses."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"}).vector(4 * PAIRS)
    rng = np.random.default_rng(seed)
    envs.reset(seed=seed)
    policy = masked_softmax(new_logits(envs), envs.unwrapped.action_masks()[0])
    texts = write(envs, policy, rng)
    seen = features(texts, policy.shape[1])
    better_by, difference = texts.returns[::2] - texts.returns[1::2], seen[::2] - seen[1::2]
    swapped = rng.random(PAIRS) < 0.5
    feeling = np.where(swapped, -1.0, 1.0) * better_by[:PAIRS] + NOISE * rng.logistic(size=PAIRS)
    chose_left = feeling > 0.0
    weights, losses = fit(difference[:PAIRS], first_is_better(chose_left, swapped))
    right = np.sign(difference[PAIRS:] @ weights) == np.sign(better_by[PAIRS:])
    return float(right.mean()), float(chose_left.mean()), losses


def run(seed: int) -> Findings:
    """Trains once and measures."""
    accuracy, lefts, losses = train(seed)
    return {"accuracy": accuracy, "share of lefts": lefts, "fall": losses[0] - losses[-1], "losses": losses}


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(chose_left: Flags, swapped: Flags) -> Flags:
    """Where the sides were swapped, left means the second text."""
    return np.asarray(chose_left != swapped)


BUG = Bug(
    symptom="A thousand labels, the sides are balanced, the loss falls a little. The judges seem to be guessing.",
    tell=Tell(
        number="accuracy",
        sound=(0.8, 1.0),
        side="below",
        meaning="in how many new pairs the model prefers the truly better text; half is guessing",
    ),
    healthy={"share of lefts": (0.44, 0.56), "fall": (0.005, 0.7)},
    chart=Chart(series="losses", across="steps", up="loss of the reward model"),
    name="the side not un-shuffled",
    faulty="first_is_better",
    mended=mended,
    explanation=(
        "The sides were shuffled for the judges, and the answers were never turned back. In half of the pairs the "
        "wrong text is recorded as the better one, so that the labels say nothing. The share of lefts is one "
        "half, as it should be, and a loss falls on any labels. What gives it away is the accuracy on pairs whose "
        "better text is known: mix a few such pairs into every collection. Turn the swapped answers round."
    ),
)
