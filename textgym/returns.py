"""Returns: what can be earned, so that a return can be put on a scale and an impossible one is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textgym.errors import TaskError, check_names

STANDARD_ERRORS = 3.0
"""A normalised mean above 1 by more than this many standard errors is impossible."""
TOLERANCE = 1e-6
"""Rounding that a normalised mean may lie above 1 where there is no chance in it."""

_NAMES = ("random", "blind", "best")


@dataclass(frozen=True)
class Returns:
    """What can be earned on one split under one score, averaged over the split's prompts.

    Attributes:
        random: Expected return of writing uniformly among the legal ids.
        blind: Best return of ONE fixed text for all prompts.
        best: Best return when the prompt is read.
        inexact: Which of the three are not exact: random is then an estimate, blind and best are lower bounds.

    Example:
        >>> returns = Returns(random=-1.0, blind=0.0, best=3.0, inexact=("random",))
        >>> returns.normalize(1.0), returns.exact, returns.is_exact("best")
        (0.5, False, True)
    """

    random: float
    blind: float
    best: float
    inexact: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_names("return", self.inexact, _NAMES)
        object.__setattr__(self, "inexact", tuple(self.inexact))  # JSON has lists

    @property
    def exact(self) -> bool:
        """Whether all three are exact."""
        return not self.inexact

    def is_exact(self, name: str) -> bool:
        """Whether ``"random"``, ``"blind"`` or ``"best"`` is exact."""
        check_names("return", [name], _NAMES)
        return name not in self.inexact

    def normalize(self, value: float) -> float:
        """Puts a return on the scale where random play is 0 and the best text 1."""
        if self.best == self.random:
            raise TaskError(f"every text earns {self.best:g}, so that there is no scale to put a return on")
        return (value - self.random) / (self.best - self.random)

    def impossible(self, mean: float, standard_error: float, kind: str = "reward") -> str | None:
        """Why nobody can have earned this mean, or None.

        Nothing is impossible where ``best`` is a lower bound, or where there is no scale.

        Args:
            mean: A mean return over texts for all prompts, each as often as the others.
            standard_error: Of that mean; 0.0 where no chance is in it.
            kind: ``"reward"`` or ``"gold"``, for the sentence.

        Example:
            >>> print(Returns(random=0.0, blind=1.0, best=2.0).impossible(2.5, 0.1))
            a normalised reward of 1.250 ± 0.050 is impossible: 1 is the exact best; look for a fault in the \
environment, the reward or the counting
        """
        if not self.is_exact("best") or self.best <= self.random:
            return None
        score, error = self.normalize(mean), standard_error / (self.best - self.random)
        if score - 1.0 <= max(STANDARD_ERRORS * error, TOLERANCE):
            return None
        return (
            f"a normalised {kind} of {_digits(score)} ± {error:.3f} is impossible: 1 is the exact best; look for a "
            "fault in the environment, the reward or the counting"
        )


Facts = Mapping[str, Mapping[str, Returns]]
"""split -> ``"reward"`` or ``"gold"`` -> :class:`Returns`."""


def _digits(score: float) -> str:
    """Three digits, or as many as it takes not to show 1.000."""
    return f"{score:.3f}" if score >= 1.0005 else f"{score:.7f}"
