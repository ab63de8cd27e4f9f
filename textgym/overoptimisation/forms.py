"""The two formulas that Gao et al. fitted to gold against distance, and where a curve has its peak.

With ``d`` the square root of the divergence from the reference, they found ``d (alpha - beta d)`` for best-of-n and
``d (alpha - beta log d)`` for reinforcement learning (Gao, Schulman and Hilton 2022, "Scaling laws for reward model
overoptimization", https://arxiv.org/abs/2210.10760). Both are fitted to both here, and neither is taken for granted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError, check_names
from textgym.overoptimisation.curves import Point

Floats = NDArray[np.float64]

FORMS = {"quadratic": "d (alpha - beta d)", "logarithmic": "d (alpha - beta log d)"}


@dataclass(frozen=True)
class Fit:
    """A formula fitted by least squares to the gold that was gained since d = 0.

    Attributes:
        form: A key of :data:`FORMS`.
        alpha: The slope at the beginning.
        beta: How fast it falls off.
        r_squared: Share of the variance that the formula explains; NaN where gold does not vary.
        error: Root of the mean squared residual.
        residuals: Gold minus formula at each point with d above 0.
    """

    form: str
    alpha: float
    beta: float
    r_squared: float
    error: float
    residuals: tuple[float, ...]

    def __call__(self, distances: Floats) -> Floats:
        """The gain ``(N,)`` at distances ``(N,)`` of 0 or more."""
        slope, fall = _columns(self.form, np.asarray(distances, dtype=np.float64))
        return self.alpha * slope + self.beta * fall


def _columns(form: str, distances: Floats) -> tuple[Floats, Floats]:
    if form == "quadratic":
        return distances, -(distances**2)
    return distances, -distances * np.log(np.maximum(distances, 1e-300))


def fit_form(points: Sequence[Point], form: str) -> Fit | None:
    """Fits one formula to a curve that begins with the reference.

    Returns:
        The fit; None with fewer than three points beyond the reference.

    Raises:
        UnknownNameError: for another formula.
        ConfigurationError: for a curve without its beginning.

    Example:
        >>> points = [Point(strength=d, kl=d * d, proxy=0.0, gold=d * (2 - 0.5 * d)) for d in (0.0, 1.0, 2.0, 3.0)]
        >>> fit = fit_form(points, "quadratic")
        >>> round(fit.alpha, 6), round(fit.beta, 6), round(fit.r_squared, 6)
        (2.0, 0.5, 1.0)
    """
    check_names("formula", [form], FORMS)
    if not points or points[0].kl != 0.0:
        raise ConfigurationError("a curve without its beginning: expected the reference, with kl=0, as the first point")
    beyond = [point for point in points if point.kl > 0.0]
    if len(beyond) < 3:
        return None
    distances = np.array([point.distance for point in beyond])
    gains = np.array([point.gold for point in beyond]) - points[0].gold
    columns = np.stack(_columns(form, distances), axis=1)
    (alpha, beta), *_ = np.linalg.lstsq(columns, gains, rcond=None)
    residuals = gains - columns @ np.array([alpha, beta])
    total = float(((gains - gains.mean()) ** 2).sum())
    r_squared = 1.0 - float((residuals**2).sum()) / total if total > 0 else float("nan")
    error = float(np.sqrt((residuals**2).mean()))
    return Fit(form, float(alpha), float(beta), r_squared, error, tuple(residuals.tolist()))


def fit_forms(points: Sequence[Point]) -> list[Fit]:
    """Both formulas, as far as there are points enough."""
    return [fit for form in FORMS if (fit := fit_form(points, form)) is not None]


def peak(points: Sequence[Point]) -> int:
    """The place of the point with the most gold, the first of equal ones."""
    return int(np.argmax([point.gold for point in points]))
