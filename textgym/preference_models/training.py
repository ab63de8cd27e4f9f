"""Training of networks on judgements: whole batches, no loop over pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from textgym.davidson import TIE
from textgym.errors import TrainingError
from textgym.preference_models.judgements import Judgements
from textgym.preference_models.judging import Judging
from textgym.preference_models.settings import FitSettings

_SCORED = 2048  # texts in one forward pass of a small network


def preference_loss(margins: Tensor, outcomes: Tensor, tie: Tensor | None = None) -> Tensor:
    """The mean negative log-likelihood of choices under the model of :mod:`textgym.preference_models.judging`.

    Args:
        margins: ``(B,)``.
        outcomes: ``(B,)`` 1 for left, 0 for a tie, -1 for right.
        tie: Logarithm of the tie parameter; None where there are no ties.
    """
    if tie is None:
        return functional.softplus(-margins * outcomes).mean()
    weights = torch.stack([0.5 * margins, tie.expand_as(margins), -0.5 * margins], dim=1)
    return functional.cross_entropy(weights, 1 - outcomes)


class Judges(nn.Module):
    """What is learned of the judges: the weight of a tie, the preferred side, and their log-reliabilities.

    Args:
        judgements: Say how many judges there are and whether there are ties.
    """

    def __init__(self, judgements: Judgements) -> None:
        super().__init__()
        self.side = nn.Parameter(torch.zeros(()))
        share = float((judgements.outcomes == TIE).mean())
        # A tie of two equal texts is as likely as ties are at all: where the fit begins.
        start = torch.tensor(2 * share / max(1.0 - share, 0.01)).log() if share else None
        self.tie = None if start is None else nn.Parameter(start)
        count = len(judgements.names)
        self.reliabilities = nn.Parameter(torch.zeros(count)) if count > 1 else None

    def factors(self, annotators: Tensor) -> Tensor:
        """``(B,)`` reliability of each judgement's annotator."""
        if self.reliabilities is None:
            return torch.ones(len(annotators), device=annotators.device)
        return (self.reliabilities - self.reliabilities.mean())[annotators].exp()

    def as_judging(self, names: tuple[str, ...]) -> Judging:
        """What was learned, for scores of the network as they are."""
        with torch.no_grad():
            factors = self.factors(torch.arange(len(names), device=self.side.device)).tolist()
            tie = 0.0 if self.tie is None else self.tie.exp().item()
            known = dict(zip(names, factors, strict=True)) if len(names) > 1 else {}
            return Judging(side=self.side.item(), tie=tie, reliabilities=known)


@dataclass(frozen=True, eq=False)
class Batch:
    """Judgements as tensors.

    Attributes:
        left: ``(M,)`` rows of texts.
        right: ``(M,)`` likewise.
        outcomes: ``(M,)`` 1 for left, 0 for a tie, -1 for right.
        annotators: ``(M,)`` places in the list of names.
        handicaps: ``(M,)`` what the margin loses, so that strong preferences need more of it.
    """

    left: Tensor
    right: Tensor
    outcomes: Tensor
    annotators: Tensor
    handicaps: Tensor

    @classmethod
    def of(cls, judgements: Judgements, settings: FitSettings, device: torch.device) -> Batch:
        """All judgements."""
        losses = settings.margin * judgements.strengths * judgements.outcomes
        handicaps = torch.tensor(losses, dtype=torch.float32)
        arrays = (judgements.left, judgements.right, judgements.outcomes, judgements.annotators)
        left, right, outcomes, annotators = (torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays)
        return cls(left, right, outcomes, annotators, handicaps.to(device))

    def take(self, rows: Tensor) -> Batch:
        """Some of them."""
        return Batch(
            self.left[rows], self.right[rows], self.outcomes[rows], self.annotators[rows], self.handicaps[rows]
        )


def batch_loss(network: nn.Module, judges: Judges, inputs: Tensor, batch: Batch, *, centering: float = 0.0) -> Tensor:
    """The loss of some judgements: both texts of all of them pass the network at once."""
    scores = network(inputs[torch.cat([batch.left, batch.right])])
    left, right = scores.chunk(2)
    margins = judges.factors(batch.annotators) * (left - right) + judges.side - batch.handicaps
    loss = preference_loss(margins, batch.outcomes, judges.tie)
    return loss + centering * ((left + right) ** 2).mean() if centering else loss


def train(
    make: Callable[[], nn.Module],
    inputs: Tensor,
    judgements: Judgements,
    settings: FitSettings,
    *,
    seed: int,
    learning_rate: float,
) -> tuple[nn.Module, Judging]:
    """Fits a network to judgements with Adam and a rate that falls to 0.

    Args:
        make: Makes the network, whose ``forward`` turns rows of ``inputs`` into scores ``(B,)``.
        inputs: ``(N, ...)`` what it reads of each text of the judgements.
        judgements: To be explained.
        settings: How long and how fast.
        seed: Of the first weights and of the order of the judgements.
        learning_rate: At the beginning, unless the settings name one.

    Raises:
        TrainingError: if the loss is no number.
    """
    device = find_device(settings.device)
    rate = settings.learning_rate or learning_rate
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network, judges = make().to(device).train(), Judges(judgements).to(device)
        groups = [
            {"params": [p for p in network.parameters() if p.requires_grad], "weight_decay": settings.weight_decay},
            {"params": list(judges.parameters()), "weight_decay": 0.0, "lr": max(rate, 1e-2)},
        ]
        optimizer = torch.optim.AdamW(groups, lr=rate)
        batches = _Batches(Batch.of(judgements, settings, device), settings)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / batches.total)
        for batch in batches:
            loss = batch_loss(network, judges, inputs, batch, centering=settings.centering)
            if judges.reliabilities is not None:
                spread = ((judges.reliabilities - judges.reliabilities.mean()) ** 2).sum()
                loss = loss + 0.5 * settings.reliability_penalty * spread / len(judgements)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    if not all(bool(torch.isfinite(weight).all()) for weight in network.parameters()):
        raise TrainingError(f"the weights are no numbers any more; lower learning_rate={rate:g}")
    return network.eval(), judges.as_judging(judgements.names)


class _Batches:
    """All judgements in a new order in each epoch."""

    def __init__(self, whole: Batch, settings: FitSettings) -> None:
        self.whole, self.size = whole, settings.batch_size
        self.epochs = settings.count_epochs(len(whole.left))
        self.total = self.epochs * -(-len(whole.left) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.epochs):
            order = torch.randperm(len(self.whole.left)).to(self.whole.left.device)
            for rows in torch.split(order, self.size):
                yield self.whole.take(rows)


def find_device(name: str) -> torch.device:
    """The device of that name; "auto" is cuda where there is one, else cpu."""
    return torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")


def score_all(network: nn.Module, inputs: Tensor, *, size: int = _SCORED) -> NDArray[np.float64]:
    """``(N,)`` scores of all rows, some at a time."""
    with torch.inference_mode():
        parts = [network(rows).double() for rows in torch.split(inputs, size)] if len(inputs) else [torch.zeros(0)]
        return torch.cat(parts).cpu().double().numpy()
