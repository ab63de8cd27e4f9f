"""Which pair an annotator sees next, and on which sides: seeded, so that a project can be told again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from textgym.comparisons import Comparison
from textgym.feedback.pairs import Pair

REPEAT_GAP = 5
"""Tasks that must lie between a pair and its repeat."""


class Strategy(Protocol):
    """Decides which pairs are asked about first."""

    def rank(self, pairs: Sequence[Pair], counts: Sequence[int], comparisons: Sequence[Comparison]) -> Sequence[int]:
        """Puts pairs in order.

        Args:
            pairs: Those that still need judgements.
            counts: How many annotators have each of them already, in the same order.
            comparisons: All judgements in force, of whichever pairs.

        Returns:
            Every position in ``pairs`` once, the most wanted first.
        """
        ...


@dataclass(frozen=True)
class RandomOrder:
    """One random order for all annotators, so that pairs are finished one after the other.

    Attributes:
        seed: Decides the order; a pair keeps its place when others come in.
    """

    seed: int = 0

    def rank(self, pairs: Sequence[Pair], counts: Sequence[int], comparisons: Sequence[Comparison]) -> list[int]:
        """Puts pairs in an order that nothing but the seed and their names decides."""
        places = [chance(self.seed, "order", pair.id) for pair in pairs]
        return sorted(range(len(pairs)), key=lambda index: (places[index], pairs[index].id))


def chance(seed: int, *words: str | int) -> float:
    """A number in [0, 1) that is always the same for the same seed and words.

    Example:
        >>> chance(0, "order", "pair 7") == chance(0, "order", "pair 7") != chance(1, "order", "pair 7")
        True
    """
    return int.from_bytes(sha256(repr((seed, *words)).encode()).digest()[:6], "big") / 2**48


def is_due(seed: int, annotator: str, kind: str, *, share: float, given: int, tasks: int) -> bool:
    """Whether an annotator's next task should be one of a kind that makes up a share of all.

    The i-th of them falls due at a random one of the tasks ``i / share`` to ``(i + 1) / share``, so that nobody can
    count them out and their number is right all the same; one that cannot be given when it is due is made up for.

    Args:
        seed: The project's.
        annotator: Who is asked.
        kind: For example "repeat".
        share: The share of all tasks, from 0 to 1.
        given: Tasks of this kind so far.
        tasks: Tasks of all kinds so far.

    Example:
        >>> sum(is_due(0, "ann", "repeat", share=0.5, given=0, tasks=tasks) for tasks in range(3)) in (1, 2, 3)
        True
        >>> is_due(0, "ann", "repeat", share=0.0, given=0, tasks=100)
        False
    """
    return share > 0 and tasks * share >= given + chance(seed, annotator, kind, given)
