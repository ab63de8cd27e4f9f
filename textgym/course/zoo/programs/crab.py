"""The crab: a policy learns to praise the movie by policy gradients, with the mean of the batch as baseline."""

from __future__ import annotations

import numpy as np

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Floats, entropy, masked_softmax, new_logits, policy_gradient, thirds, write

LANES, UPDATES, RATE = 32, 150, 1.0


def advantages(returns: Floats) -> Floats:
    """How much better than the others each text of a batch was, (B,)."""
    return returns.mean() - returns


def train(seed: int) -> tuple[list[float], list[float]]:
    """Trains a policy; returns the mean return of each batch and the policy's entropy then."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"}).vector(LANES)
    rng = np.random.default_rng(seed)
    envs.reset(seed=seed)
    mask = envs.unwrapped.action_masks()[0]
    logits = new_logits(envs)
    returns, entropies = [], []
    for _ in range(UPDATES):
        policy = masked_softmax(logits, mask)
        texts = write(envs, policy, rng)
        credit = advantages(texts.returns)[:, None] * texts.alive
        logits += RATE * policy_gradient(policy, texts, credit)
        returns.append(float(texts.returns.mean()))
        entropies.append(entropy(policy, texts.states))
    return returns, entropies


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, entropies = train(seed)
    first, last = thirds(returns)
    return {
        "rise": last - first,
        "entropy at last": float(np.mean(entropies[-10:])),
        "return at last": last,
        "returns": returns,
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(returns: Floats) -> Floats:
    """Above the mean is good."""
    return np.asarray(returns - returns.mean())


BUG = Bug(
    symptom="The policy grows surer and surer of itself, as one that learns does. Its texts do not grow better.",
    tell=Tell(
        number="rise", sound=(0.5, 4.0), side="below", meaning="by how much the return rose from first to last third"
    ),
    healthy={"entropy at last": (0.0, 1.5)},
    chart=Chart(series="returns", across="updates", up="mean return"),
    name="the sign of the advantage",
    faulty="advantages",
    mended=mended,
    explanation=(
        "The baseline is subtracted the wrong way round: what was better than the mean counts as worse. The policy "
        "climbs down as steadily as it should climb up. Entropy, gradient norm and the loss (which falls) look as "
        "in a training that goes well, which is why one must look at the return itself. Minimising a loss in which "
        "the minus sign was forgotten is the same bug. The advantage is the return minus the baseline."
    ),
)
