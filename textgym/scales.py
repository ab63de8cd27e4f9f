"""Scales: what measured returns are held against, from what a task states or from its exact solution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, SolveError, TaskError
from textgym.returns import Returns
from textgym.task import Task

Floats = NDArray[np.float64]

_ADVICE = "for a task that is small enough, evaluate(..., truth=textgym.exact.solve(env)) finds them"


class Truth(Protocol):
    """What an evaluation asks of a solution of :func:`textgym.exact.solve`."""

    @property
    def returns(self) -> Returns:
        """Random, blind and best return; may raise :class:`~textgym.errors.SolveError` where only the best is known."""
        ...

    @property
    def optimal_return(self) -> float:
        """The best return, averaged over the prompts."""
        ...


def standard_error(values: Floats) -> float:
    """Standard error of the mean; 0.0 for a single value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class Scale:
    """What the returns on one split are held against, as far as it is known.

    Attributes:
        kind: ``"reward"`` or ``"gold"``.
        returns: Random, blind and best return, or None.
        best: The best return, which may be known without the others, or None.
        why_not: Why returns cannot be normalised, or None.
        prompts: The rows of the split.
        stochastic: Whether equal texts may earn different amounts.
    """

    kind: str
    returns: Returns | None
    best: float | None
    why_not: str | None
    prompts: frozenset[int]
    stochastic: bool

    @classmethod
    def find(cls, task: Task, split: str, kind: str, *, truth: Truth | None = None) -> Scale:
        """The scale of a split: the truth's if it is about this kind of score, else what the task states.

        Raises:
            ConfigurationError: for a truth about other prompts, or discounted returns.
        """
        rows = task.prompts.rows(split).tolist()
        known, why_not = _stated(task, split, kind)
        scale = cls(
            kind=kind,
            returns=known,
            best=None if known is None else known.best,
            why_not=why_not,
            prompts=frozenset(rows),
            stochastic=bool(getattr(task.reward if kind == "reward" else task.gold, "stochastic", False)),
        )
        if truth is not None and getattr(truth, "kind", "reward") == kind:
            _check(truth, {task.prompts.texts[row] for row in rows})
            scale = scale._with(truth)
        return scale._without_flat_scale()

    def _with(self, truth: Truth) -> Scale:
        best = float(truth.optimal_return)
        try:
            return replace(self, returns=truth.returns, best=best, why_not=None)
        except SolveError as error:  # the best alone is known, beside which the task's own random return may stand
            if self.returns is None:
                return replace(self, best=best, why_not=str(error))
        inexact = tuple(name for name in self.returns.inexact if name != "best")
        return replace(self, returns=replace(self.returns, best=best, inexact=inexact), best=best)

    def _without_flat_scale(self) -> Scale:
        if self.returns is None or self.returns.best != self.returns.random:
            return self
        reason = f"every text earns {self.best:g}, so that there is no scale to put a return on"
        return replace(self, returns=None, why_not=reason)

    def normalize(self, values: Floats) -> float | None:
        """The mean of returns ``(N,)`` on the scale random = 0, best = 1; None where that is not known."""
        return None if self.returns is None else self.returns.normalize(float(values.mean()))

    def regret(self, values: Floats) -> float | None:
        """Best return minus the mean of returns ``(N,)``; None where the best is not known."""
        return None if self.best is None else self.best - float(values.mean())

    def impossible(self, values: Floats, batch: EpisodeBatch) -> str | None:
        """A sentence if nobody can have earned these returns ``(N,)`` with these texts, else None.

        Nothing is said unless every prompt was played, since some prompts allow more than the average over all, nor
        where a stochastic reward happens to pay the same each time.
        """
        if self.returns is None or not self.prompts <= set(batch.prompt_indices.tolist()):
            return None
        if self.stochastic and np.ptp(values) == 0.0:
            return None
        return self.returns.impossible(float(values.mean()), standard_error(values), self.kind)


def _stated(task: Task, split: str, kind: str) -> tuple[Returns | None, str | None]:
    try:
        return task.returns(split, kind), None
    except TaskError as error:
        return None, f"{error}; {_ADVICE}"


def _check(truth: Truth, prompts: set[str]) -> None:
    solved = set(getattr(truth, "optimal_returns", prompts))
    if solved != prompts:
        strange = sorted(solved ^ prompts)[0]
        raise ConfigurationError(
            f"the truth is about {len(solved)} prompts and the evaluation about {len(prompts)}, {strange!r} being in "
            "one of them only; solve the same split, without prompt="
        )
    if getattr(truth, "discount", 1.0) != 1.0:
        raise ConfigurationError(
            "the truth discounts later rewards and an evaluation does not; solve with discount=1.0"
        )
