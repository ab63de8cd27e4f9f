"""Curves with bands: performance profiles, and what an agent earned against the steps that it took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from textgym.errors import ConfigurationError

from .stats import interquartile_mean
from .stats_resampling import (
    Floats,
    Interval,
    Statistic,
    Strata,
    check_draws,
    check_strata,
    ends_of,
    interval_of,
    resampled_shares,
    resamples,
    spread_of,
    spread_of_influences,
)


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """A curve with its band: at each place, an interval of its own.

    Attributes:
        places: ``(K,)`` thresholds or steps.
        estimate: ``(K,)`` the curve.
        low: ``(K,)`` lower edge.
        high: ``(K,)`` upper edge.
        n: How many runs went in.
    """

    places: Floats
    estimate: Floats
    low: Floats
    high: Floats
    n: int


@dataclass(frozen=True, slots=True, eq=False)
class LearningCurve:
    """What the runs earned against the steps that they took.

    Attributes:
        band: A statistic of the runs at each step.
        area: The mean height of that curve over its range of steps: high for who learns early and well.
    """

    band: Band
    area: Interval


def performance_profile(
    strata: Strata,
    thresholds: ArrayLike,
    rng: np.random.Generator,
    *,
    replicates: int = 2_000,
    confidence: float = 0.95,
) -> Band:
    """The share of runs that score more than each threshold (Agarwal et al. 2021, "score distributions").

    An agent whose profile lies above another's everywhere is better by every sensible average. At a threshold
    that all runs of a side pass, or none, the band has no width.

    Args:
        strata: The scores of each task.
        thresholds: ``(K,)`` scores.
        rng: Draws the resamples, seeds within tasks.
        replicates: How many.
        confidence: How often the band is to hold the truth at a threshold.

    Example:
        >>> band = performance_profile([[0.2, 0.6], [0.9, 1.0]], [0.0, 0.5, 1.0], np.random.default_rng(0))
        >>> band.estimate.tolist()
        [1.0, 0.75, 0.0]
    """
    check_draws(replicates, confidence)
    places = _places("thresholds", thresholds)
    passed = [task[:, None] > places for task in check_strata(strata)]
    n, estimate = sum(map(len, passed)), np.concatenate(passed).mean(axis=0)
    spread = spread_of_influences([(task - task.mean(axis=0)) / n for task in passed])
    shares = resampled_shares(passed, rng, replicates)
    low, high = ends_of(estimate, shares, spread, confidence=confidence, method="stretched")
    return Band(places, estimate, np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0), n)


def sample_efficiency(
    curves: Sequence[ArrayLike],
    steps: ArrayLike,
    rng: np.random.Generator,
    *,
    statistic: Statistic = interquartile_mean,
    replicates: int = 2_000,
    confidence: float = 0.95,
) -> LearningCurve:
    """A statistic of all runs at each step, with its band and the area below it.

    Args:
        curves: For each task ``(seeds, K)`` scores at the same K steps; :func:`on_grid` brings them there.
        steps: ``(K,)`` in rising order, at least two; or shares of each task's budget.
        rng: Draws the resamples; a seed's curve is drawn as a whole.
        statistic: Of all scores at one step.
        replicates: How many.
        confidence: How often an interval is to hold the truth.

    Raises:
        ConfigurationError: for steps that do not rise, and curves of another length.
    """
    check_draws(replicates, confidence)
    places, tasks = _places("steps", steps), check_strata(curves, dimensions=2)
    if len(places) < 2 or (np.diff(places) <= 0).any():
        raise ConfigurationError(f"steps={places.tolist()}: expected at least two, in rising order")
    if any(task.shape[1] != len(places) for task in tasks):
        lengths = sorted({task.shape[1] for task in tasks})
        raise ConfigurationError(f"curves of {lengths} points for {len(places)} steps; on_grid() brings them there")

    def curve(runs: Floats) -> Floats:
        return statistic(np.swapaxes(runs, 1, 2))

    def height(lines: Floats) -> Floats:
        middles = (lines[..., 1:] + lines[..., :-1]) / 2
        return np.asarray(middles @ np.diff(places) / (places[-1] - places[0]))

    values, band = _band(tasks, places, curve, rng, replicates, confidence)
    spread = spread_of(tasks, lambda runs: height(curve(runs)))
    area = interval_of(float(height(band.estimate)), height(values), spread, n=band.n, confidence=confidence)
    return LearningCurve(band, area)


def on_grid(steps: ArrayLike, scores: ArrayLike, grid: ArrayLike) -> Floats:
    """One run's curve at other steps: straight lines between its points, flat beyond its ends.

    Example:
        >>> on_grid([10, 20], [0.0, 1.0], [0, 10, 15, 20, 30]).tolist()
        [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    places, values = _places("steps", steps), np.asarray(scores, dtype=np.float64)
    if places.shape != values.shape or not len(places) or (np.diff(places) <= 0).any():
        raise ConfigurationError("expected a curve as steps in rising order and one score for each")
    return np.interp(np.asarray(grid, dtype=np.float64), places, values)


def _places(name: str, values: ArrayLike) -> Floats:
    places = np.asarray(values, dtype=np.float64)
    if places.ndim != 1 or not len(places) or not np.isfinite(places).all():
        raise ConfigurationError(f"{name}: expected a list of finite numbers")
    return places


def _band(
    tasks: Sequence[Floats],
    places: Floats,
    curve: Callable[[Floats], Floats],
    rng: np.random.Generator,
    replicates: int,
    confidence: float,
) -> tuple[Floats, Band]:
    """The resampled curves ``(replicates, K)``, and the band that they make."""
    values = np.concatenate([curve(picked) for picked in resamples(tasks, rng, replicates)])
    estimate = curve(np.concatenate(tasks)[None])[0]
    spread = spread_of(tasks, curve)
    low, high = ends_of(estimate, values, spread, confidence=confidence, method="stretched")
    return values, Band(places, estimate, low, high, sum(map(len, tasks)))
