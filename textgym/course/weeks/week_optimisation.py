"""What week 7 compares answers with: policies that optimise a proxy, as exact distributions over all texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def best_of_n(reference: Floats, proxy: Floats, n: int) -> Floats:
    """The probability ``(L,)`` that each text is the best of n draws; of equally good draws any is kept.

    Args:
        reference: ``(L,)`` how likely one draw is each text.
        proxy: ``(L,)`` the score that chooses.
        n: How many draws.
    """
    values, places = np.unique(proxy, return_inverse=True)
    chances = np.bincount(places, reference, len(values))
    most = np.minimum(np.cumsum(chances), 1.0)
    least = np.append(0.0, most[:-1])
    shares = np.divide(most**n - least**n, chances, out=np.zeros_like(chances), where=chances > 0)
    return np.asarray(reference * shares[places])


def tilted(reference: Floats, proxy: Floats, temperature: float) -> Floats:
    """``(L,)`` in proportion to ``reference * exp(proxy / temperature)``: the optimum with a price on divergence."""
    exponents = proxy / temperature
    weights = reference * np.exp(np.minimum(exponents - exponents[reference > 0].max(), 0.0))
    return np.asarray(weights / weights.sum())


def divergence(policy: Floats, reference: Floats) -> float:
    """``KL(policy || reference)`` in nats; texts that the policy never writes add nothing."""
    seen = policy > 0
    return float(policy[seen] @ np.log(policy[seen] / reference[seen]))


@dataclass(frozen=True)
class CurvePoint:
    """Best of n: its divergence from the reference, and its mean scores."""

    n: int
    divergence: float
    proxy: float
    gold: float


def curve(reference: Floats, proxy: Floats, gold: Floats, draws: Sequence[int]) -> list[CurvePoint]:
    """What best-of-n earns for each number of draws."""
    points = []
    for n in draws:
        policy = best_of_n(reference, proxy, n)
        points.append(CurvePoint(n, divergence(policy, reference), float(policy @ proxy), float(policy @ gold)))
    return points


def pessimistic(reference: Floats, scores: Floats) -> Floats:
    """``(L,)`` the lowest score of an ensemble, each member first brought to mean 0 and deviation 1.

    Args:
        reference: ``(L,)`` the distribution under which mean and deviation are taken.
        scores: ``(M, L)`` of M reward models, each on a scale of its own.
    """
    means = scores @ reference
    spreads = np.sqrt((scores - means[:, None]) ** 2 @ reference)
    return np.asarray(((scores - means[:, None]) / spreads[:, None]).min(axis=0))
