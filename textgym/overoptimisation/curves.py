"""Two ways to optimise against a proxy, computed from a population without training anybody.

The tilted policy is proportional to ``reference * exp(proxy / temperature)``: what reinforcement learning with a price
on the divergence from the reference converges to. Best-of-n draws n texts of the reference and keeps the one that the
proxy likes best; of equally good ones it keeps any. Its distribution over the values of the proxy is
``F(r)^n - F(r-)^n``, F being the reference's distribution function. On a population of all texts both are exact. On a
sample they are estimates, with standard errors by the delta method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from textgym.overoptimisation.population import ByGroup, Population

Floats = NDArray[np.float64]

STRENGTHS = tuple(float(x) for x in np.geomspace(0.1, 200.0, 25))
"""Standard deviations of the proxy under the reference, divided by the temperature."""
DRAWS = tuple(2**k for k in range(17))
"""How many texts best-of-n draws."""

FEWEST = 100.0  # effective samples: with fewer a tilted sample says little of the tilted policy
LARGEST_SHARE = 50  # best-of-n needs so many times n samples
_LEAST = 1e-300  # keeps the logarithm of a vanishing probability finite; it is multiplied by that probability
_NOTHING = 50.0  # e to the minus this much is less than rounding leaves of 1


@dataclass(frozen=True, kw_only=True)
class Point:
    """One policy on a curve; means over prompts.

    Attributes:
        strength: How hard it optimises: n, or the proxy's standard deviation divided by the temperature.
        kl: Divergence from the reference in nats a text.
        proxy: The mean of the proxy, on gold's scale.
        gold: The mean true score.
        kl_error: Standard error of ``kl``; 0 where it is exact, and likewise the others.
        proxy_error: Of ``proxy``.
        gold_error: Of ``gold``.
        formula: ``log n - (n - 1) / n``, what the divergence of best-of-n would be without ties; else None.
    """

    strength: float
    kl: float
    proxy: float
    gold: float
    kl_error: float = 0.0
    proxy_error: float = 0.0
    gold_error: float = 0.0
    formula: float | None = None

    @property
    def distance(self) -> float:
        """The square root of the divergence, the usual axis."""
        return float(np.sqrt(max(self.kl, 0.0)))


@dataclass(frozen=True, eq=False)
class Scored:
    """A population under a proxy and the true score.

    Attributes:
        population: The texts.
        proxy: Scores of each group's texts, on gold's scale.
        gold: True scores likewise.
        spread: The proxy's standard deviation under the reference; 0 for one that likes all texts alike.
    """

    population: Population
    proxy: ByGroup
    gold: ByGroup
    spread: float

    @classmethod
    def of(cls, population: Population, proxy: ByGroup, gold: ByGroup) -> Scored:
        """Puts the proxy on gold's scale: the same mean and standard deviation under the reference.

        Neither way to optimise cares for the scale of a proxy, and a fit to comparisons leaves it open.
        """
        spread, wanted = population.spread(proxy), population.spread(gold)
        alike = spread <= 1e-12 * max(1.0, *(float(np.abs(scores).max()) for scores in proxy))
        factor = 1.0 if alike else (wanted or 1.0) / spread
        shift = population.mean(gold) - factor * population.mean(proxy)
        scaled = tuple(factor * scores + shift for scores in proxy)
        return cls(population, scaled, gold, 0.0 if alike else (wanted or 1.0))

    @cached_property
    def ranks(self) -> tuple[Ranks, ...]:
        """The texts of each group by value of the proxy."""
        sizes = [0 if self.population.exact else len(texts) for texts in self.population.texts]
        groups = zip(self.population.base, self.proxy, self.gold, sizes, strict=True)
        return tuple(rank(base, proxy, gold, count=count) for base, proxy, gold, count in groups)

    def tilted(self, strength: float) -> ByGroup:
        """The probability of each text under the tilted policy."""
        if strength == 0.0:
            return self.population.base
        rate = strength / (self.spread or 1.0)
        policies = []
        for base, proxy in zip(self.population.base, self.proxy, strict=True):
            with np.errstate(under="ignore", over="ignore"):  # texts that the reference never writes may be better
                shares = np.where(base > 0, base * np.exp(rate * (proxy - proxy[base > 0].max())), 0.0)
            policies.append(shares / shares.sum())
        return tuple(policies)


def tilt_curve(scored: Scored, strengths: Sequence[float] = STRENGTHS) -> list[Point]:
    """The tilted policy from weak to strong, as far as a sample carries it.

    Returns:
        The reference itself and a point a strength; only the reference for a proxy that likes all texts alike.
    """
    points = [_reference_point(scored)]
    for strength in sorted(strengths) if scored.spread else ():
        parts = [ranks.tilt(strength / scored.spread) for ranks in scored.ranks]
        if min(part.effective for part in parts) < FEWEST:
            break
        points.append(_average(scored.population, parts, strength=float(strength)))
    return points


def best_of_n_curve(scored: Scored, draws: Sequence[int] = DRAWS) -> list[Point]:
    """Best-of-n from one draw on, as far as a sample carries it."""
    population = scored.population
    most = np.inf if population.exact else min(map(len, population.texts)) / LARGEST_SHARE
    points = [_reference_point(scored, strength=1.0)]
    for n in sorted(set(draws) - {1}) if scored.spread else ():
        if n > most:
            break
        parts = [ranks.best_of(n) for ranks in scored.ranks]
        points.append(_average(population, parts, strength=float(n), formula=float(np.log(n) - (n - 1) / n)))
    return points


def _reference_point(scored: Scored, *, strength: float = 0.0) -> Point:
    parts = [ranks.tilt(0.0) for ranks in scored.ranks]
    point = _average(scored.population, parts, strength=strength, formula=None if strength == 0.0 else 0.0)
    return replace(point, kl=0.0, kl_error=0.0)  # but for rounding it is that already


def _average(population: Population, parts: Sequence[Part], *, strength: float, formula: float | None = None) -> Point:
    kl, proxy, gold = (population.weights @ np.array([part.values for part in parts])).tolist()
    errors = np.sqrt(population.weights**2 @ np.array([part.variances for part in parts])).tolist()
    return Point(
        strength=strength,
        kl=max(kl, 0.0),
        proxy=proxy,
        gold=gold,
        kl_error=errors[0],
        proxy_error=errors[1],
        gold_error=errors[2],
        formula=formula,
    )


# ---- one group of prompts -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """What one group of prompts adds to a point.

    Attributes:
        values: Divergence, proxy and gold.
        variances: Of these estimates; zeros where they are exact.
        effective: The effective size of the sample, infinite where all texts are known.
    """

    values: tuple[float, float, float]
    variances: tuple[float, float, float] = (0.0, 0.0, 0.0)
    effective: float = np.inf


def _sort(proxy: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An order that makes values ascend, and where in it each new value begins.

    Values that differ by less than the range over 2**39 are equal but for rounding. Value and place are packed into one
    number each, because NumPy sorts numbers several times faster than it finds the order of others.
    """
    bits = len(proxy).bit_length()
    span = float(np.ptp(proxy))
    steps = np.rint((proxy - proxy.min()) * ((2.0 ** min(62 - bits, 48) - 1.0) / (span or 1.0))).astype(np.int64)
    packed = np.sort((steps << bits) | np.arange(len(proxy)))
    values = packed >> bits
    return packed & ((1 << bits) - 1), np.flatnonzero(np.append(True, values[1:] != values[:-1]))


