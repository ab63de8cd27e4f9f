"""Week 8, second half: bootstrap intervals, of one agent and of two that ran the same seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.course.assignment import Finding, Part, shown
from textgym.course.sandbox import Student
from textgym.course.weeks.week_findings import Silence, ask, misfit, pair

Floats = NDArray[np.float64]

TASKS, SEEDS = 4, 5
EXPERIMENTS = 120
REPLICATES = 2000
NARROWEST, WIDEST = 0.93, 1.6  # of the percentile interval; with Student's quantiles it is about 1.25 times as wide
FEWEST_HITS = 0.78  # the percentile interval of five seeds on four tasks holds the truth nine times in ten

WANTED = (
    f"on average the ends have to be {NARROWEST} to {WIDEST} times as far from the mean as those of the percentile "
    f"bootstrap, and at least {FEWEST_HITS:.0%} of the intervals have to hold the truth."
)


@dataclass(frozen=True, eq=False)
class Experiments:
    """Many experiments of which the truth is known.

    Attributes:
        left: ``(E, tasks, seeds)`` scores of an agent.
        right: ``(E, tasks, seeds)`` scores of another with the same seeds.
        truth: What each experiment estimates: the left agent's mean, or how much better it is.
        seed: Of the resampling.
    """

    left: Floats
    right: Floats
    truth: float
    seed: int


def draw_single(rng: np.random.Generator) -> Experiments:
    """One agent on tasks of different difficulty."""
    means = rng.permutation([0.15, 0.4, 0.7, 0.95]) + rng.uniform(-0.04, 0.04, size=TASKS).round(2)
    left = means[:, None] + rng.normal(0.0, 0.08, size=(EXPERIMENTS, TASKS, SEEDS))
    return Experiments(left, np.zeros_like(left), float(means.mean()), int(rng.integers(1000)))


def draw_double(rng: np.random.Generator) -> Experiments:
    """Two agents whose seeds are lucky or unlucky together."""
    means = rng.uniform(0.3, 0.8, size=TASKS).round(2)
    gain = round(float(rng.uniform(0.05, 0.1)), 3)
    luck = rng.normal(0.0, 0.2, size=(EXPERIMENTS, TASKS, SEEDS))
    left, right = (means[:, None] + luck + rng.normal(0.0, 0.02, size=luck.shape) for _ in range(2))
    return Experiments(left + gain, right, gain, int(rng.integers(1000)))


# ---- the intervals of one agent -------------------------------------------------------------------------------------


def explain_single(variant: Experiments) -> str:
    """What is to be written."""
    return (
        "interval(scores, seed): a 95 % bootstrap interval (low, high) of the mean of all scores, which come as a list "
        "of lists, one for each task, one score a seed. Draw seeds with replacement within each task, about "
        f"{REPLICATES:,} times, and take the middle 95 % of the means; widening for few seeds is welcome. The same "
        f"seed gives the same interval. You are asked about {len(variant.left)} experiments of {TASKS} tasks with "
        f"{SEEDS} seeds, whose true mean is known: {WANTED}"
    )


def grade_single(variant: Experiments, student: Student) -> Iterator[Finding]:
    """The width, the share of hits, and the same interval from the same seed."""
    answers = [ask(student, "interval", scores.tolist(), variant.seed) for scores in variant.left]
    rigid = _rigid(answers)
    yield from _judge(variant, variant.left, answers, width_points=12, hit_points=10)
    student.restart()
    again = ask(student, "interval", variant.left[0].tolist(), variant.seed)
    yield Finding(
        8,
        not rigid and _is_interval(answers[0]) and _is_interval(again) and _ends(again) == _ends(answers[0]),
        "the same interval from the same seed, in a process of its own",
        rigid or f"{_said(again)} came, and {_said(answers[0])} before",
        "Make a generator from the seed: numpy.random.default_rng(seed).",
    )


# ---- the intervals of two agents ------------------------------------------------------------------------------------


def explain_double(variant: Experiments) -> str:
    """What is to be written."""
    return (
        "paired_interval(left, right, seed): a 95 % bootstrap interval (low, high) of how much better left is than "
        "right, on average over all scores. Both come as scores in interval(), and score k of a task belongs to the "
        "same seed on both sides: what a seed does to both cancels out when pairs are drawn. You are asked about "
        f"{len(variant.left)} experiments in which the truth is known: {WANTED}"
    )


def grade_double(variant: Experiments, student: Student) -> Iterator[Finding]:
    """The width and the share of hits."""
    answers = [
        ask(student, "paired_interval", left.tolist(), right.tolist(), variant.seed)
        for left, right in zip(variant.left, variant.right, strict=True)
    ]
    yield from _judge(variant, variant.left - variant.right, answers, width_points=12, hit_points=8)


# ---- what both have in common ---------------------------------------------------------------------------------------


def _judge(
    variant: Experiments, scores: Floats, answers: list[Any], *, width_points: int, hit_points: int
) -> Iterator[Finding]:
    asked = f"of {len(answers)} intervals"
    bad_ones = [answer for answer in answers if not _is_interval(answer)]
    if bad_ones:
        bad = bad_ones[0]
        came = bad.reason if isinstance(bad, Silence) else f"{shown(bad)} came, and not (low, high) with low <= high"
        yield Finding(width_points, False, f"the width {asked}", came)
        yield Finding(hit_points, False, f"the share {asked} that hold the truth", came)
        return
    low, high = np.array([_ends(answer) for answer in answers]).T
    below, above = _ratios(scores, low, high)
    yield Finding(
        width_points,
        min(below, above) >= NARROWEST and max(below, above) <= WIDEST,
        f"the width {asked}",
        f"the lower ends are {shown(below)} and the upper ends {shown(above)} times as far from the mean as those of "
        f"the percentile bootstrap ({NARROWEST} to {WIDEST} is right)",
        "Draw within each task, with replacement, as many seeds as there are, and both sides' scores of a seed "
        "together; what is between the tasks is no uncertainty.",
    )
    hits = float(((low <= variant.truth) & (variant.truth <= high)).mean())
    rigid = _rigid(answers)
    yield Finding(
        hit_points,
        hits >= FEWEST_HITS and not rigid,
        f"the share {asked} that hold the truth, {shown(variant.truth)}",
        rigid or f"{hits:.0%} do, which is too few for 95 %",
        "The ends are the quantiles 0.025 and 0.975 of the resampled means.",
    )


def _rigid(answers: list[Any]) -> str:
    """Why intervals say nothing of the scores: they are all the same. Empty where they are not."""
    same = all(_is_interval(answer) for answer in answers) and len({_ends(answer) for answer in answers}) == 1
    return f"{shown(answers[0])} came for all of them, whatever the scores" if same else ""


def _said(answer: Any) -> str:
    return answer.reason if isinstance(answer, Silence) else shown(answer)


def _ratios(scores: Floats, low: Floats, high: Floats) -> tuple[float, float]:
    """How far the ends are from the mean on average, divided by how far those of the percentile bootstrap are."""
    picks = np.random.default_rng(0).integers(SEEDS, size=(REPLICATES, TASKS, SEEDS))
    means = np.array([experiment[np.arange(TASKS)[:, None], picks].mean(axis=(1, 2)) for experiment in scores])
    estimates = scores.mean(axis=(1, 2))
    low_end, high_end = np.quantile(means, (0.025, 0.975), axis=1)
    below, above = (estimates - low_end).mean(), (high_end - estimates).mean()
    return float((estimates - low).mean() / below), float((high - estimates).mean() / above)


def _ends(answer: Any) -> tuple[float, float]:
    low, high = pair(answer.tolist() if isinstance(answer, np.ndarray) else answer)
    return float(low), float(high)


def _is_interval(answer: Any) -> bool:
    if isinstance(answer, Silence) or misfit(answer, 2):
        return False
    low, high = _ends(answer)
    return low <= high


SINGLE = Part(
    name="intervals",
    points=30,
    needs=("interval",),
    draw=draw_single,
    explain=explain_single,
    grade=grade_single,
)
DOUBLE = Part(
    name="paired comparison",
    points=20,
    needs=("paired_interval",),
    draw=draw_double,
    explain=explain_double,
    grade=grade_double,
)
