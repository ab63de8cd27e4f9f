"""The cicada: a small network learns by imitation to write reviews of the length that people write.

Texts are padded with the end token, as one does with a tokenizer that has no padding of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

import textgym
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Ints, write

TEXTS, UPDATES, BATCH = 400, 120, 64


def loss_of(logits: torch.Tensor, targets: torch.Tensor, end: int) -> torch.Tensor:
    """The mean cross-entropy of the tokens (B, T) under the logits (B, T, V); padding does not count."""
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=end)


def demonstrations(task: Any, rng: np.random.Generator) -> Ints:
    """Texts that people wrote (N, T), padded with the end token."""
    tokens = np.full((TEXTS, task.budget), task.tokenizer.eos_ids[0])
    for row in tokens:
        text = task.encode_completion(task.demonstrate(task.prompts.prompts[0], rng))
        row[: len(text)] = text
    return tokens


def train(seed: int) -> tuple[list[float], list[float], float]:
    """Learns; returns the losses, how many texts ended by themselves after every update, and how many of people's."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "medium"}).vector(64)
    rng = np.random.default_rng(seed)
    envs.reset(seed=seed)
    task, mask, end = envs.unwrapped.task, torch.as_tensor(envs.unwrapped.action_masks()[0]), envs.unwrapped.eos_id
    shown = torch.as_tensor(demonstrations(task, rng))
    size = len(mask)
    before = torch.cat([torch.full((TEXTS, 1), size), shown[:, :-1]], dim=1)  # the token before; `size` at the start
    table = torch.zeros(size + 1, size, requires_grad=True)
    optimiser = torch.optim.Adam([table], lr=0.1)
    losses, ending = [], []
    for update in range(UPDATES):
        rows = torch.as_tensor(rng.integers(0, TEXTS, BATCH))
        loss = loss_of(table[before[rows]].masked_fill(~mask, -1e9), shown[rows], end)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
        if update % 10 == 9:
            policy = table.detach().masked_fill(~mask, -1e9).double().softmax(dim=1).numpy()
            texts = write(envs, np.tile(policy, (task.budget, 1)), rng)
            ending.append(float((texts.tokens == end)[texts.alive].sum() / len(texts.tokens)))
    return losses, ending, float((shown == end).any(dim=1).double().mean())


def run(seed: int) -> Findings:
    """Trains once and measures."""
    losses, ending, people = train(seed)
    return {
        "texts that end": float(np.mean(ending[-4:])),
        "people's texts that end": people,
        "fall": losses[0] - losses[-1],
        "ends over time": ending,
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(logits: torch.Tensor, targets: torch.Tensor, end: int) -> torch.Tensor:
    """Padding is what comes after the first end token; the first one is part of the text."""
    padding = (targets == end).cumsum(dim=1) > 1
    return functional.cross_entropy(logits.flatten(0, 1), targets.masked_fill(padding, -100).flatten())


BUG = Bug(
    symptom="The loss falls as it should, the words come in a good order, and no text finds its end.",
    tell=Tell(
        number="texts that end",
        sound=(0.4, 1.0),
        side="below",
        meaning="the share of its texts that the network ends by itself, before the budget is used up",
    ),
    healthy={"fall": (0.5, 5.0)},
    chart=Chart(series="ends over time", across="updates / 10", up="share of texts that end"),
    name="the end token used as padding, and ignored",
    faulty="loss_of",
    mended=mended,
    explanation=(
        "`ignore_index` leaves out every end token, the one that ends the text as well as those that only fill the "
        "row. The network never sees how a text ends, and the probability of the end sinks like that of any "
        "token that never comes. GPT-2 has no padding token, and `pad_token = eos_token` brings this bug into many "
        "programs. What gives it away is the share of texts that end by themselves. Mask by position, not by id."
    ),
)
