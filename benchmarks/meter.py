"""The meter: counts what an agent spends and keeps a record of every text it wrote."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import ILLEGAL, EpisodeBatch, Score
from textgym.errors import BudgetSpent
from textgym.scoring import with_illegal

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Codes = NDArray[np.uint8]

_POOL = 400  # texts from the start among which some are shown
_BLOCK = 8  # texts kept at a time for the gold curve: taking rows one by one would cost more than a step

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
        scored_prefixes: Unfinished texts that the reward model scored, under ``reward_timing="step"``.
        gold: The true score of the metered environments, set by them.
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
        self.steps = self.episodes = self.scored_prefixes = 0
        self.gold: Score | None = None
        self._texts = texts
        self._on_progress = on_progress
        span = budget or 1_000_000
        self._spacing, self._next_sample = max(1.0, span / samples), 0.0
        self._report_every = self._next_report = max(1, span // 100)
        self._last_stretch = span - max(span // 20, 100 * texts)
        self._log: list[tuple[int, Floats, Integers, Codes]] = []
        self._single_log: list[tuple[int, float, int, int]] = []
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
        self.episodes += len(returns)
        self._log.append((self.steps, returns, batch.lengths, batch.stop_codes))
        self._keep(batch, returns)

    def record_one(self, episode: Callable[[], EpisodeBatch], value: float, length: int, stop_code: int) -> None:
        """Keeps one episode that has just ended; its batch is built only where the text may be shown."""
        self.episodes += 1
        self._single_log.append((self.steps, value, length, stop_code))
        if self._in_first < _POOL or self.steps >= min(self._next_sample, self._last_stretch):
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
        if self.steps >= self._next_sample:
            taken = min(_BLOCK, count)
            # Rows spread over the lanes, not the first ones, which would always be the same lanes.
            self._samples.append((self.steps, batch.take(np.arange(taken) * count // taken)))
            self._next_sample = self.steps + taken * self._spacing

    @property
    def reward_calls(self) -> int:
        """How many texts the reward model was asked about; it is never asked about illegal ones."""
        return int(np.count_nonzero(self.log().stop_codes != ILLEGAL)) + self.scored_prefixes

    def log(self) -> EpisodeLog:
        """Every finished episode."""
        counts = [len(returns) for _, returns, _, _ in self._log]
        steps = np.repeat(np.array([entry[0] for entry in self._log], dtype=np.int64), counts)
        columns: list[list[Any]] = [[steps], *([entry[column] for entry in self._log] for column in (1, 2, 3))]
        for column, part in enumerate(columns):
            part.append(np.array([entry[column] for entry in self._single_log]))
        steps, returns, lengths, codes = (np.concatenate(part) for part in columns)
        order = np.argsort(steps, kind="stable")
        return EpisodeLog(
            steps[order].astype(np.int64),
            returns[order].astype(np.float64),
            lengths[order].astype(np.int64),
            codes[order].astype(np.uint8),
        )

    def gold_samples(self) -> tuple[Integers, Floats]:
        """``(M,)`` steps and ``(M,)`` true scores of the thin sample, scored now; empty without gold."""
        if self.gold is None or not self._samples:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        steps = np.repeat([steps for steps, _ in self._samples], [len(batch) for _, batch in self._samples])
        return steps, np.concatenate([with_illegal(self.gold, batch) for _, batch in self._samples])

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
        return [text for batch, returns in kept for text in describe(batch, returns, self.gold)]


def describe(batch: EpisodeBatch, returns: Floats, gold: Score | None) -> list[Text]:
    """The episodes of a batch as JSON-able dictionaries."""
    golds = None if gold is None else with_illegal(gold, batch)
    columns = zip(
        batch.prompt_texts,
        batch.completions,
        returns.tolist(),
        [None] * len(batch) if golds is None else golds.tolist(),
        strict=True,
    )
    return [dict(zip(("prompt", "completion", "reward", "gold"), row, strict=True)) for row in columns]
