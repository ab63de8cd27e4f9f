"""Simulated annotators: judges whose true score is known. Those with a bias are in :mod:`textgym.biases`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from textgym.bradley_terry import preference_probability
from textgym.comparisons import Choice, Comparison
from textgym.davidson import davidson_probabilities
from textgym.episodes import EpisodeBatch, Score
from textgym.errors import ConfigurationError

Floats = NDArray[np.float64]

STRENGTHS = (1.0, 2.5)
"""Log-odds from which a preference is of strength 2, and of strength 3."""

READING = (2.0, 0.3)
"""Median seconds of a simulated judgement: for itself, and for each token of both texts."""


class Annotator(Protocol):
    """Whoever judges pairs of texts.

    Attributes:
        name: Goes into each comparison.
    """

    @property
    def name(self) -> str:
        """Who judges."""
        ...

    def compare(self, left: EpisodeBatch, right: EpisodeBatch, rng: np.random.Generator) -> list[Comparison]:
        """Judges row ``i`` of ``left`` against row ``i`` of ``right``."""
        ...


class Judge(Annotator, Protocol):
    """An annotator in two halves, what is felt and what is said, so that a bias can come between them."""

    def lean(self, left: EpisodeBatch, right: EpisodeBatch) -> Floats:
        """``(B,)`` log-odds of left against right."""
        ...

    def say(
        self, left: EpisodeBatch, right: EpisodeBatch, log_odds: Floats, rng: np.random.Generator
    ) -> list[Comparison]:
        """The judgements of somebody who leans as these log-odds ``(B,)`` say."""
        ...


@dataclass(frozen=True)
class BoltzmannAnnotator:
    """A simulated judge that errs more often the closer two texts are.

    Attributes:
        score: What the judge values, for example a task's gold score.
        temperature: Size of the score difference at which the better text wins 73 % of the time;
            towards 0 the judge never errs.
        name: Goes into each comparison.
        ties: Davidson's tie parameter (:mod:`textgym.davidson`): two equal texts tie with the chance
            ``ties / (2 + ties)``; with 0 there are no ties.
        skips: Share of pairs that are skipped.
        bad_below: Where the scores of both texts are below this, a tie is "both_bad"; None for never.
        strengths: Whether it is said how much better a text is.
        timed: Whether judgements take time: longer for longer texts, with a spread.

    Example:
        >>> from textgym.tasks import get
        >>> BoltzmannAnnotator(get("Reviews").gold, ties=0.5).name
        'boltzmann'
    """

    score: Score
    temperature: float = 1.0
    name: str = "boltzmann"
    ties: float = 0.0
    skips: float = 0.0
    bad_below: float | None = None
    strengths: bool = False
    timed: bool = False

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigurationError(f"temperature={self.temperature!r}: expected a number above 0")
        if not self.ties >= 0:
            raise ConfigurationError(f"ties={self.ties!r}: expected a number of 0 or more")
        if not 0 <= self.skips <= 1:
            raise ConfigurationError(f"skips={self.skips!r}: expected a share from 0 to 1")

    def compare(self, left: EpisodeBatch, right: EpisodeBatch, rng: np.random.Generator) -> list[Comparison]:
        """Judges row ``i`` of ``left`` against row ``i`` of ``right``.

        Raises:
            ConfigurationError: if the two batches do not have the same prompts.
        """
        return self.say(left, right, self.lean(left, right), rng)

    def lean(self, left: EpisodeBatch, right: EpisodeBatch) -> Floats:
        """``(B,)`` log-odds of left against right: the difference of the scores over the temperature.

        Raises:
            ConfigurationError: if the two batches do not have the same prompts.
        """
        if not np.array_equal(left.prompt_indices, right.prompt_indices):
            raise ConfigurationError(
                "both batches must have the same prompt in each row: texts are compared per prompt"
            )
        return (self.score(left) - self.score(right)) / self.temperature

    def say(
        self, left: EpisodeBatch, right: EpisodeBatch, log_odds: Floats, rng: np.random.Generator
    ) -> list[Comparison]:
        """The judgements of somebody who leans as these log-odds ``(B,)`` say."""
        choices = self._choose(left, right, log_odds, rng)
        strengths = np.searchsorted(STRENGTHS, np.where(choices == "left", log_odds, -log_odds), side="right") + 1
        seconds = self._seconds(left, right, rng)
        rows = zip(left.prompt_texts, left.completions, right.completions, choices.tolist(), strict=True)
        return [
            Comparison(
                prompt=prompt,
                left=one,
                right=other,
                choice=cast("Choice", choice),
                strength=int(strengths[row]) if self.strengths and choice in ("left", "right") else None,
                left_ids=tuple(left.ids(row)),
                right_ids=tuple(right.ids(row)),
                annotator=self.name,
                seconds=seconds[row],
            )
            for row, (prompt, one, other, choice) in enumerate(rows)
        ]

    def _choose(
        self, left: EpisodeBatch, right: EpisodeBatch, log_odds: Floats, rng: np.random.Generator
    ) -> NDArray[np.str_]:
        """``(B,)`` choices."""
        draws = rng.random(len(left))
        if self.ties:
            prefers_left, tied, _ = davidson_probabilities(log_odds, self.ties).T
        else:
            prefers_left, tied = preference_probability(log_odds, np.zeros_like(log_odds)), np.zeros_like(log_odds)
        choices = np.select([draws < prefers_left, draws < prefers_left + tied], ["left", "tie"], "right")
        if self.bad_below is not None:
            bad = (self.score(left) < self.bad_below) & (self.score(right) < self.bad_below)
            choices = np.where(bad & (choices == "tie"), "both_bad", choices)
        if self.skips:
            choices = np.where(rng.random(len(left)) < self.skips, "skip", choices)
        return choices

    def _seconds(self, left: EpisodeBatch, right: EpisodeBatch, rng: np.random.Generator) -> list[float | None]:
        if not self.timed:
            return [None] * len(left)
        usual = READING[0] + READING[1] * (left.lengths + right.lengths)
        times: list[float | None] = np.round(usual * rng.lognormal(sigma=0.4, size=len(left)), 1).tolist()
        return times
