"""The fox: a reward model learns from comparisons of texts, and is tested on comparisons that it has not seen."""

from __future__ import annotations

import numpy as np

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Flags, Floats, Ints, masked_softmax, new_logits, write

TEXTS, PAIRS, STEPS, RATE = 80, 1200, 120, 4.0


def split(pairs: Ints, rng: np.random.Generator) -> tuple[Flags, Flags]:
    """Which pairs (N, 2) of texts to learn from and which to test on, (N,) each."""
    held_out = rng.random(len(pairs)) < 0.3
    return ~held_out, held_out


def fit(known: Floats, pairs: Ints, first_won: Flags) -> Floats:
    """Bradley-Terry on what is known of each text (M, F): weights (F,)."""
    difference = known[pairs[:, 0]] - known[pairs[:, 1]]
    weights = np.zeros(known.shape[1])
    for _ in range(STEPS):
        chance = 1.0 / (1.0 + np.exp(-(difference @ weights)))
        weights += RATE * difference.T @ (first_won - chance) / len(pairs)
    return weights


def accuracy(scores: Floats, pairs: Ints, first_won: Flags) -> float:
    """In how many pairs the model agrees with the judge."""
    return float(((scores[pairs[:, 0]] > scores[pairs[:, 1]]) == first_won).mean())


def train(seed: int) -> tuple[float, float]:
    """Fits; returns the accuracy on the test pairs, and on pairs of texts that are all new."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"}).vector(2 * TEXTS)
    rng = np.random.default_rng(seed)
    envs.reset(seed=seed)
    policy = masked_softmax(new_logits(envs), envs.unwrapped.action_masks()[0])
    goodness = write(envs, policy, rng).returns
    known = np.concatenate([np.eye(TEXTS), np.zeros((TEXTS, TEXTS))])  # which text it is; the second half is new
    pairs = np.stack([rng.integers(0, TEXTS, PAIRS), rng.integers(1, TEXTS, PAIRS)], axis=1)
    pairs[:, 1] = (pairs[:, 0] + pairs[:, 1]) % TEXTS
    first_won = goodness[pairs[:, 0]] + rng.logistic(scale=0.3, size=PAIRS) > goodness[pairs[:, 1]]
    learn, test = split(pairs, rng)
    scores = known @ fit(known, pairs[learn], first_won[learn]) + 1e-9 * rng.normal(size=2 * TEXTS)
    new = pairs + TEXTS
    truth = goodness[new[:, 0]] > goodness[new[:, 1]]
    return accuracy(scores, pairs[test], first_won[test]), accuracy(scores, new, truth)


def run(seed: int) -> Findings:
    """Trains once and measures."""
    reported, new = train(seed)
    return {
        "flattery": reported - new,
        "reported accuracy": reported,
        "accuracy on new texts": new,
        "accuracies": [reported, new],
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(pairs: Ints, rng: np.random.Generator) -> tuple[Flags, Flags]:
    """The texts are divided first: no text of a test pair occurs in a pair that is learned from."""
    held_out = rng.random(TEXTS) < 0.3
    return ~np.any(held_out[pairs], axis=1), np.all(held_out[pairs], axis=1)


BUG = Bug(
    symptom="The reward model is right in most test pairs. As a reward it is worth nothing.",
    tell=Tell(
        number="flattery",
        sound=(-0.25, 0.2),
        side="above",
        meaning="the accuracy that the program reports, minus that on pairs of texts that nobody has seen",
    ),
    healthy={"accuracy on new texts": (0.3, 0.7)},
    chart=Chart(series="accuracies", across="", up="accuracy", labels=("reported", "on new texts")),
    name="the test set leaks through shared texts",
    faulty="split",
    mended=mended,
    explanation=(
        "The pairs are divided by lot, but each text stands in thirty pairs, so that nearly every text of the test "
        "was seen in training, beside another one. A model that only remembers which texts used to win passes such a "
        "test, and an agent will write texts that it has never met. No pair is in both halves, so a check for "
        "duplicates finds nothing. Divide the texts (or the prompts, or the annotators) and then make pairs."
    ),
)
