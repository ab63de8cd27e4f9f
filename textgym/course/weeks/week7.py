"""Week 7: when the reward is hacked."""

from __future__ import annotations

from textgym.course.assignment import Assignment
from textgym.course.sandbox import FORBIDDEN
from textgym.course.weeks.week_hacking import BEST, TILTED
from textgym.course.weeks.week_peaks import ENSEMBLE, HACKED

TEMPLATE = '''"""Week 7: when the reward is hacked. Arrays are NumPy arrays, with an entry for each of all L texts.

Stay in double precision, which is what they come in: a thousand small probabilities are added up.
"""

from __future__ import annotations

import numpy as np


def best_of_n(reference: np.ndarray, proxy: np.ndarray, n: int) -> np.ndarray:
    """The exact probability (L,) of each text to be kept as the best of n draws by the proxy."""
    raise NotImplementedError


def tilted(reference: np.ndarray, proxy: np.ndarray, temperature: float) -> np.ndarray:
    """The policy (L,) in proportion to reference * exp(proxy / temperature)."""
    raise NotImplementedError


def divergence(policy: np.ndarray, reference: np.ndarray) -> float:
    """KL(policy || reference) in nats."""
    raise NotImplementedError


def curve(reference: np.ndarray, proxy: np.ndarray, gold: np.ndarray, draws: list[int]) -> list[list[float]]:
    """For each n of draws: [divergence from the reference, mean proxy, mean gold] of best-of-n."""
    raise NotImplementedError


def peak(reference: np.ndarray, proxy: np.ndarray, gold: np.ndarray, draws: list[int]) -> int:
    """The n of draws at which best-of-n has the highest mean gold."""
    raise NotImplementedError


def pessimistic(reference: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The lowest score (L,) of M reward models (M, L), each brought to mean 0 and deviation 1 under the reference."""
    raise NotImplementedError
'''

WEEK = Assignment(
    name="week7",
    title="When the reward is hacked",
    goal="Compute what optimising a proxy does to the true score, without sampling, and what holds it back.",
    parts=(BEST, TILTED, HACKED, ENSEMBLE),
    template=TEMPLATE,
    forbidden=(*FORBIDDEN, "textgym.overoptimisation"),
)
