"""The vulture: a policy learns from a sentiment classifier, which is to like what it writes."""

from __future__ import annotations

import numpy as np

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Floats, masked_softmax, new_logits, policy_gradient, thirds, write
from textgym.rewards import PerText

LANES, UPDATES, RATE = 32, 120, 3.0
LABELS = {0: "negative", 1: "positive"}


def classify(text: str) -> Floats:
    """A sentiment classifier: the probability of each label, (2,)."""
    balance = text.split().count("great") - text.split().count("bad")
    positive = 1.0 / (1.0 + np.exp(-1.5 * balance))
    return np.array([1.0 - positive, positive])


def score_of(probabilities: Floats) -> float:
    """What the classifier's answer is worth as a reward."""
    return float(probabilities[0])


def reward(completion: str) -> float:
    """What a text is paid."""
    return score_of(classify(completion))


def train(seed: int) -> tuple[list[float], list[float]]:
    """Trains a policy; returns the mean reward of each batch, and the share of its texts that praise."""
    kwargs = {"level": "tiny", "reward": PerText(reward, range=(0.0, 1.0))}
    envs = textgym.EnvFactory("TextGen-v0", kwargs).vector(LANES)
    rng = np.random.default_rng(seed)
    envs.reset(seed=seed)
    tokenizer, mask = envs.unwrapped.task.tokenizer, envs.unwrapped.action_masks()[0]
    logits = new_logits(envs)
    returns, praising = [], []
    for _ in range(UPDATES):
        policy = masked_softmax(logits, mask)
        texts = write(envs, policy, rng)
        credit = (texts.returns - texts.returns.mean())[:, None] * texts.alive
        logits += RATE * policy_gradient(policy, texts, credit)
        returns.append(float(texts.returns.mean()))
        written = [tokenizer.decode(row[:length]) for row, length in zip(texts.tokens, texts.lengths, strict=True)]
        praising.append(float(np.mean([classify(text)[1] > 0.5 for text in written])))
    return returns, praising


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, praising = train(seed)
    first, last = float(np.mean(returns[:3])), thirds(returns)[1]
    return {
        "texts that praise": thirds(praising)[1],
        "rise": last - first,
        "reward at last": last,
        "praise over time": praising,
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(probabilities: Floats) -> float:
    """The probability of the label that is wanted, found by its name."""
    wanted = next(column for column, label in LABELS.items() if label == "positive")
    return float(probabilities[wanted])


BUG = Bug(
    symptom="The reward rises to nearly its maximum. Read the texts.",
    tell=Tell(
        number="texts that praise",
        sound=(0.8, 1.0),
        side="below",
        meaning="the share of the last texts that say something good",
    ),
    healthy={"rise": (0.2, 1.0)},
    chart=Chart(series="praise over time", across="updates", up="share of texts that praise"),
    name="the wrong column of a classifier",
    faulty="score_of",
    mended=mended,
    explanation=(
        "A classifier of two labels answers with two numbers, and the first of them is the probability of "
        "`negative`. The agent is paid for blame and learns it perfectly: reward, loss and entropy are those of a "
        "great success. Only somebody who reads the texts notices. Labels have names: look the column up by name, and "
        "check a reward on one text that must score high and one that must score low before training on it."
    ),
)
