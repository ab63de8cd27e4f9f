"""Gatherers: pairs go in, comparisons come out, whoever judges; a training script need not know who does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from textgym.annotators import Annotator
from textgym.comparisons import Comparison
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError
from textgym.feedback.pairs import Pair, is_swapped, to_batches
from textgym.keys import spawn_seed
from textgym.playing import concatenate
from textgym.task import Task


class Gatherer(Protocol):
    """Whoever has pairs compared.

    Example:
        >>> from textgym.annotators import BoltzmannAnnotator
        >>> from textgym.factory import EnvFactory
        >>> from textgym.feedback.pairs import sample_pairs
        >>> envs = EnvFactory("TextGen-v0")
        >>> gatherer: Gatherer = SyntheticGatherer(envs.task(), BoltzmannAnnotator(envs.task().gold))
        >>> len(gatherer.gather(sample_pairs(envs, "mixed", 10)))
        10
    """

    def submit(self, pairs: Sequence[Pair]) -> None:
        """Asks for judgements of these pairs; returns at once."""
        ...

    def poll(self) -> list[Comparison]:
        """What came in since the last call; never blocks."""
        ...

    @property
    def pending(self) -> int:
        """How many judgements are still to come out of :meth:`poll`."""
        ...

    def gather(self, pairs: Sequence[Pair], *, timeout: float | None = None) -> list[Comparison]:
        """Submits pairs and waits until no judgement is pending, of earlier pairs neither.

        Args:
            pairs: What is to be compared.
            timeout: Seconds after which it returns what has come in, ``pending`` says how much has not; None waits.
        """
        ...


def gather(
    gatherer: Gatherer, pairs: Sequence[Pair], *, timeout: float | None = None, pause: float = 0.2
) -> list[Comparison]:
    """The blocking half of a gatherer, made of the other half.

    Args:
        gatherer: Where the pairs go.
        pairs: What is to be compared.
        timeout: Seconds after which it returns what has come in; None waits for all.
        pause: Seconds between two looks, where a look has found nothing.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    gatherer.submit(pairs)
    found = gatherer.poll()
    while gatherer.pending and (deadline is None or time.monotonic() < deadline):
        if new := gatherer.poll():
            found += new
        else:
            left = pause if deadline is None else min(pause, deadline - time.monotonic())
            time.sleep(max(left, 0.0))
    return found


@dataclass
class SyntheticGatherer:
    """Simulated annotators behind the protocol that people have.

    The pairs are judged as they are submitted, so that what is random does not depend on who polls when. Each annotator
    sees a pair's texts on the sides that :func:`~textgym.feedback.pairs.is_swapped` says.

    Attributes:
        task: The task in which the texts were written.
        annotators: One, or several, who must have different names.
        seed: Decides the sides and the judgements.
        overlap: By how many annotators each pair is judged; they take turns.
        portion: How many judgements come out of a poll at most; None for all.

    Raises:
        ConfigurationError: for no annotators, two of one name, more overlap than annotators, a portion below 1.
    """

    task: Task
    annotators: Annotator | Sequence[Annotator]
    seed: int = 0
    overlap: int = 1
    portion: int | None = None
    _judges: list[Annotator] = field(init=False, repr=False)
    _waiting: list[Comparison] = field(default_factory=list, init=False, repr=False)
    _asked: int = field(default=0, init=False, repr=False)
    _rngs: list[np.random.Generator] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        given = self.annotators
        self._judges = list(given) if isinstance(given, Sequence) else [given]
        names = [judge.name for judge in self._judges]
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(f"annotators named {names}: expected at least one, and a name of its own for each")
        if not 1 <= self.overlap <= len(names):
            raise ConfigurationError(f"overlap={self.overlap!r} of {len(names)} annotators: expected 1 to {len(names)}")
        if self.portion is not None and self.portion < 1:
            raise ConfigurationError(f"portion={self.portion!r}: expected at least 1, or None for all at once")
        self._rngs = [np.random.default_rng(spawn_seed(self.seed, "judgements", name)) for name in names]

    def submit(self, pairs: Sequence[Pair]) -> None:
        """Judges the pairs; the judgements wait for :meth:`poll`, in the order of the pairs."""
        if not pairs:
            return
        first, second = to_batches(self.task, pairs)
        turns = self.overlap * (self._asked + np.arange(len(pairs)))
        given: list[tuple[int, Comparison]] = []
        for number, (judge, rng) in enumerate(zip(self._judges, self._rngs, strict=True)):
            rows = np.flatnonzero((number - turns) % len(self._judges) < self.overlap).tolist()
            judged = _judge(judge, [pairs[row] for row in rows], first.take(rows), second.take(rows), self.seed, rng)
            given += zip(rows, judged, strict=True)
        self._asked += len(pairs)
        self._waiting += [item for _, item in sorted(given, key=lambda pair: pair[0])]

    def poll(self) -> list[Comparison]:
        """The next judgements, at most a portion of them."""
        count = len(self._waiting) if self.portion is None else self.portion
        found, self._waiting = self._waiting[:count], self._waiting[count:]
        return found

    @property
    def pending(self) -> int:
        """How many judgements wait."""
        return len(self._waiting)

    def gather(self, pairs: Sequence[Pair], *, timeout: float | None = None) -> list[Comparison]:
        """Submits pairs and returns all judgements that wait."""
        return gather(self, pairs, timeout=timeout)


def _judge(
    judge: Annotator,
    pairs: Sequence[Pair],
    first: EpisodeBatch,
    second: EpisodeBatch,
    seed: int,
    rng: np.random.Generator,
) -> list[Comparison]:
    """What one annotator says of pairs, each on the sides where this annotator sees it."""
    if not pairs:
        return []
    swapped = np.array([is_swapped(seed, judge.name, pair.id) for pair in pairs])
    both, rows = concatenate([first, second]), np.arange(len(pairs))
    left, right = both.take(rows + swapped * len(rows)), both.take(rows + ~swapped * len(rows))
    judged = judge.compare(left, right, rng)
    return [
        replace(item, pair=pair.id, swapped=turned, env_id=pair.env_id, policy=pair.policy)
        for item, pair, turned in zip(judged, pairs, swapped.tolist(), strict=True)
    ]
