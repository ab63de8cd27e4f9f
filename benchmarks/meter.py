"""The meter: counts what an agent spends and keeps a record of every text it wrote."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import ILLEGAL, EpisodeBatch
from textgym.errors import BudgetSpent
from textgym.playing import describe

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Codes = NDArray[np.uint8]

_COLUMNS = (np.int64, np.float64, np.int64, np.uint8)  # of an EpisodeLog
_POOL = 400  # texts from the start among which some are shown
_BLOCK = 8  # texts kept at a time, at most, for the gold curve: in large batches one by one would be slow

Text = dict[str, Any]
"""``prompt``, ``completion``, ``reward`` and ``gold`` (None where there is none) of one episode."""


@dataclass(frozen=True, slots=True)
class EpisodeLog:
    """Every finished episode in the order in which they ended; all arrays are ``(N,)``.

    Attributes:
        steps: Environment steps spent, by all environments together, when the episode ended.
        returns: Sum of its rewards.
        lengths: Tokens of its completion.
        stop_codes: Indices into :data:`textgym.episodes.STOP_REASONS`.
    """

    steps: Integers
    returns: Floats
    lengths: Integers
    stop_codes: Codes


class Meter:
    """Counts steps, episodes and scored texts, and keeps what the report shows.

    A step is one token written by the agent. Numbers are kept as they come; strings and true scores are made
    when somebody asks, after training, and only for a thin sample.

    Args:
        budget: Environment steps that may be spent; None for no limit.
        samples: About how many texts, evenly over the budget, are kept for the gold curve.
        texts: How many texts from the start and from the end are kept.
        on_progress: Called with the steps spent, about 100 times over the budget.

    Attributes:
        steps: Steps spent.
        episodes: Texts finished.
        scored_apart: Texts that the reward model scored besides: prefixes under ``reward_timing="step"``, and
            what ``textgym.score`` was asked.
    """

    def __init__(
        self,
        budget: int | None = None,
        *,
        samples: int = 2000,
        texts: int = 20,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self.budget = budget
        self.steps = self.episodes = self.scored_apart = 0
        self._texts = texts
        self._on_progress = on_progress
        span = budget or 1_000_000
        self._samples_wanted, self._span = samples, span
        self._sample_from, self._sample_to = 0, 1
        self._report_every = self._next_report = max(1, span // 100)
        self._last_stretch = span - max(span // 20, 100 * texts)
        self._log: tuple[Any, ...] = tuple(np.zeros(1024, dtype=kind) for kind in _COLUMNS)
        self._samples: list[tuple[int, EpisodeBatch]] = []
        self._first: list[tuple[EpisodeBatch, Floats]] = []
        self._last: deque[tuple[EpisodeBatch, Floats]] = deque()
        self._in_first = self._in_last = 0

    def spend(self, steps: int) -> None:
        """Takes steps from the budget before they are made.

        Raises:
            BudgetSpent: if they are more than what is left; nothing is taken then.
        """
        spent = self.steps + steps
        if self.budget is not None and spent > self.budget:
            raise BudgetSpent(f"the budget of {self.budget} steps is spent ({self.steps} made, {steps} more asked)")
        self.steps = spent
        if spent >= self._next_report:
            self._next_report = spent + self._report_every
            if self._on_progress is not None:
                self._on_progress(spent)

    def record(self, batch: EpisodeBatch, returns: Floats) -> None:
        """Keeps episodes that have just ended, with their returns ``(K,)``."""
        self._write(returns, batch.lengths, batch.stop_codes, len(returns))
        if self._wants_text():
            self._keep(batch, returns)

    def record_one(self, episode: Callable[[], EpisodeBatch], value: float, length: int, stop_code: int) -> None:
        """Keeps one episode that has just ended; its batch is built only where the text may be shown."""
        self._write(value, length, stop_code, 1)
        if self._wants_text():
            self._keep(episode(), np.array([value]))

    def _wants_text(self) -> bool:
        """Whether an episode that just ended may be shown or sampled: most are numbers only."""
        return self._in_first < _POOL or self.episodes > self._sample_from or self.steps >= self._last_stretch

    def _write(self, returns: Any, lengths: Any, stop_codes: Any, count: int) -> None:
        """Copies into one growing table: to hold on to the arrays themselves would cost more in fresh memory."""
        rows = slice(self.episodes, self.episodes + count)
        self.episodes += count
        if self.episodes > len(self._log[0]):
            self._log = tuple(np.concatenate([old, np.zeros(self.episodes, dtype=old.dtype)]) for old in self._log)
        log_steps, log_returns, log_lengths, log_codes = self._log
        log_steps[rows] = self.steps
        log_returns[rows] = returns
        log_lengths[rows] = lengths
        log_codes[rows] = stop_codes

    def _keep(self, batch: EpisodeBatch, returns: Floats) -> None:
        count = len(returns)
        if self._in_first < _POOL:
            self._first.append((batch, returns))
            self._in_first += count
        self._last.append((batch, returns))
        self._in_last += count
        while self._in_last - len(self._last[0][1]) >= self._texts:
            self._in_last -= len(self._last.popleft()[1])
        self._sample(batch, count)

    def _sample(self, batch: EpisodeBatch, count: int) -> None:
        """Takes blocks of consecutive episodes, evenly over their numbers.

        Only an episode's number decides. To take what ends at chosen steps instead would favour short texts:
        when lanes run in step, the long ones end together and the short ones alone.
        """
        start = self.episodes - count
        while self._sample_from < self.episodes:
            rows = np.arange(self._sample_from, min(self._sample_to, self.episodes)) - start
            self._samples.append((self.steps, batch.take(rows)))
            self._sample_from += len(rows)
            if self._sample_from == self._sample_to:
                block = min(_BLOCK, 1 + count // 16)  # neighbours are alike, so no more than speed asks for
                expected = self.episodes * self._span / self.steps  # over the whole budget
                self._sample_from += int(block * max(0.0, expected / self._samples_wanted - 1.0))
                self._sample_to = self._sample_from + block

    @property
    def reward_calls(self) -> int:
        """How many texts the reward model was asked about; it is never asked about illegal ones."""
        return int(np.count_nonzero(self.log().stop_codes != ILLEGAL)) + self.scored_apart

    def log(self) -> EpisodeLog:
        """Every finished episode."""
        steps, returns, lengths, codes = (column[: self.episodes].copy() for column in self._log)
        return EpisodeLog(steps, returns, lengths, codes)

    def gold_samples(self) -> tuple[Integers, Floats]:
        """``(M,)`` steps and ``(M,)`` true scores of the thin sample, scored now; empty without gold."""
        steps = [np.full(len(batch), steps) for steps, batch in self._samples if batch.has_gold]
        golds = [batch.gold() for _, batch in self._samples if batch.has_gold]
        return np.concatenate([np.zeros(0, dtype=np.int64), *steps]), np.concatenate([np.zeros(0), *golds])

    def first_texts(self) -> list[Text]:
        """Some of the first texts, evenly from the first few hundred.

        The very first to end in a vector environment are short ones, and say nothing about the agent.
        """
        batches = [(batch.take([row]), returns[[row]]) for batch, returns in self._first for row in range(len(returns))]
        chosen = np.arange(min(self._texts, len(batches))) * len(batches) // max(1, min(self._texts, len(batches)))
        return self._describe(batches[index] for index in chosen)

    def last_texts(self) -> list[Text]:
        """The last texts, in the order in which they ended."""
        return self._describe(self._last)[-self._texts :]

    def _describe(self, kept: Iterable[tuple[EpisodeBatch, Floats]]) -> list[Text]:
        return [text for batch, returns in kept for text in describe(batch, returns)]
