"""Biases of simulated annotators. Each wraps a judge and is one itself, so that biases can be put around each other.

>>> from textgym.annotators import BoltzmannAnnotator
>>> from textgym.tasks import get
>>> honest = BoltzmannAnnotator(get("Reviews").gold, temperature=0.5, name="ann")
>>> Lazy(PositionBiased(LengthBiased(honest, 0.2), 0.8), 0.1).name
'ann'
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from textgym.annotators import Judge
from textgym.comparisons import Choice, Comparison
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, unknown_name

Floats = NDArray[np.float64]

Habit = Literal["random", "repeat", "left", "right"]
HABITS: tuple[str, ...] = get_args(Habit)


@dataclass
class Biased:
    """A judge around another judge, of which it changes nothing yet.

    Attributes:
        judge: Who is biased.
    """

    judge: Judge

    def __post_init__(self) -> None:
        if not (hasattr(self.judge, "lean") and hasattr(self.judge, "say")):
            raise ConfigurationError(
                f"{self.judge!r}: expected a simulated judge with lean() and say(), such as BoltzmannAnnotator; nobody "
                "else's bias can be changed"
            )

    @property
    def name(self) -> str:
        """The judge's name."""
        return self.judge.name

    def compare(self, left: EpisodeBatch, right: EpisodeBatch, rng: np.random.Generator) -> list[Comparison]:
        """Judges row ``i`` of ``left`` against row ``i`` of ``right``."""
        return self.say(left, right, self.lean(left, right), rng)

    def lean(self, left: EpisodeBatch, right: EpisodeBatch) -> Floats:
        """``(B,)`` log-odds of left against right."""
        return self.judge.lean(left, right)

    def say(
        self, left: EpisodeBatch, right: EpisodeBatch, log_odds: Floats, rng: np.random.Generator
    ) -> list[Comparison]:
        """The judgements of somebody who leans as these log-odds ``(B,)`` say."""
        return self.judge.say(left, right, log_odds, rng)


@dataclass
class LengthBiased(Biased):
    """Finds longer texts better than they are, or shorter ones.

    Attributes:
        judge: Who is biased.
        per_token: Log-odds that each further token is worth.
    """

    per_token: float = 0.5

    def lean(self, left: EpisodeBatch, right: EpisodeBatch) -> Floats:
        """``(B,)`` log-odds of left against right."""
        return self.judge.lean(left, right) + self.per_token * (left.lengths - right.lengths)


@dataclass
class PositionBiased(Biased):
    """Favours one side, whatever stands there.

    Attributes:
        judge: Who is biased.
        side: What the left side is worth, in log-odds; below 0 for the right one.
    """

    side: float = 0.8

    def lean(self, left: EpisodeBatch, right: EpisodeBatch) -> Floats:
        """``(B,)`` log-odds of left against right."""
        return self.judge.lean(left, right) + self.side


@dataclass
class Lazy(Biased):
    """Often does not look: says anything, or the same as last time.

    Attributes:
        judge: Who is lazy.
        share: How many pairs are not looked at.
        habit: "random" for left or right by chance, "repeat" for the side that was chosen last, "left" or "right" for
            always that one.
    """

    share: float = 0.3
    habit: Habit = "random"
    _last: Choice = field(default="left", init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.share <= 1:
            raise ConfigurationError(f"share={self.share!r}: expected a share from 0 to 1")
        if self.habit not in HABITS:
            raise unknown_name("habit", self.habit, HABITS)

    def say(
        self, left: EpisodeBatch, right: EpisodeBatch, log_odds: Floats, rng: np.random.Generator
    ) -> list[Comparison]:
        """What the judge says where there is a look at the pair, and the habit elsewhere."""
        honest = self.judge.say(left, right, log_odds, rng)
        blind = (rng.random(len(honest)) < self.share).tolist()
        coins = (rng.random(len(honest)) < 0.5).tolist()
        said = []
        for item, is_blind, coin in zip(honest, blind, coins, strict=True):
            if is_blind:
                item = replace(item, choice=self._habitual(coin), strength=None)
            self._last = item.choice if item.is_decided else self._last
            said.append(item)
        return said

    def _habitual(self, coin: bool) -> Choice:
        if self.habit == "random":
            return "left" if coin else "right"
        return self._last if self.habit == "repeat" else self.habit


@dataclass
class Drifting(Biased):
    """Changes over the judgements: errs more and more, or comes to value something else.

    Attributes:
        judge: Whose judgements they are at first.
        over: After how many judgements the change is complete; it goes on evenly until then.
        temperature: By how much the judge's temperature has grown in the end: 2 halves the log-odds.
        towards: Who the judge leans like in the end; None for no change of taste.
        judged: How many judgements there have been.
    """

    over: int = 200
    temperature: float = 1.0
    towards: Judge | None = None
    judged: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.over < 1 or not self.temperature > 0:
            raise ConfigurationError(
                f"over={self.over!r}, temperature={self.temperature!r}: expected at least one judgement, and a number "
                "above 0"
            )

    def lean(self, left: EpisodeBatch, right: EpisodeBatch) -> Floats:
        """``(B,)`` log-odds of left against right, of the next judgements."""
        done = np.minimum((self.judged + np.arange(len(left))) / self.over, 1.0)
        log_odds = self.judge.lean(left, right)
        if self.towards is not None:
            log_odds = (1.0 - done) * log_odds + done * self.towards.lean(left, right)
        return log_odds / (1.0 + done * (self.temperature - 1.0))

    def say(
        self, left: EpisodeBatch, right: EpisodeBatch, log_odds: Floats, rng: np.random.Generator
    ) -> list[Comparison]:
        """The judgements, which are counted."""
        self.judged += len(left)
        return self.judge.say(left, right, log_odds, rng)
