"""The chameleon: a policy learns to praise the movie with clipped importance ratios, as PPO does.

Every batch is used for two updates. The ratio compares the policy now with the one that wrote the text.
"""

from __future__ import annotations

import numpy as np

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Flags, Floats, masked_softmax, new_logits, policy_gradient, thirds, write

LANES, UPDATES, EPOCHS, RATE, CLIP = 32, 100, 2, 1.0, 0.4


def probabilities(logits: Floats, mask: Flags) -> Floats:
    """The policy (S, V) that is being trained: tokens that may not be written have no probability."""
    return np.asarray(masked_softmax(logits, np.ones_like(mask)) * mask)


def train(seed: int) -> tuple[list[float], list[float]]:
    """Trains a policy; returns the mean return and the mean ratio of each batch before its first update."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"}).vector(LANES)
    rng = np.random.default_rng(seed)
    envs.reset(seed=seed)
    mask = envs.unwrapped.action_masks()[0]
    logits = new_logits(envs)
    returns, ratios = [], []
    for _ in range(UPDATES):
        writer = masked_softmax(logits, mask)
        texts = write(envs, writer, rng)
        advantage = (texts.returns - texts.returns.mean())[:, None] * texts.alive
        for epoch in range(EPOCHS):
            policy = probabilities(logits, mask)
            ratio = policy[texts.states, texts.tokens] / writer[texts.states, texts.tokens]
            beyond = np.where(advantage > 0.0, ratio > 1.0 + CLIP, ratio < 1.0 - CLIP)
            logits += RATE * policy_gradient(policy, texts, advantage * ratio * ~beyond)
            if epoch == 0:
                ratios.append(float(ratio[texts.alive].mean()))
        returns.append(float(texts.returns.mean()))
    return returns, ratios


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, ratios = train(seed)
    first, last = thirds(returns)
    return {
        "ratio of the first batch": ratios[0],
        "rise": last - first,
        "return at last": last,
        "ratios": ratios,
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(logits: Floats, mask: Flags) -> Floats:
    """The softmax over what may be written, so that the probabilities add up to one."""
    return masked_softmax(logits, mask)


BUG = Bug(
    symptom="The return rises. The trained policy and the writing policy disagree before anything was trained.",
    tell=Tell(
        number="ratio of the first batch",
        sound=(0.999, 1.001),
        side="below",
        meaning="the mean ratio before the very first update, when both policies are the same",
    ),
    healthy={"rise": (0.5, 4.0)},
    chart=Chart(series="ratios", across="updates", up="ratio before the first update"),
    name="the mask after the softmax",
    faulty="probabilities",
    mended=mended,
    explanation=(
        "The mask is applied to the probabilities instead of the logits. The forbidden tokens took their share of the "
        "softmax, and after they are set to zero the rest no longer adds up to one. Sampling does not mind, because "
        "it divides by the sum. But the ratio, the log-probability, the entropy and the KL divergence are all "
        "wrong by that share, and clipping cuts the wrong updates. As the good logits rise above the forbidden ones, "
        "which nothing moves, the fault fades away, so that one must look at the first batch: before any update the "
        "ratio is 1. Mask the logits."
    ),
)
