"""Newton's method without matrices: conjugate gradients solve each step, so that no ``(F, F)`` matrix is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Slope:
    """What a loss is like near one point.

    Attributes:
        gradient: ``(F,)``.
        times_curvature: Multiplies a vector ``(F,)`` by the matrix of second derivatives, or by one that is near it and
            positive definite.
        diagonal: ``(F,)`` the diagonal of that matrix, all above 0.
    """

    gradient: Floats
    times_curvature: Callable[[Floats], Floats]
    diagonal: Floats


class Loss(Protocol):
    """A smooth function of a vector ``(F,)``, convex at least near its minimum."""

    def value(self, point: Floats) -> float:
        """The loss at a point."""
        ...

    def slope(self, point: Floats) -> Slope:
        """Gradient and curvature there."""
        ...


def minimise(loss: Loss, start: Floats, *, steepness: float, max_iterations: int = 100) -> Floats:
    """The point of least loss.

    Args:
        loss: What is to be small.
        start: Where to begin.
        steepness: Stops once the norm of the gradient is at most this.
        max_iterations: Newton steps at most.

    Raises:
        ConfigurationError: if the steps did not suffice.

    Example:
        >>> class Bowl:
        ...     def value(self, point):
        ...         return float(((point - 3.0) ** 2).sum())
        ...
        ...     def slope(self, point):
        ...         return Slope(2 * (point - 3.0), lambda vector: 2 * vector, np.full(len(point), 2.0))
        >>> minimise(Bowl(), np.zeros(2), steepness=1e-9).tolist()
        [3.0, 3.0]
    """
    point, slope = start, loss.slope(start)
    for _ in range(max_iterations):
        size = norm(slope.gradient)
        if size <= steepness:
            return point
        step = _newton_step(slope, max(min(0.1, 0.01 * size**0.5) * size, 0.1 * steepness))
        point, slope = _walk(loss, point, slope, step)
    raise ConfigurationError(f"no optimum within {max_iterations} steps; raise max_iterations, penalty or tolerance")


def _walk(loss: Loss, point: Floats, slope: Slope, step: Floats) -> tuple[Floats, Slope]:
    """Goes as much of a step as helps; the new point and its slope.

    Far away a full step can overshoot, and the loss says so. Close by, the loss cannot tell the last digits apart, but
    the gradients can: where the curvature was too small, as one that is only near the true one may be, steps would go
    to and fro for ever.
    """
    now = loss.value(point)
    while norm(step) > 1e-3 and not loss.value(point + step) <= now:
        step = 0.5 * step
    there = loss.slope(point + step)
    before, after = float((slope.gradient * step).sum()), float((there.gradient * step).sum())
    if after > -0.5 * before:  # the step went half as far again as it should have, or more
        step = before / (before - after) * step
        there = loss.slope(point + step)
    return point + step, there


def _newton_step(slope: Slope, precision: float) -> Floats:
    """Solves ``curvature @ step = -gradient`` by preconditioned conjugate gradients."""
    step, rest = np.zeros_like(slope.gradient), -slope.gradient
    direction = rest / slope.diagonal
    fit = (rest * direction).sum()
    for _ in range(10 * len(rest)):
        curved = slope.times_curvature(direction)
        size = fit / (direction * curved).sum()
        step, rest = step + size * direction, rest - size * curved
        if norm(rest) <= precision:
            break
        scaled = rest / slope.diagonal
        previous, fit = fit, (rest * scaled).sum()
        direction = scaled + fit / previous * direction
    return step


def norm(vector: Floats) -> float:
    """The Euclidean length."""
    return float(np.sqrt((vector**2).sum()))
