"""The magpie: a policy learns to say "great" in as few words as it can.

A text that has the word earns 1, less 0.1 for every word. The best text is "great", and then the end.
"""

from __future__ import annotations

import numpy as np

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Flags, Texts, masked_softmax, new_logits, policy_gradient, thirds, write
from textgym.rewards import PerText

LANES, UPDATES, RATE, BUDGET = 32, 200, 1.5, 6


def short_praise(completion: str) -> float:
    """1 for the word, less what all words cost."""
    words = completion.split()
    return 1.0 - 0.1 * len(words) if "great" in words else 0.0


def written(texts: Texts) -> Flags:
    """Which tokens of a batch (B, T) the agent wrote, and so should learn from."""
    positions = np.arange(texts.tokens.shape[1])
    return positions < texts.lengths[:, None] - 1


def train(seed: int) -> tuple[list[float], list[float]]:
    """Trains a policy; returns the mean return of each batch and the mean length of its texts."""
    reward = PerText(short_praise, range=(0.0, 1.0))
    kwargs = {"level": "tiny", "reward": reward, "max_new_tokens": BUDGET}
    envs = textgym.EnvFactory("TextGen-v0", kwargs).vector(LANES)
    rng = np.random.default_rng(seed)
    envs.reset(seed=seed)
    mask = envs.unwrapped.action_masks()[0]
    logits = new_logits(envs)
    returns, lengths = [], []
    for _ in range(UPDATES):
        policy = masked_softmax(logits, mask)
        texts = write(envs, policy, rng)
        logits += RATE * policy_gradient(policy, texts, texts.returns[:, None] * written(texts))
        returns.append(float(texts.returns.mean()))
        lengths.append(float(texts.lengths.mean()))
    return returns, lengths


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, lengths = train(seed)
    first, last = float(np.mean(returns[:3])), thirds(returns)[1]
    return {
        "length at last": float(np.mean(lengths[-10:])),
        "rise": last - first,
        "return at last": last,
        "lengths": lengths,
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(texts: Texts) -> Flags:
    """All tokens up to the end of the text, and the end token is one of them."""
    positions = np.arange(texts.tokens.shape[1])
    return np.asarray(positions < texts.lengths[:, None])


BUG = Bug(
    symptom="The return rises. The agent finds its word and goes on talking.",
    tell=Tell(
        number="length at last",
        sound=(1.5, 2.6),
        side="above",
        meaning="the mean number of tokens of the last texts, the end included; two would do",
    ),
    healthy={"rise": (0.05, 2.0)},
    chart=Chart(series="lengths", across="updates", up="tokens a text"),
    name="the end token off by one",
    faulty="written",
    mended=mended,
    explanation=(
        "`lengths` counts the end token; subtracting one drops exactly this token from the update. The decision to "
        "stop is never rewarded, and whatever gains probability beside it pushes it down. All other "
        "tokens are learned, so that the return rises. What gives it away is the length of the texts, or the share of "
        "texts that end by themselves: always log it. The end token is a token that the agent wrote."
    ),
)
