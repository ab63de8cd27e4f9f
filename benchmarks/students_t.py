"""Quantiles of Student's t distribution, which NumPy does not have."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(100)
_MANY = 1e4  # degrees of freedom from which the expansion about the normal quantile has ten right digits


def probability(t: float, degrees: float) -> float:
    """The probability of a value below ``t``.

    Example:
        >>> round(probability(2.0, 3.0), 6)
        0.930337
    """
    angle = math.atan(abs(t) / math.sqrt(degrees))
    return 0.5 + math.copysign(_area(angle, degrees), t)


@lru_cache(maxsize=4096)
def quantile(share: float, degrees: float) -> float:
    """The value that this share of the distribution lies below.

    Args:
        share: Between 0 and 1.
        degrees: Degrees of freedom, at least 1; they need not be whole.

    Example:
        >>> round(quantile(0.975, 4.0), 4)
        2.7764
    """
    if degrees > _MANY:
        return _near_normal(NormalDist().inv_cdf(share), degrees)
    wanted = abs(share - 0.5)
    low, high = 0.0, math.pi / 2  # the angle is searched, since the value itself has no bound
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (middle, high) if _area(middle, degrees) < wanted else (low, middle)
    angle = low
    for _ in range(6):  # Newton's steps rise from below, because the density falls
        angle += (wanted - _area(angle, degrees)) / (_scale(degrees) * math.cos(angle) ** (degrees - 1.0))
    return math.copysign(math.sqrt(degrees) * math.tan(angle), share - 0.5)


def _area(angle: float, degrees: float) -> float:
    """The probability between 0 and ``sqrt(degrees) tan(angle)``, where the density is a power of the cosine."""
    heights = np.cos(angle / 2 * (_NODES + 1.0)) ** (degrees - 1.0)
    return _scale(degrees) * angle / 2 * float(_WEIGHTS @ heights)


def _scale(degrees: float) -> float:
    return math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(math.pi)


def _near_normal(z: float, degrees: float) -> float:
    """Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5."""
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
