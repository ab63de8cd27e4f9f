"""The meter: counts what an agent spends, and sees every text that it wrote."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from textgym.episodes import EpisodeBatch
from textgym.errors import BudgetSpent

from .curve import Floats, LearningCurve
from .kept_texts import KeptTexts

_PATIENCE, STUBBORN_STEPS = 100, 1_000  # asked for in vain before training is ended, and before the process is


class BudgetOverrunError(BaseException):
    """An agent went on stepping after its budget was spent, and swallowed what told it so.

    No Exception, so that what swallowed :class:`~textgym.errors.BudgetSpent` does not swallow this.
    """


class Meter:
    """Counts steps, episodes and scored texts, and keeps what the report shows.

    A step is one token written by the agent. What is kept of a run does not grow with it: sums for the learning
    curve, and a few texts.

    Args:
        budget: Environment steps that may be spent; None for no limit, and a curve and a sample as for a million.
        reward_calls: Texts that the reward model may score; None for no limit. Texts end in all lanes at once, so that
            the step that uses up the last call may make as many more as there are lanes.
        samples: About how many texts, evenly over the budget, are kept for the gold curve.
        texts: How many texts from the start and from the end are kept.
        on_progress: Called with the steps spent, about 100 times over the budget.
        on_stubborn: Called when an agent swallows everything that tells it to stop; it must end the process.

    Attributes:
        steps: Steps spent.
        free_until: While fewer steps than these are spent there is nothing to refuse or to report, and whoever is in a
            hurry may add to ``steps`` without a call of :meth:`spend`.
        texts: The texts that are kept.
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
        self.steps = self._scored_apart = 0
        self._on_progress = on_progress
        span = budget or 1_000_000
        self._report_every = self._next_report = max(1, span // 100)
        self.free_until = 0.0
        self._curve = LearningCurve(span)
        self.texts = KeptTexts(span, samples=samples, shown=texts)

    def spend(self, steps: int) -> None:
        """Takes steps from the budget before they are made.

        Raises:
            BudgetSpent: if they are more than what is left, or no reward call is left; nothing is taken then.
            BudgetOverrunError: if that was swallowed a hundred times.
        """
        spent = self.steps + steps
        if spent < self.free_until:
            self.steps = spent
            return
        calls_left = self._calls_left()
        if calls_left <= 0:
            raise self._refusal(f"the budget of {self.reward_budget} reward calls is spent ({self.steps} steps made)")
        if self.budget is not None and spent > self.budget:
            made = f"{self.steps} made, {steps} more asked"
            raise self._refusal(f"the budget of {self.budget} steps is spent ({made})")
        # A step makes no more than one call.
        free = min(math.inf if self.budget is None else self.budget, self.steps + calls_left)
        self.steps = spent
        if spent > self._curve.until:
            self._curve.reach(spent)
        if spent >= self.texts.last_stretch:
            self.texts.wanted_from = 0
        reports = spent >= self._next_report
        if reports:
            self._next_report = spent + self._report_every
        self.free_until = min(free, self._next_report, self._curve.until + 1)
        if reports and self._on_progress is not None:
            self._on_progress(spent)

    def _calls_left(self) -> float:
        """Reward calls that are left: at least so many, and not one if it is 0."""
        if self.reward_budget is None:
            return math.inf
        left = self.reward_budget - self.episodes - self._scored_apart  # as if none had been illegal
        return left if left > 0 else self.reward_budget - self.reward_calls

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
        """Counts episodes that have just ended, with their returns ``(K,)``."""
        episodes = self._curve.add(returns, batch.stop_codes)
        if episodes > self.texts.wanted_from:
            self.texts.add(self.steps, episodes, batch, returns)

    def record_one(self, episode: Callable[[], EpisodeBatch], value: float, stop_code: int) -> None:
        """Counts one episode that has just ended; its batch is built only where the text may be kept."""
        episodes = self._curve.add(np.array([value]), np.array([stop_code], dtype=np.uint8))
        if episodes > self.texts.wanted_from:
            self.texts.add(self.steps, episodes, episode(), np.array([value]))

    @property
    def episodes(self) -> int:
        """Texts finished."""
        return self._curve.episodes

    @property
    def scored_apart(self) -> int:
        """Texts that the reward model scored besides the episodes.

        These are prefixes under ``reward_timing="step"`` and ``"turn"``, and what :func:`textgym.score` was asked.
        """
        return self._scored_apart

    @scored_apart.setter
    def scored_apart(self, calls: int) -> None:
        self._scored_apart = calls
        if self.reward_budget is not None:
            self.free_until = 0.0

    @property
    def reward_calls(self) -> int:
        """How many texts the reward model was asked about; illegal ones do not count."""
        return self.episodes - self._curve.illegal + self._scored_apart

    def learning_curve(self) -> list[dict[str, Any]]:
        """Averages of the finished episodes, as :meth:`textgym.benchmarks.curve.LearningCurve.points` has them."""
        return self._curve.points(*self.texts.gold_samples())
