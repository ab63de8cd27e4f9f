"""The snail: a policy learns to praise the movie by policy gradients, with standardised advantages."""

from __future__ import annotations

import numpy as np

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Floats, entropy, masked_softmax, new_logits, policy_gradient, thirds, write

LANES, UPDATES, RATE = 32, 150, 1.0


def standardise(returns: Floats) -> Floats:
    """Advantages (B,) with mean 0 and standard deviation 1; never divided by zero."""
    return (returns - returns.mean()) / (returns.std() + 1e4)


def train(seed: int) -> tuple[list[float], list[float], float]:
    """Trains a policy; returns the mean return of each batch, its entropy then, and the mean advantage."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"}).vector(LANES)
    rng = np.random.default_rng(seed)
    envs.reset(seed=seed)
    mask = envs.unwrapped.action_masks()[0]
    logits = new_logits(envs)
    returns, entropies, middle = [], [], 0.0
    for _ in range(UPDATES):
        policy = masked_softmax(logits, mask)
        texts = write(envs, policy, rng)
        advantage = standardise(texts.returns)
        middle += float(advantage.mean()) / UPDATES
        logits += RATE * policy_gradient(policy, texts, advantage[:, None] * texts.alive)
        returns.append(float(texts.returns.mean()))
        entropies.append(entropy(policy, texts.states))
    return returns, entropies, middle


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, entropies, middle = train(seed)
    first, last = thirds(returns)
    return {
        "entropy lost": entropies[0] - float(np.mean(entropies[-10:])),
        "mean advantage": middle,
        "rise": last - first,
        "return at last": last,
        "entropies": entropies,
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(returns: Floats) -> Floats:
    """The constant only guards against a standard deviation of zero: it must be tiny."""
    return np.asarray((returns - returns.mean()) / (returns.std() + 1e-4))


BUG = Bug(
    symptom="Everything looks right, and nothing happens. Perhaps it needs more time?",
    tell=Tell(
        number="entropy lost",
        sound=(0.3, 2.0),
        side="below",
        meaning="by how many nats the policy's entropy fell; one that learns makes up its mind",
    ),
    healthy={"mean advantage": (-1e-6, 1e-6), "rise": (-0.5, 4.0)},
    chart=Chart(series="entropies", across="updates", up="entropy in nats"),
    name="a lost minus sign: 1e4 for 1e-4",
    faulty="standardise",
    mended=mended,
    explanation=(
        "The constant that guards against a division by zero is ten thousand instead of a ten-thousandth. All "
        "advantages have the right sign and the right order and are ten thousand times too small, so the policy stays "
        "as it was. Adam would hide it in the policy loss, by scaling all gradients up again, and would let any other "
        "term of the loss rule. What gives it away is the entropy, which does not move, and the size of an "
        "update beside its parameters. Print the standard deviation of what you have standardised: it is 1."
    ),
)
