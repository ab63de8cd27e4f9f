"""The trials of a search: one set of options each, and what its runs earned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from textgym.errors import ConfigurationError

from .records import RunResult

RUNNING, OK, FAILED = "running", "ok", "failed"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One set of options.

    Attributes:
        number: 0 is the agent with its defaults.
        options: What was tried.
        state: "running" (or ended by a kill: it is made again), "ok" or "failed".
        value: Mean score over tasks and seeds; None unless the state is "ok".
        scores: Task -> mean score over its seeds.
        error: Why it failed; empty if it did not.
        steps: Tokens that its runs wrote in training.
        reward_calls: Texts that the reward model scored for them.
        seconds: Training and evaluation of its runs, all together.
    """

    number: int
    options: Mapping[str, Any]
    state: str = RUNNING
    value: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    steps: int = 0
    reward_calls: int = 0
    seconds: float = 0.0

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"trial-{self.number:04d}"


def judge(trial: Trial, results: Sequence[RunResult]) -> Trial:
    """A trial with what its runs earned; it fails if one of them does, since nobody wants options that crash."""
    seconds = sum(run.train_seconds + run.evaluation_seconds for run in results)
    spent = replace(
        trial,
        steps=sum(run.steps for run in results),
        reward_calls=sum(run.reward_calls for run in results),
        seconds=round(seconds, 3),
    )
    failed = [run for run in results if run.status != "ok"]
    if failed:
        place = f"{failed[0].spec.environment}, seed {failed[0].spec.seed}"
        return replace(spent, state=FAILED, error=f"{place}: {failed[0].error}")
    earned: dict[str, list[float]] = {}
    for run in results:
        earned.setdefault(run.task or run.spec.environment, []).append(_score(run))
    scores = {task: math.fsum(found) / len(found) for task, found in earned.items()}
    return replace(spent, state=OK, value=math.fsum(scores.values()) / len(scores), scores=scores)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest value, the earliest of equals; None if none has one."""
    good = [trial for trial in trials if trial.value is not None]
    return max(good, key=lambda trial: (trial.value, -trial.number)) if good else None


def _score(run: RunResult) -> float:
    measures = [run.measure("greedy", run.training_split, score) for score in ("gold", "reward")]
    measure = next(found for found in measures if found is not None)
    if measure.normalized is None:
        raise ConfigurationError(
            f"{run.spec.environment}: random and best {measure.score} are not known, so that its scores cannot be "
            "averaged with those of other tasks; leave it out, or give the task an oracle"
        )
    return measure.normalized
