"""What a study finds: curves, texts, and where agents stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from textgym.overoptimisation.agents import AgentPoint
from textgym.overoptimisation.curves import Point
from textgym.overoptimisation.forms import Fit, fit_forms, peak

TILTED, BEST_OF_N = "tilted", "best-of-n"
METHODS = (TILTED, BEST_OF_N)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Which proxy it is.

    Attributes:
        model: Its class, or the name of a reward.
        pairs: How many comparisons it learned from; None for a reward that is taken as it is.
        noise: Which share of them was turned around; None likewise.
        seed: Of pairs and judgements; None likewise.
    """

    model: str
    pairs: int | None = None
    noise: float | None = None
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One way to optimise one proxy, harder and harder.

    Attributes:
        cell: The proxy.
        method: ``"tilted"`` or ``"best-of-n"``.
        points: From the reference on.
    """

    cell: Cell
    method: str
    points: tuple[Point, ...]

    @property
    def start(self) -> Point:
        """The reference."""
        return self.points[0]

    @cached_property
    def peak(self) -> Point:
        """Where gold is highest."""
        return self.points[peak(self.points)]

    @property
    def end(self) -> Point:
        """The hardest optimisation."""
        return self.points[-1]

    @property
    def drop(self) -> float:
        """How much gold is lost between the peak and the end."""
        return self.peak.gold - self.end.gold

    @cached_property
    def fits(self) -> list[Fit]:
        """Both formulas of Gao et al., fitted."""
        return fit_forms(self.points)


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """A text that the tilted policy of a proxy writes.

    Attributes:
        cell: The proxy.
        place: ``"start"``, ``"peak"`` or ``"end"`` of the curve.
        prompt: The prompt.
        text: What is written.
        proxy: What the proxy gives for it, on gold's scale.
        gold: Its true score.
    """

    cell: Cell
    place: str
    prompt: str
    text: str
    proxy: float
    gold: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """What was found.

    Attributes:
        env_id: The environment.
        env_kwargs: Its arguments.
        reference: Where optimisation begins, in words.
        exact: Whether all texts were tried; else there are standard errors.
        why_sampled: The reason where they were not.
        texts: Texts a prompt, all or drawn.
        prompts: How many prompts.
        temperature: Of the simulated annotators.
        true_score: ``"gold"`` or ``"reward"``.
        curves: Two for each proxy.
        excerpts: Texts of one proxy of each kind, that of the first seed.
        agents: Where trained agents stand.
    """

    env_id: str
    env_kwargs: Mapping[str, Any]
    reference: str
    exact: bool
    why_sampled: str
    texts: int
    prompts: int
    temperature: float
    true_score: str
    curves: tuple[Curve, ...] = field(repr=False)
    excerpts: tuple[Excerpt, ...] = field(repr=False)
    agents: tuple[AgentPoint, ...] = ()

    def of(self, method: str) -> list[Curve]:
        """The curves of one method."""
        return [curve for curve in self.curves if curve.method == method]
