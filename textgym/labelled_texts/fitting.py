"""The fit itself: cross-entropy, early stopping, and the same weights for the same seed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from textgym.errors import TrainingError
from textgym.keys import spawn_seed
from textgym.labelled_texts.networks import unknown_id
from textgym.labelled_texts.quality import cross_entropy
from textgym.labelled_texts.settings import ClassifierSettings

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Encoded = list[dict[str, list[int]]]

SCORED = 128  # texts in one forward pass without gradients
WARM_UP = 100  # steps in which the learning rate grows, or a tenth of all
MOST_NORM = 1.0
LEAST_GAIN = 1e-3  # in loss: a perfect classifier would go on for ever


@dataclass(frozen=True)
class Epoch:
    """What one pass over the texts has brought.

    Attributes:
        train_loss: Mean cross-entropy while learning.
        validation_loss: On the validation texts, afterwards.
        validation_accuracy: On the same.
    """

    train_loss: float
    validation_loss: float
    validation_accuracy: float


@contextmanager
def own_randomness(seed: int, device: torch.device, purpose: str) -> Iterator[None]:
    """Seeds torch's global generator, which dropout and new weights draw from, and puts it back afterwards."""
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(spawn_seed(seed, "labelled texts", purpose))
        yield


def encode(tokenizer: Any, texts: Sequence[str], length: int) -> Encoded:
    """The texts as ids, each at most ``length`` long; an empty one is one unknown token, as for ClassifierReward."""
    spare = tokenizer.unk_token or tokenizer.eos_token or tokenizer.bos_token or tokenizer.pad_token
    said = [text if text.strip() else spare for text in texts]
    found = tokenizer(said, truncation=True, max_length=length, verbose=False)
    return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]


def stack(rows: Encoded, pad: int, device: torch.device) -> dict[str, Tensor]:
    """Rows as right-padded tensors ``(B, L)``."""
    longest = max(len(row["input_ids"]) for row in rows)
    fills = {name: pad if name == "input_ids" else 0 for name in rows[0]}
    return {
        name: torch.tensor([row[name] + [fill] * (longest - len(row[name])) for row in rows], device=device)
        for name, fill in fills.items()
    }


def predict(model: Any, rows: Encoded, pad: int) -> Floats:
    """Logits ``(N, K)``, texts of similar length together."""
    model.eval()
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]["input_ids"]))
    logits = np.empty((len(rows), model.config.num_labels))
    with torch.inference_mode():
        for start in range(0, len(order), SCORED):
            part = order[start : start + SCORED]
            found = model(**stack([rows[row] for row in part], pad, model.device)).logits
            logits[part] = found.double().cpu().numpy()
    return logits


def fit(
    model: Any,
    train: tuple[Encoded, Integers],
    validation: tuple[Encoded, Integers],
    settings: ClassifierSettings,
    *,
    pad: int,
    seed: int,
) -> list[Epoch]:
    """Fits a classifier in place, and leaves it with the weights that had the lowest loss on the validation texts.

    Args:
        model: Of ``transformers``, on its device.
        train: Encoded texts and their labels.
        validation: Others.
        settings: How long and how fast.
        pad: The id that pads.
        seed: Of order, dropout and hidden words.

    Returns:
        What each epoch brought.

    Raises:
        TrainingError: if a loss is no number.
    """
    rows, targets = train
    steps = -(-len(rows) // settings.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate(steps, settings.most_epochs))
    weight = _weights(targets, model.config.num_labels) if settings.balance else None
    loss_of = nn.CrossEntropyLoss(weight=None if weight is None else weight.to(model.device))
    rng = np.random.default_rng(spawn_seed(seed, "labelled texts", "order"))
    history: list[Epoch] = []
    best, kept, waited = np.inf, None, 0
    with own_randomness(seed, model.device, "dropout"):
        for _ in range(settings.most_epochs):
            total, model = 0.0, model.train()
            for chosen in _batches(rng, len(rows), settings.batch_size):
                inputs = _hide(stack([rows[row] for row in chosen], pad, model.device), settings)
                loss = loss_of(model(**inputs).logits, torch.tensor(targets[chosen], device=model.device))
                total += _step(model, loss, optimizer, schedule) * len(chosen)
            history.append(_judge(total / len(rows), predict(model, *(validation[0], pad)), validation[1]))
            waited += 1
            if history[-1].validation_loss < best - LEAST_GAIN:
                best, kept, waited = history[-1].validation_loss, copy.deepcopy(model.state_dict()), 0
            if waited >= settings.most_waiting:
                break
    model.load_state_dict(kept)
    model.eval()
    return history


def _step(model: nn.Module, loss: Tensor, optimizer: Any, schedule: Any) -> float:
    value = float(loss.detach())
    if not np.isfinite(value):
        raise TrainingError(f"the loss is {value}; lower learning_rate=")
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), MOST_NORM)
    optimizer.step()
    schedule.step()
    return value


def _batches(rng: np.random.Generator, count: int, size: int) -> Iterator[list[int]]:
    order = rng.permutation(count).tolist()
    return (order[start : start + size] for start in range(0, count, size))


def _hide(inputs: dict[str, Tensor], settings: ClassifierSettings) -> dict[str, Tensor]:
    """Replaces some words by the unknown token, never a special one."""
    unknown = unknown_id(settings)
    if unknown is None:
        return inputs
    ids = inputs["input_ids"]
    hidden = (torch.rand(ids.shape).to(ids.device) < settings.unknown) & (ids > 3)
    return {**inputs, "input_ids": ids.masked_fill(hidden, unknown)}


def _rate(steps: int, epochs: int) -> Any:
    """Grows over the first steps, then falls to a tenth in the last epoch."""
    total = steps * epochs
    warm = max(1, min(WARM_UP, total // 10))
    return lambda step: min((step + 1) / warm, 1.0 - 0.9 * step / total)


def _weights(targets: Integers, labels: int) -> Tensor:
    """What makes each label weigh the same, 1 on average over the texts."""
    counts = np.bincount(targets, minlength=labels)
    return torch.tensor(len(targets) / (labels * counts), dtype=torch.float32)


def _judge(train_loss: float, logits: Floats, targets: Integers) -> Epoch:
    return Epoch(train_loss, cross_entropy(logits, targets), float((logits.argmax(axis=1) == targets).mean()))
