"""The chance in a partner, as a partner states it, and partners who say what the solver wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import SolveError
from textgym.exact.tree import Floats
from textgym.task import Task


def read_cases(task: Task) -> tuple[Floats, NDArray[np.uint64]]:
    """``(C,)`` probabilities and keys of what a partner chooses for the whole conversation.

    Raises:
        SolveError: for a partner that is random and says neither ``cases()`` nor ``outcomes(batch)``, and for
            probabilities that are none.
    """
    partner: Any = task.partner
    if not getattr(partner, "stochastic", False):
        return np.ones(1), np.zeros(1, dtype=np.uint64)
    if not hasattr(partner, "cases"):
        if hasattr(partner, "outcomes"):
            return np.ones(1), np.zeros(1, dtype=np.uint64)
        raise SolveError(
            f"{task!r} is random beyond its prompts, and its chance is not known: let the partner {partner!r} offer "
            "outcomes(batch) -> [(probability, replies (B, R))], or cases() -> [(probability, key)]"
        )
    cases = partner.cases()
    chances = np.array([chance for chance, _ in cases], dtype=np.float64)
    _check_chances(partner, "cases", chances[None])
    keys = np.array([key for _, key in cases], dtype=np.uint64)
    return chances[chances > 0.0], keys[chances > 0.0]


def read_outcomes(partner: Any, batch: EpisodeBatch) -> tuple[Floats, NDArray[np.int32]]:
    """``(B, K)`` probabilities and ``(B, K, R)`` replies of all that a partner may say.

    Raises:
        SolveError: for probabilities that are none.
    """
    pad, outcomes = batch.tokenizer.vocab_size, partner.outcomes(batch)
    replies = np.full((len(batch), len(outcomes), partner.max_reply_tokens), pad, dtype=np.int32)
    for number, (_, reply) in enumerate(outcomes):
        replies[:, number, : np.shape(reply)[1]] = reply
    chances = np.stack([np.broadcast_to(chance, len(batch)) for chance, _ in outcomes], axis=1).astype(np.float64)
    _check_chances(partner, "outcomes", chances)
    return chances, replies


def _check_chances(partner: Any, what: str, chances: Floats) -> None:
    sums = chances.sum(axis=1)
    wrong = (np.abs(sums - 1.0) > 1e-9) | (chances < 0.0).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise SolveError(
            f"the {what} of the partner {partner!r} have the probabilities {chances[row].tolist()}, which add up to "
            f"{sums[row]:g}; expected numbers from 0 to 1 that add up to 1"
        )


class Listener:
    """A partner that says nothing, and keeps who waited for a reply.

    Attributes:
        batch: Their conversations.
    """

    max_reply_tokens = 0
    batch: EpisodeBatch

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
        """``(B, 0)`` nothing."""
        self.batch = batch
        return np.zeros((len(batch), 0), dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Script:
    """A partner that says what it was told to.

    Attributes:
        replies: ``(B, R)`` for the rows that will wait, in order.
        max_reply_tokens: R.
    """

    replies: NDArray[np.int32]
    max_reply_tokens: int

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
        """``(B, R)`` the replies."""
        return self.replies


def pay_nothing(batch: EpisodeBatch) -> Floats:
    """``(B,)`` zeros, where nobody asks what is paid."""
    return np.zeros(len(batch))