def rank(base: Floats, proxy: Floats, gold: Floats, *, count: int) -> Ranks:
    """Sorts the texts that the reference writes at all by the proxy.

    Args:
        base: ``(L,)`` the probability of each text.
        proxy: ``(L,)`` its proxy.
        gold: ``(L,)`` its true score.
        count: The size of the sample; 0 for all texts.
    """
    written = base > 0
    base, proxy, gold = base[written], proxy[written], gold[written]
    order, starts = _sort(proxy)
    base, proxy, gold = base[order], proxy[order], gold[order]
    sums = np.add.reduceat(base, starts)
    means = [np.add.reduceat(base * values, starts) / sums for values in (proxy, gold)]
    places = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(base))))
    variances = np.add.reduceat(base * (gold - means[1][places]) ** 2, starts) / sums if count else np.zeros(1)
    chances = sums / sums.sum()
    above = np.append(np.cumsum(chances[::-1])[::-1][1:], 0.0)  # 1 - F, accurate where F is close to 1
    below = np.log1p(-above)
    with np.errstate(divide="ignore"):
        step = np.log1p(-np.minimum(chances / np.exp(below), 1.0))
    step[0] = -np.inf
    return Ranks(chances, below, step, means[0], means[1], variances, count)


@dataclass(frozen=True, eq=False)
class Ranks:
    """The different values of a proxy in ascending order, for one group of prompts.

    Attributes:
        chances: ``(K,)`` p, the probability of each value under the reference.
        below: ``(K,)`` log F, the logarithm of the probability of this value or a lower one.
        step: ``(K,)`` log(F- / F), how the next lower value compares.
        proxy: ``(K,)`` the values.
        gold: ``(K,)`` the mean true score of the texts with this value.
        gold_variance: ``(K,)`` its variance among them; of a sample only.
        count: The size of the sample; 0 for all texts.
    """

    chances: Floats
    below: Floats
    step: Floats
    proxy: Floats
    gold: Floats
    gold_variance: Floats
    count: int

    def tilt(self, rate: float) -> Part:
        """The policy proportional to ``reference * exp(rate * proxy)``."""
        exponents = rate * (self.proxy - self.proxy[-1])
        first = int(np.searchsorted(exponents, np.log(self.chances[-1]) - _NOTHING))  # the best alone weighs more
        exponents, chances = exponents[first:], self.chances[first:]
        proxy, gold = self.proxy[first:], self.gold[first:]
        shares = chances * np.exp(exponents)
        total = float(shares.sum())
        shares /= total
        exponent, mean_proxy, mean_gold = float(shares @ exponents), float(shares @ proxy), float(shares @ gold)
        values = exponent - float(np.log(total)), mean_proxy, mean_gold
        if not self.count:
            return Part(values)
        # How much each draw moves the estimates, by the delta method: the draws' mean of these numbers is 0.
        ratios = shares / chances
        moves = ratios * (exponents - exponent - 1.0), ratios * (proxy - mean_proxy), ratios * (gold - mean_gold)
        squares = [float(chances @ move**2) for move in moves]
        squares[0] -= 1.0  # their mean is -1 as they stand
        squares[2] += float(chances @ (ratios**2 * self.gold_variance[first:]))
        first_two, third = (max(squares[0], 0.0) / self.count, squares[1] / self.count), squares[2] / self.count
        return Part(values, (*first_two, third), self.count / float(shares @ ratios))

    def distribution(self, n: int) -> Floats:
        """``(K,)`` P, how likely the best of n draws has each value: ``F^n - (F-)^n``, without cancelling."""
        with np.errstate(under="ignore"):
            return np.asarray(np.exp(n * self.below) * -np.expm1(n * self.step))

    def best_of(self, n: int) -> Part:
        """The best of n draws."""
        first = 0 if self.count else int(np.searchsorted(self.below, -_NOTHING / n))  # what is lower is never best
        seen = replace(self, **{name: getattr(self, name)[first:] for name in _ARRAYS}) if first else self
        chances = seen.distribution(n)
        logs = np.log(np.maximum(chances, _LEAST) / seen.chances)
        values = float(chances @ logs), float(chances @ seen.proxy), float(chances @ seen.gold)
        if not self.count:
            return Part(values)
        ratios = chances / seen.chances
        moves = [seen._moves(n, logs + 1.0) - ratios, seen._moves(n, seen.proxy), seen._moves(n, seen.gold)]
        variances = [float(seen.chances @ (move - seen.chances @ move) ** 2) / self.count for move in moves]
        variances[2] += float(seen.chances @ (ratios**2 * seen.gold_variance)) / self.count
        return Part(values, (variances[0], variances[1], variances[2]))

    def _moves(self, n: int, heights: Floats) -> Floats:
        """``(K,)`` the derivative of ``sum_k P_k heights_k`` with respect to each p."""
        with np.errstate(under="ignore"):
            slopes = n * np.exp((n - 1) * self.below)
        later = np.append(slopes[:-1] * heights[1:], 0.0)
        return np.asarray(np.cumsum((slopes * heights - later)[::-1])[::-1])


_ARRAYS = ("chances", "below", "step", "proxy", "gold")
