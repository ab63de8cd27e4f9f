"""Simulated annotators: judges whose true score is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from textgym.bradley_terry import preference_probability
from textgym.comparisons import Comparison
from textgym.episodes import EpisodeBatch, Score
from textgym.errors import ConfigurationError


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


@dataclass(frozen=True)
class BoltzmannAnnotator:
    """A simulated judge that errs more often the closer two texts are.

    Attributes:
        score: What the judge values, for example a task's gold score.
        temperature: Size of the score difference at which the better text wins 73 % of the time;
            towards 0 the judge never errs.
        name: Goes into each comparison.
    """

    score: Score
    temperature: float = 1.0
    name: str = "boltzmann"

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigurationError(f"temperature={self.temperature!r}: expected a number above 0")

    def compare(self, left: EpisodeBatch, right: EpisodeBatch, rng: np.random.Generator) -> list[Comparison]:
        """Judges row ``i`` of ``left`` against row ``i`` of ``right``.

        Raises:
            ConfigurationError: if the two batches do not have the same prompts.
        """
        if not np.array_equal(left.prompt_indices, right.prompt_indices):
            raise ConfigurationError(
                "both batches must have the same prompt in each row: texts are compared per prompt"
            )
        prefers_left = rng.random(len(left)) < preference_probability(
            self.score(left), self.score(right), temperature=self.temperature
        )
        rows = zip(left.prompt_texts, left.completions, right.completions, prefers_left.tolist(), strict=True)
        return [
            Comparison(
                prompt=prompt,
                left=one,
                right=other,
                choice="left" if first else "right",
                left_ids=tuple(left.ids(row)),
                right_ids=tuple(right.ids(row)),
                annotator=self.name,
            )
            for row, (prompt, one, other, first) in enumerate(rows)
        ]
