"""The pelican: a policy learns by imitation, from a batch of demonstrations that is padded to one length."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Flags, Floats, Ints, masked_softmax

TEXTS, UPDATES, RATE = 300, 150, 2.0


def counted(lengths: Ints, budget: int) -> Flags:
    """Which positions (B, T) of the padded batch enter the loss."""
    return np.ones((len(lengths), budget), dtype=bool)


def demonstrations(seed: int) -> tuple[Ints, Ints, Flags]:
    """Texts (B, T), padded with the end token; their lengths with it; and what may be written."""
    env = gym.make("TextGen-v0", level="medium")
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    task = env.unwrapped.task  # type: ignore[attr-defined]
    prompt = task.prompts.prompts[0]
    written = [task.encode_completion(task.demonstrate(prompt, rng)) for _ in range(TEXTS)]
    tokens = np.full((TEXTS, task.budget), task.tokenizer.eos_ids[0])
    for row, text in zip(tokens, written, strict=True):
        row[: len(text)] = text
    return tokens, np.array([len(text) for text in written]), np.asarray(info["action_mask"], dtype=bool)


def cross_entropy(policy: Floats, tokens: Ints, counts: Flags) -> float:
    """Mean surprise, in nats a token, of a policy (T, V) that knows the position alone."""
    logs = np.log(np.take_along_axis(policy, tokens.T, axis=1)).T
    return float(logs[counts].mean() * -1.0)


def train(seed: int) -> tuple[list[float], float, float]:
    """Learns; returns the loss of every update, and what real tokens cost in the end and at first."""
    tokens, lengths, mask = demonstrations(seed)
    counts = counted(lengths, tokens.shape[1])
    logits = np.zeros((tokens.shape[1], len(mask)))
    wanted = np.eye(len(mask))[tokens] * counts[..., None]
    losses = []
    for _ in range(UPDATES):
        policy = masked_softmax(logits, mask)
        losses.append(cross_entropy(policy, tokens, counts))
        logits += RATE * (wanted.sum(axis=0) / counts.sum(axis=0)[:, None] - policy)
    real = np.arange(tokens.shape[1]) < lengths[:, None]
    return losses, cross_entropy(policy, tokens, real), float(np.log(mask.sum()))


def run(seed: int) -> Findings:
    """Trains once and measures."""
    losses, real, at_first = train(seed)
    return {
        "loss hidden": real - losses[-1],
        "reported loss": losses[-1],
        "loss of real tokens": real,
        "fall": losses[0] - losses[-1],
        "loss over time": losses,
        "at first": at_first,
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(lengths: Ints, budget: int) -> Flags:
    """What was written, end token included; not what fills up the row."""
    return np.asarray(np.arange(budget) < lengths[:, None])


BUG = Bug(
    symptom="The loss falls beautifully, lower than anybody expected.",
    tell=Tell(
        number="loss hidden",
        sound=(-0.05, 0.05),
        side="above",
        meaning="the loss of the tokens that people really wrote, minus the loss that the training reports",
    ),
    healthy={"fall": (0.3, 5.0)},
    chart=Chart(series="loss over time", across="updates", up="reported loss, nats a token"),
    name="padded tokens in the loss",
    faulty="counted",
    mended=mended,
    explanation=(
        "Every row is filled up to the longest text, and the filling is counted as if somebody had written it. It is "
        "easy to predict, so the loss is low, and the lower the shorter the texts are. The model pays for it: its "
        "capacity goes into the filling, late positions hardly learn words, and its own texts end too early. "
        "What gives it away is the loss over real tokens alone. Mask by the lengths; keep the end token in."
    ),
)
