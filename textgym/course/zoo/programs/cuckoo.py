"""The cuckoo: a policy and a critic learn together to praise the movie, from one loss and one optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import new_logits, thirds, write

LANES, UPDATES, RATE = 32, 150, 0.05


def loss_of(log_probs: torch.Tensor, values: torch.Tensor, returns: torch.Tensor) -> torch.Tensor:
    """What to minimise: the policy's loss plus half of the critic's squared error; all are (N,), one a token."""
    advantages = returns - values
    return -(advantages * log_probs).mean() + 0.5 * (returns - values).square().mean()


def train(seed: int) -> tuple[list[float], list[float]]:
    """Trains both; returns the mean return of each batch, and by how much the critic's values were above it."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"}).vector(LANES)
    rng = np.random.default_rng(seed)
    envs.reset(seed=seed)
    mask = torch.as_tensor(envs.unwrapped.action_masks()[0])
    logits = torch.tensor(new_logits(envs), requires_grad=True)
    values = torch.zeros(len(logits), dtype=torch.float64, requires_grad=True)
    rates: list[dict[str, Any]] = [{"params": [logits], "lr": RATE}, {"params": [values], "lr": 4 * RATE}]
    optimiser = torch.optim.Adam(rates)
    returns, excess = [], []
    for _ in range(UPDATES):
        log_policy = logits.masked_fill(~mask, -1e9).log_softmax(dim=1)
        texts = write(envs, log_policy.detach().exp().numpy(), rng)
        states, tokens = torch.as_tensor(texts.states[texts.alive]), torch.as_tensor(texts.tokens[texts.alive])
        earned = torch.as_tensor(np.repeat(texts.returns, texts.lengths))
        loss = loss_of(log_policy[states, tokens], values[states], earned)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        returns.append(float(texts.returns.mean()))
        excess.append(float((values.detach()[states] - earned).mean()))
    return returns, excess


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, excess = train(seed)
    first, last = thirds(returns)
    return {
        "critic's excess": float(np.mean(excess[30:80])),
        "rise": last - first,
        "return at last": last,
        "excess over time": excess,
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(log_probs: torch.Tensor, values: torch.Tensor, returns: torch.Tensor) -> torch.Tensor:
    """The advantage is a number to the policy: no gradient passes through it."""
    advantages = (returns - values).detach()
    return -(advantages * log_probs).mean() + 0.5 * (returns - values).square().mean()


BUG = Bug(
    symptom="The return rises. The critic sees everything in too bright a light.",
    tell=Tell(
        number="critic's excess",
        sound=(-0.5, 0.5),
        side="above",
        meaning="by how much the critic's values were above the returns, on average, in the middle of the training",
    ),
    healthy={"rise": (0.3, 5.0)},
    chart=Chart(series="excess over time", across="updates", up="value minus return"),
    name="the advantage not detached",
    faulty="loss_of",
    mended=mended,
    explanation=(
        "The gradient of the policy's loss flows through the advantage into the critic. There it minimises the product "
        "by raising the value wherever the log-probability is negative, which is everywhere. The critic ends up above "
        "the returns, by about the surprise of a token, and the surer the policy becomes, the smaller the error: at "
        "the end of the training nobody sees it. What gives it away is the mean of value minus return. "
        "Detach the advantage."
    ),
)
