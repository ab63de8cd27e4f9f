"""Scales: what measured returns are held against, from what a task states or from its exact solution."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import ILLEGAL, EpisodeBatch
from textgym.errors import ConfigurationError, SolveError, TaskError
from textgym.returns import Returns
from textgym.task import Task
from textgym.tokenizers import fingerprint

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
            ConfigurationError: for a truth about other prompts or another task, for discounted returns, and for what is
                no solution.
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
            _check_task(getattr(truth, "task", task), task, kind)
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

    @property
    def inexact(self) -> tuple[str, ...]:
        """Which ends of the scale are not exact: ``"random"`` is then an estimate, ``"best"`` a lower bound."""
        return () if self.returns is None else tuple(name for name in self.returns.inexact if name != "blind")

    def normalize(self, values: Floats) -> float | None:
        """The mean of returns ``(N,)`` on the scale random = 0, best = 1; None where that is not known."""
        return None if self.returns is None else self.returns.normalize(float(values.mean()))

    def regret(self, values: Floats) -> float | None:
        """Best return minus the mean of returns ``(N,)``; None where the best is not known."""
        return None if self.best is None else self.best - float(values.mean())

    def impossible(self, values: Floats, batch: EpisodeBatch) -> str | None:
        """A sentence if nobody can have earned these returns ``(N,)`` with these texts, else None.

        Nothing is said unless every prompt was played, since some prompts allow more than the average over all, nor
        where a stochastic reward happens to pay the same each time. What was played more often than other prompts is
        left out.
        """
        if self.returns is None or not self.prompts <= set(batch.prompt_indices.tolist()):
            return None
        rows = _evenly(batch.prompt_indices)
        values, illegal = values[rows], batch.stop_codes[rows] == ILLEGAL
        if self.stochastic and np.ptp(values) == 0.0:
            return None
        sentence = self.returns.impossible(float(values.mean()), standard_error(values), self.kind)
        if sentence is None or not illegal.any() or values[illegal].max() <= self.returns.best:
            return sentence
        return (
            f"a normalised {self.kind} of {self.returns.normalize(float(values.mean())):.3f} is impossible with legal "
            f"texts; illegal ones are paid {values[illegal].max():g} where the best text earns {self.returns.best:g}: "
            "lower illegal_reward, or declare the reward's range"
        )


def _stated(task: Task, split: str, kind: str) -> tuple[Returns | None, str | None]:
    try:
        return task.returns(split, kind), None
    except TaskError as error:
        return None, f"{error}; {_ADVICE}"


def _evenly(prompts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of ``prompts (N,)`` that have each prompt equally often: the first of each."""
    order = np.argsort(prompts, kind="stable")
    _, starts, counts = np.unique(prompts[order], return_index=True, return_counts=True)
    turns = np.arange(len(prompts)) - np.repeat(starts, counts)
    return np.sort(order[turns < counts.min()])


def _check_task(solved: Task, played: Task, kind: str) -> None:
    scores = [task.reward if kind == "reward" else task.gold for task in (solved, played)]
    same = {
        "token budget": solved.budget == played.budget,
        "vocabulary": fingerprint(solved.tokenizer) == fingerprint(played.tokenizer),
        kind: _may_be_equal(*scores),
    }
    for name, agree in same.items():
        if not agree:
            raise ConfigurationError(
                f"the truth is about {solved!r} and the evaluation about {played!r}, which differ in their {name}; "
                "solve the environment that is played, with the same arguments"
            )


def _may_be_equal(one: object, other: object) -> bool:
    """Whether two scores are equal, as far as they say so: most classes do not say what equals them."""
    says = inspect.isfunction(one) or type(one).__eq__ is not object.__eq__
    try:
        return type(one) is type(other) and (bool(one == other) or not says)
    except ValueError:  # of scores that hold arrays
        return True


def _check(truth: Truth, prompts: set[str]) -> None:
    if not hasattr(truth, "optimal_return"):
        raise ConfigurationError(f"truth={truth!r}: expected what textgym.exact.solve(env) returns")
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
