"""The centipede: a policy learns to praise the movie from batches of texts and the list of their scores."""

from __future__ import annotations

import numpy as np

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Floats, masked_softmax, new_logits, policy_gradient, thirds, write

LANES, UPDATES, RATE = 32, 150, 1.0


def credit_of(scores: Floats, before: float) -> Floats:
    """What each text of a batch (B,) is credited with; `before` is the last score of the batch before."""
    log = [before, *scores.tolist()]
    return np.array([score for _, score in zip(range(len(scores)), log, strict=False)])


def train(seed: int) -> tuple[list[float], float]:
    """Trains a policy; returns the mean return of each batch, and by how much the mean credit differs from it."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"}).vector(LANES)
    rng = np.random.default_rng(seed)
    envs.reset(seed=seed)
    mask = envs.unwrapped.action_masks()[0]
    logits = new_logits(envs)
    returns, before, gap = [], 0.0, 0.0
    for _ in range(UPDATES):
        policy = masked_softmax(logits, mask)
        texts = write(envs, policy, rng)
        credit = credit_of(texts.returns, before)
        before, gap = float(texts.returns[-1]), gap + float(credit.mean() - texts.returns.mean()) / UPDATES
        logits += RATE * policy_gradient(policy, texts, (credit - credit.mean())[:, None] * texts.alive)
        returns.append(float(texts.returns.mean()))
    return returns, gap


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, gap = train(seed)
    first, last = thirds(returns)
    return {"rise": last - first, "mean credit minus mean return": gap, "return at last": last, "returns": returns}


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(scores: Floats, before: float) -> Floats:
    """Each text its own score."""
    return scores


BUG = Bug(
    symptom="Scores go in, updates come out, and on average the credit is right. The return wanders.",
    tell=Tell(
        number="rise", sound=(0.5, 4.0), side="below", meaning="by how much the return rose from first to last third"
    ),
    healthy={"mean credit minus mean return": (-0.1, 0.1)},
    chart=Chart(series="returns", across="updates", up="mean return"),
    name="rewards shifted by one",
    faulty="credit_of",
    mended=mended,
    explanation=(
        "The log of scores begins with the last score of the batch before, and `zip` without `strict=True` drops what "
        "is left over at the end: every text is paid for the one before it. Mean, spread and range of the credit are "
        "right, so that no summary shows it. What gives it away is one text and its credit, printed side by side. "
        "Use `zip(..., strict=True)`, and keep a text and its score in one record."
    ),
)
