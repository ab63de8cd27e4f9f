"""What the tests of reward models share: comparisons of the smallest tasks, and a model that knows the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.annotators import BoltzmannAnnotator
from textgym.comparisons import Comparison
from textgym.episodes import EpisodeBatch, Score
from textgym.factory import EnvFactory
from textgym.feedback.gathering import SyntheticGatherer
from textgym.feedback.pairs import sample_pairs
from textgym.preference_models.judging import Judging
from textgym.preference_models.model import Place, RewardModel
from textgym.task import Task
from textgym.tasks import get
from textgym.tokenizers import fingerprint

TEMPERATURE = 0.5


@cache
def task_of(level: str) -> Task:
    """A level of Reviews."""
    return get("Reviews", level)


@cache
def judged(count: int, *, level: str = "easy", seed: int = 0, ties: float = 0.0) -> tuple[Comparison, ...]:
    """What a simulated annotator says of texts of mixed quality."""
    task = task_of(level)
    assert task.gold is not None
    judge = BoltzmannAnnotator(task.gold, temperature=TEMPERATURE, ties=ties)
    pairs = sample_pairs(EnvFactory("TextGen-v0", {"level": level}), "mixed", count, seed=seed)
    return tuple(SyntheticGatherer(task, judge, seed=seed).gather(pairs))


def flipped(comparisons: Sequence[Comparison], share: float, seed: int) -> list[Comparison]:
    """The same comparisons, some of which say the contrary."""
    changed = np.random.default_rng(seed).random(len(comparisons)) < share
    other: dict[str, Any] = {"left": "right", "right": "left"}
    rows = zip(comparisons, changed.tolist(), strict=True)
    return [replace(item, choice=other.get(item.choice, item.choice)) if flip else item for item, flip in rows]


@dataclass(frozen=True)
class Knowing:
    """A member that scores like a function."""

    function: Score

    def score(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        return self.function(batch)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {}

    def describe(self) -> dict[str, Any]:
        return {}


def oracle(task: Task, *, sharpness: float = 1.0 / TEMPERATURE, tie: float = 0.0) -> RewardModel:
    """The reward model that knows the true score, and how the simulated annotators judge."""
    assert task.gold is not None
    place = Place(Knowing(task.gold), 0.0, 1.0, Judging(sharpness=sharpness, tie=tie), 0)
    return RewardModel("oracle", (place,), {"tokenizer": {"fingerprint": fingerprint(task.tokenizer)}}, limit=1e6)
