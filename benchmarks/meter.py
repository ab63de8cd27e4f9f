"""The meter: counts what an agent spends and keeps a record of every text it wrote."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from textgym.episodes import ILLEGAL, EpisodeBatch
from textgym.errors import BudgetSpent
from textgym.playing import concatenate, describe

from .episode_log import EpisodeLog, EpisodeTable, Floats, Integers

_POOL = 400  # texts from the start among which some are shown
_PATIENCE, STUBBORN_STEPS = 100, 1_000  # asked for in vain before training is ended, and before the process is
_BLOCK = 16  # texts kept at a time, at most, for the gold curve: in large batches one by one would be slow

_SMALL = 4_096  # bytes of tokens up to which a whole batch is kept for a sample: to take rows of it is slow

_Sample = tuple[int, EpisodeBatch, Floats, range]  # steps, texts and their returns, which of them are meant

Text = dict[str, Any]
"""``prompt``, ``completion``, ``reward`` and ``gold`` (None where there is none) of one episode."""


class BudgetOverrunError(BaseException):
    """An agent went on stepping after its budget was spent, and swallowed what told it so.

    No Exception, so that what swallowed :class:`~textgym.errors.BudgetSpent` does not swallow this.
    """


class Meter:
    """Counts steps, episodes and scored texts, and keeps what the report shows.

    A step is one token written by the agent. Numbers are kept as they come; strings and true scores are made
    when somebody asks, after training, and only for a thin sample.

    Args:
        budget: Environment steps that may be spent; None for no limit.
        reward_calls: Texts that the reward model may score; None for no limit. Texts end in all lanes at once, so that
            the step that uses up the last call may make as many more as there are lanes.
        samples: About how many texts, evenly over the budget, are kept for the gold curve.
        texts: How many texts from the start and from the end are kept.
        on_progress: Called with the steps spent, about 100 times over the budget.
        on_stubborn: Called when an agent swallows everything that tells it to stop; it must end the process.

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
        reward_calls: int | None = None,
        samples: int = 2000,
        texts: int = 20,
        on_progress: Callable[[int], None] | None = None,
        on_stubborn: Callable[[], None] | None = None,
    ) -> None:
        self._refused, self._on_stubborn = 0, on_stubborn
        self.budget, self.reward_budget = budget, reward_calls
        self._scored = 0  # texts, kept up only where there is a limit
        self.steps = self.episodes = self.scored_apart = 0
        self._texts = texts
        self._on_progress = on_progress
        span = budget or 1_000_000
        self._samples_wanted, self._span = samples, span
        self._sample_from, self._sample_to = 0, 1
        self._report_every = self._next_report = max(1, span // 100)
        self._next_look = 0.0  # steps up to which there is nothing to report or to refuse
        self._last_stretch = span - max(span // 20, 100 * texts)
        self._table = EpisodeTable(span)
        self._add = self._table.add  # looked up at every step otherwise
        self._samples: list[_Sample] = []
        self._first: list[tuple[EpisodeBatch, Floats]] = []
        self._last: deque[tuple[EpisodeBatch, Floats]] = deque()
        self._in_first = self._in_last = 0

    def spend(self, steps: int) -> None:
        """Takes steps from the budget before they are made.

        Raises:
            BudgetSpent: if they are more than what is left, or no reward call is left; nothing is taken then.
            BudgetOverrunError: if that was swallowed a hundred times.
        """
        spent = self.steps + steps
        if spent < self._next_look:
            self.steps = spent
            return
        if self.reward_budget is not None and self._scored + self.scored_apart >= self.reward_budget:
            raise self._refusal(f"the budget of {self.reward_budget} reward calls is spent ({self.steps} steps made)")
        if self.budget is not None and spent > self.budget:
            made = f"{self.steps} made, {steps} more asked"
            raise self._refusal(f"the budget of {self.budget} steps is spent ({made})")
        self.steps = spent
        if spent >= self._next_report:
            self._next_report = spent + self._report_every
            if self._on_progress is not None:
                self._on_progress(spent)
        limit = math.inf if self.budget is None else self.budget
        self._next_look = 0 if self.reward_budget is not None else min(self._next_report, limit)

    def _refusal(self, reason: str) -> BaseException:
        self._refused += 1
        if self._refused > STUBBORN_STEPS and self._on_stubborn is not None:
            self._on_stubborn()
        if self._refused > _PATIENCE:
            return BudgetOverrunError(
                f"{reason}; BudgetSpent was swallowed {_PATIENCE} times: let it pass, or stop there"
            )
        return BudgetSpent(reason)

    def record(self, batch: EpisodeBatch, returns: Floats) -> None:
        """Keeps episodes that have just ended, with their returns ``(K,)``."""
        self.episodes += len(returns)
        self._add(self.steps, returns, batch.lengths, batch.stop_codes)
        if self.reward_budget is not None:
            self._scored += int(np.count_nonzero(batch.stop_codes != ILLEGAL))
        if self._in_first < _POOL or self.episodes > self._sample_from or self.steps >= self._last_stretch:
            self._keep(batch, returns)

    def record_one(self, episode: Callable[[], EpisodeBatch], value: float, length: int, stop_code: int) -> None:
        """Keeps one episode that has just ended; its batch is built only where the text may be shown."""
        self.episodes += 1
        self._table.add_one(self.steps, value, length, stop_code)
        if self.reward_budget is not None:
            self._scored += stop_code != ILLEGAL
        if self._in_first < _POOL or self.episodes > self._sample_from or self.steps >= self._last_stretch:
            self._keep(episode(), np.array([value]))

    def _keep(self, batch: EpisodeBatch, returns: Floats) -> None:
        count = len(returns)
        if self._in_first < _POOL:
            self._first.append((batch, returns))
            self._in_first += count
        self._last.append((batch, returns))
        self._in_last += count
        while self._in_last - len(self._last[0][1]) >= self._texts:
            self._in_last -= len(self._last.popleft()[1])
        self._sample(batch, returns)

    def _sample(self, batch: EpisodeBatch, returns: Floats) -> None:
        """Takes blocks of consecutive episodes, evenly over their numbers.

        Only an episode's number decides. To take what ends at chosen steps instead would favour short texts:
        when lanes run in step, the long ones end together and the short ones alone.
        """
        count = len(returns)
        start = self.episodes - count
        while self._sample_from < self.episodes:
            rows = range(self._sample_from - start, min(self._sample_to, self.episodes) - start)
            if batch.tokens.nbytes <= _SMALL:
                self._samples.append((self.steps, batch, returns, rows))
            else:
                taken = np.arange(rows.start, rows.stop)
                self._samples.append((self.steps, batch.take(taken), returns[taken], range(len(rows))))
            self._sample_from += len(rows)
            if self._sample_from == self._sample_to:
                block = min(_BLOCK, 1 + count // 2)  # neighbours are alike, so no more than speed asks for
                expected = self.episodes * self._span / self.steps  # over the whole budget
                self._sample_from += int(block * max(0.0, expected / self._samples_wanted - 1.0))
                self._sample_to = self._sample_from + block

    @property
    def reward_calls(self) -> int:
        """How many texts the reward model was asked about; it is never asked about illegal ones."""
        return self._table.count_legal() + self.scored_apart

    def log(self) -> EpisodeLog:
        """Every finished episode."""
        return self._table.log()

    def sampled(self) -> Iterator[tuple[int, EpisodeBatch, Floats]]:
        """The thin sample: steps at which texts ended, these texts, and their returns."""
        for steps, batch, returns, rows in self._samples:
            whole = len(rows) == len(batch)
            yield (steps, batch, returns) if whole else (steps, batch.take(list(rows)), returns[list(rows)])

    def gold_samples(self) -> tuple[Integers, Floats]:
        """``(M,)`` steps and ``(M,)`` true scores of the thin sample, scored now; empty without gold."""
        kept = [sample for sample in self._samples if sample[1].has_gold]
        if not kept:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        starts = np.cumsum([0, *(len(batch) for _, batch, _, _ in kept)])
        rows = [start + np.array(found) for start, (_, _, _, found) in zip(starts[:-1], kept, strict=True)]
        # All at once, rows and scores: one by one takes ten times as long.
        golds = concatenate([batch for _, batch, _, _ in kept]).take(np.concatenate(rows)).gold()
        assert golds is not None
        return np.repeat([steps for steps, *_ in kept], [len(found) for found in rows]), golds

    def first_texts(self) -> list[Text]:
        """Some of the first texts, evenly from the first few hundred.

        The very first to end in a vector environment are short ones, and say nothing about the agent.
        """
        places = [(batch, returns, row) for batch, returns in self._first for row in range(len(returns))]
        count = min(self._texts, len(places))
        chosen = [places[index] for index in np.arange(count) * len(places) // max(1, count)]
        return self._describe((batch.take([row]), returns[[row]]) for batch, returns, row in chosen)

    def last_texts(self) -> list[Text]:
        """The last texts, in the order in which they ended."""
        return self._describe(self._last)[-self._texts :]

    def texts_at(self, moments: int = 5, each: int = 4) -> list[Text]:
        """Texts from fixed moments, spread evenly over the budget.

        Returns:
            The first ``each`` sampled texts from each moment on that was reached, the last ones for the end, each
            with the ``steps`` at which it ended.
        """
        places = [(sample, row) for sample in self._samples for row in sample[3]]
        ends = np.array([sample[0] for sample, _ in places], dtype=np.int64)
        reached = [moment for moment in np.linspace(0, self._span, moments) if moment < self.steps]
        chosen: list[tuple[_Sample, int]] = []
        for moment in [*reached, np.inf][:moments]:
            first = max(0, min(int(np.searchsorted(ends, moment)), len(places) - each))
            chosen += places[first : first + each]
        texts = self._describe((sample[1].take([row]), sample[2][[row]]) for sample, row in chosen)
        return [{"steps": sample[0], **text} for (sample, _), text in zip(chosen, texts, strict=True)]

    def _describe(self, kept: Iterable[tuple[EpisodeBatch, Floats]]) -> list[Text]:
        batches = list(kept)
        if not batches:
            return []
        return describe(concatenate([batch for batch, _ in batches]), np.concatenate([found for _, found in batches]))
