"""How judges turn scores into choices: ties, a preferred side, and how reliable each of them is.

With rewards ``s`` and ``t`` on the left and the right, the margin ``reliability * sharpness * (s - t) + side`` is the
log-odds of left against right in the model of :mod:`textgym.davidson`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.davidson import davidson_probabilities

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judging:
    """What a fit has learned of the judges.

    Attributes:
        sharpness: Size of a margin for a difference of 1 in the reward.
        side: Added to the margin: above 0 where the left side is preferred.
        tie: Weight of a tie; 0 where there were none.
        reliabilities: Annotator -> what their margins are multiplied by; their geometric mean is 1. Others have 1.
    """

    sharpness: float = 1.0
    side: float = 0.0
    tie: float = 0.0
    reliabilities: Mapping[str, float] = field(default_factory=dict)

    def margins(self, left: Floats, right: Floats, annotators: Sequence[str] | None = None) -> Floats:
        """``(N,)`` margins of rewards on the left over rewards on the right."""
        known = self.reliabilities
        factors = 1.0 if annotators is None else np.array([known.get(name, 1.0) for name in annotators])
        return np.asarray(factors * self.sharpness * (left - right) + self.side)

    def probabilities(self, left: Floats, right: Floats, annotators: Sequence[str] | None = None) -> Floats:
        """``(N, 3)`` probabilities of left, a tie and right.

        Example:
            >>> Judging(tie=1.0).probabilities(np.array([1.0]), np.array([1.0])).round(3).tolist()
            [[0.333, 0.333, 0.333]]
        """
        return davidson_probabilities(self.margins(left, right, annotators), self.tie)

    def as_json(self) -> dict[str, Any]:
        """The same as a dict."""
        return {
            "sharpness": self.sharpness,
            "side": self.side,
            "tie": self.tie,
            "reliabilities": dict(self.reliabilities),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Judging:
        """Reads what :meth:`as_json` wrote."""
        known = {str(name): float(value) for name, value in values["reliabilities"].items()}
        return cls(float(values["sharpness"]), float(values["side"]), float(values["tie"]), known)
