"""The koala: a policy over all 1,555 texts is optimised for reward, on a leash to where it began.

It climbs the exact gradient, without sampling, and measures reward minus BETA times the divergence KL(policy || start).
"""

from __future__ import annotations

import numpy as np

from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Floats, all_texts

BETA, STEPS, RATE = 0.7, 400, 0.2


def pull(log_policy: Floats, log_start: Floats) -> Floats:
    """How strongly the leash pulls at the logit of each text, apart from a constant."""
    return 1.0 - np.exp(log_start - log_policy)


def train(seed: int) -> tuple[list[float], list[float]]:
    """Climbs; returns the mean reward after every step, and what was to be maximised."""
    texts, rewards = all_texts()
    log_start = -np.array([len(text) for text in texts]) * np.log(7.0)  # each token is one of seven
    logits = log_start + 0.1 * np.random.default_rng(seed).normal(size=len(rewards))
    means, objectives = [], []
    for _ in range(STEPS):
        log_policy = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
        policy = np.exp(log_policy)
        means.append(float(policy @ rewards))
        objectives.append(means[-1] - BETA * float(policy @ (log_policy - log_start)))
        logits = log_policy + RATE * (rewards - BETA * pull(log_policy, log_start))
    return means, objectives


def run(seed: int) -> Findings:
    """Trains once and measures."""
    means, objectives = train(seed)
    texts, rewards = all_texts()
    start = 7.0 ** -np.array([len(text) for text in texts])
    optimum = float(BETA * np.log(start @ np.exp(rewards / BETA)))  # of all policies, in closed form
    return {
        "gap to the optimum": optimum - objectives[-1],
        "optimum": optimum,
        "rise": means[-1] - means[0],
        "objective over time": objectives[::5],
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(log_policy: Floats, log_start: Floats) -> Floats:
    """The gradient of KL(policy || start)."""
    return np.asarray(log_policy - log_start)


BUG = Bug(
    symptom="The mean reward rises and settles. The objective settles below what is possible.",
    tell=Tell(
        number="gap to the optimum",
        sound=(-0.001, 0.02),
        side="above",
        meaning="the exact optimum of reward minus BETA KL, minus what the policy came to",
    ),
    healthy={"rise": (0.5, 5.0)},
    chart=Chart(
        series="objective over time",
        across="steps / 5",
        up="reward - BETA KL",
        reference="optimum",
        reference_label="exact optimum",
    ),
    name="the KL divergence the wrong way round",
    faulty="pull",
    mended=mended,
    explanation=(
        "The leash is the gradient of KL(start || policy), which is large where the policy has given up a text that "
        "it wrote at the start, instead of KL(policy || start), which is large where it writes what it did not "
        "write at the start. Both are zero at the beginning and never negative, and the reward rises with either. The "
        "wrong one clings to bad texts and lets go of the good ones. What gives it away is a problem whose "
        "optimum is known: p(text) is the start's, times exp(reward / BETA)."
    ),
)
