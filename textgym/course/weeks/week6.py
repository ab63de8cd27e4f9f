"""Week 6: preferences and a reward model."""

from __future__ import annotations

from textgym.course.assignment import Assignment
from textgym.course.sandbox import FORBIDDEN
from textgym.course.weeks.week_holdouts import ACCURACIES, PILE
from textgym.course.weeks.week_judgements import FITS, SHEETS

TEMPLATE = '''"""Week 6: preferences and a reward model. Arrays are NumPy arrays."""

from __future__ import annotations

import numpy as np


def count_wins(judgements: list[dict], count: int) -> np.ndarray:
    """How often each text beat each other one: (count, count), the row against the column.

    A judgement is {"a": number, "b": number, "left": "a" or "b", "choice": "left", "right", "tie" or "skip"}.
    """
    raise NotImplementedError


def log_likelihood(scores: np.ndarray, wins: np.ndarray) -> float:
    """The logarithm of the probability of these wins (N, N) under scores (N,)."""
    raise NotImplementedError


def fit_scores(wins: np.ndarray, penalty: float) -> np.ndarray:
    """The scores (N,) that maximise log_likelihood(scores, wins) - penalty / 2 * sum(scores ** 2)."""
    raise NotImplementedError


def split(prompts: list[str], share: float, seed: int) -> list[bool]:
    """Which comparisons are held out: all those of a share of the different prompts."""
    raise NotImplementedError


def accuracy_ceiling(left: np.ndarray, right: np.ndarray, temperature: float) -> float:
    """How often the best model agrees with one judgement, on average; left and right (B,) are true scores."""
    raise NotImplementedError


def accuracy(left: np.ndarray, right: np.ndarray, choices: list[str]) -> float:
    """How often scores (B,) agree with the choices "left", "right" or "tie"."""
    raise NotImplementedError
'''

WEEK = Assignment(
    name="week6",
    title="Preferences and a reward model",
    goal="Turn what people clicked into scores, without losing who stood where, and know how good a model can be.",
    parts=(SHEETS, FITS, PILE, ACCURACIES),
    template=TEMPLATE,
    forbidden=(*FORBIDDEN, "textgym.bradley_terry", "textgym.davidson", "textgym.preference_models"),
)
