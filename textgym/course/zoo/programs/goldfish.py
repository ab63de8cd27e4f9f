"""The goldfish: a policy learns to praise the movie, and a critic learns what each beginning is worth.

The credit of a token is what its text was paid, minus what the critic expected there.
"""

from __future__ import annotations

import numpy as np

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Floats, Texts, masked_softmax, new_logits, policy_gradient, thirds, write

LANES, UPDATES, RATE, CRITIC_RATE = 32, 200, 1.0, 0.1


def expectations(texts: Texts, values: Floats) -> Floats:
    """What the critic should expect at each token, (B, T); `values` is what it expects so far, (S,)."""
    return texts.rewards


def learn_values(values: Floats, texts: Texts) -> None:
    """Moves the critic towards its targets, token by token."""
    targets = expectations(texts, values)
    wrong = np.where(texts.alive, targets - values[texts.states], 0.0)
    counts = np.bincount(texts.states[texts.alive], minlength=len(values))
    sums = np.bincount(texts.states.ravel(), wrong.ravel(), minlength=len(values))
    values += CRITIC_RATE * sums / np.maximum(counts, 1)


def train(seed: int) -> tuple[list[float], list[float]]:
    """Trains both; returns the mean return of each batch and what the critic expected of a new text then."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"}).vector(LANES)
    rng = np.random.default_rng(seed)
    envs.reset(seed=seed)
    mask = envs.unwrapped.action_masks()[0]
    logits = new_logits(envs)
    values = np.zeros(len(logits))
    returns, expected = [], []
    for _ in range(UPDATES):
        policy = masked_softmax(logits, mask)
        texts = write(envs, policy, rng)
        credit = (texts.returns[:, None] - values[texts.states]) * texts.alive
        logits += RATE * policy_gradient(policy, texts, credit)
        learn_values(values, texts)
        returns.append(float(texts.returns.mean()))
        expected.append(float(values[texts.states[0, 0]]))
    return returns, expected


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, expected = train(seed)
    first, last = thirds(returns)
    return {
        "critic's error": abs(float(np.mean(expected[-20:]) - np.mean(returns[-20:]))),
        "rise": last - first,
        "return at last": last,
        "expected": expected,
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(texts: Texts, values: Floats) -> Floats:
    """The reward of the token, and what the critic expects where it leads; after the end nothing."""
    following = np.pad(values[texts.states[:, 1:]] * texts.alive[:, 1:], ((0, 0), (0, 1)))
    return np.asarray(texts.rewards + following)


BUG = Bug(
    symptom="The return rises as it should. The critic expects almost nothing of a new text.",
    tell=Tell(
        number="critic's error",
        sound=(0.0, 0.25),
        side="above",
        meaning="how far the critic's value of a new text is from the mean return of the last batches",
    ),
    healthy={"rise": (0.5, 4.0)},
    chart=Chart(series="expected", across="updates", up="critic's value of a new text"),
    name="V without the future",
    faulty="expectations",
    mended=mended,
    explanation=(
        "The critic learns the reward of the next token instead of the return from here on. Texts are paid at their "
        "end, so it expects nothing anywhere but there. It still is a baseline, and any baseline leaves the policy "
        "gradient right on average, so the return rises; it merely reduces no variance. What gives it away is "
        "that the value of a new text is not the mean return. The target is r + V(s'), with 0 after the end."
    ),
)
