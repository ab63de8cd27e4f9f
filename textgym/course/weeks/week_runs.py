"""Week 8, first half: the scores of runs, failed ones included, their average, and episodes on held-out prompts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.benchmarks.stats import interquartile_mean
from textgym.course.assignment import Finding, Part, shown
from textgym.course.sandbox import Student
from textgym.course.weeks.week_findings import Silence, ask, difference, judge
from textgym.course.weeks.week_statistics import Episode, Run, prompt_mean, scores_of

Floats = NDArray[np.float64]

TASKS = ("Copy", "Sort", "Reviews", "Brackets")
FAILURES = ("crashed", "timeout", "diverged")
HELD_OUT = "TextGen/Copy-v0"


# ---- scores ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of an agent.

    Attributes:
        ends: Task -> return of random play, best return.
        finished: Runs without a failure.
        some_failed: Runs with failures.
        round_scores: Scores of each task, 20 in all.
        odd_scores: 18 in all, one of them wild.
    """

    ends: dict[str, tuple[float, float]]
    finished: tuple[Run, ...]
    some_failed: tuple[Run, ...]
    round_scores: tuple[Floats, ...]
    odd_scores: tuple[Floats, ...]


def draw_runs(rng: np.random.Generator) -> Runs:
    """Four tasks with scales of their own, and five seeds."""
    low = rng.uniform(-3.0, 0.5, size=4).round(2)
    high = low + rng.uniform(0.5, 4.0, size=4).round(2)
    ends = {task: (float(a), round(float(b), 2)) for task, a, b in zip(TASKS, low, high, strict=True)}
    round_scores = rng.normal(0.7, 0.2, size=(4, 5)).round(3)
    odd_scores = rng.normal(0.7, 0.2, size=(3, 6)).round(3)
    odd_scores[int(rng.integers(3)), int(rng.integers(6))] = -40.0
    return Runs(ends, _draw_runs(rng, ends, 0), _draw_runs(rng, ends, 4), tuple(round_scores), tuple(odd_scores))


def _draw_runs(rng: np.random.Generator, ends: dict[str, tuple[float, float]], failures: int) -> tuple[Run, ...]:
    runs: list[Run] = []
    for task, (low, high) in ends.items():
        for seed in range(5):
            value = round(float(rng.uniform(low + 0.1 * (high - low), high)), 3)
            runs.append({"task": task, "seed": seed, "status": "ok", "value": value})
    for place in rng.choice(len(runs), size=failures, replace=False).tolist():
        runs[place]["status"], runs[place]["value"] = str(rng.choice(FAILURES)), None
    return tuple(runs[place] for place in rng.permutation(len(runs)).tolist())


def explain_runs(variant: Runs) -> str:
    """What is to be written."""
    ends = ", ".join(f"{task} ({low:g}, {high:g})" for task, (low, high) in variant.ends.items())
    return (
        "scores_of(runs, ends): task -> list of the scores of its runs, in the order of the runs; 0 is random play, 1 "
        'the best return. A run is a dict with "task", "seed", "status" ("ok" or why it failed) and "value", its '
        "return or None; ends has (return of random play, best return) by task. A failed run counts as random play: "
        "an agent must not win by crashing where it is hard. And interquartile_mean(scores), scores being a list of "
        "lists, one for each task: pool all scores, cut off a quarter of them at either end (the number rounded down), "
        f"and take the mean of the rest. Your tasks and their ends: {ends}."
    )


def grade_runs(variant: Runs, student: Student) -> Iterator[Finding]:
    """Scores without and with failures; the interquartile mean of 20 and of 18 scores."""
    for points, name, runs, look in (
        (
            8,
            "runs that all finished",
            variant.finished,
            "(value - random) / (best - random), with the task's own ends.",
        ),
        (10, "runs of which some failed", variant.some_failed, "A failed run stays in the list, with the score 0."),
    ):
        answer = ask(student, "scores_of", [dict(run) for run in runs], dict(variant.ends))
        came = _differ(answer, scores_of(runs, variant.ends))
        yield Finding(points, not came, f"the scores of {len(runs)} {name}", came, look)
    for points, tasks, look in (
        (6, variant.round_scores, "Sort all scores of all tasks together and keep the middle half."),
        (6, variant.odd_scores, "Of 18 scores 4 go at either end: the quarter is rounded down."),
    ):
        pooled = np.concatenate(tasks)
        answer = ask(student, "interquartile_mean", [task.tolist() for task in tasks])
        name = f"the interquartile mean of {len(pooled)} scores"
        yield judge(points, name, answer, float(interquartile_mean(pooled)), look)


def _differ(answer: Any, truth: dict[str, list[float]]) -> str:
    """What is wrong with scores by task, in words."""
    if isinstance(answer, Silence):
        return answer.reason
    if not isinstance(answer, dict) or set(answer) != set(truth):
        return f"{shown(answer)} came, and not a dict with {', '.join(truth)}"
    for task, scores in truth.items():
        if came := difference(answer[task], scores):
            return f"of {task}, {came}"
    return ""


# ---- held-out prompts -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Episodes of a table that knows the training prompts of Copy by heart.

    Attributes:
        even: As many episodes for each prompt.
        uneven: Some prompts were played more often than others.
        seen: The exact return on the training prompts.
        unseen: The exact return on the held-out ones.
    """

    even: tuple[Episode, ...]
    uneven: tuple[Episode, ...]
    seen: float
    unseen: float


def draw_evaluation(rng: np.random.Generator) -> Evaluation:
    """Optimal texts to training prompts and random play on the others; the mean of each prompt is its exact return."""
    from textgym.exact import TreePolicy, solve

    known: Any = solve(HELD_OUT, split="train")
    new: Any = solve(HELD_OUT, split="test")
    chance = new.policy_value(TreePolicy(new.reference))
    returns = [("train", known.optimal_returns), ("test", chance.returns)]
    exact = [(prompt, split, value) for split, by_prompt in returns for prompt, value in by_prompt.items()]
    even = [episode for row in exact for episode in _play(rng, *row, 4)]
    ordered = sorted(exact, key=lambda row: (row[2], rng.random()))
    counts = [2 + 4 * place + 2 * int(rng.integers(2)) for place in range(len(ordered))]  # the best are played most
    uneven = [episode for row, count in zip(ordered, counts, strict=True) for episode in _play(rng, *row, count)]
    first, second = (tuple(rows[place] for place in rng.permutation(len(rows)).tolist()) for rows in (even, uneven))
    return Evaluation(first, second, known.optimal_return, chance.mean_return)


def _play(rng: np.random.Generator, prompt: str, split: str, value: float, count: int) -> list[Episode]:
    """Returns in pairs that lie as far above the mean as below it."""
    gaps = rng.uniform(0.0, 0.2, size=count // 2).round(3)
    return [{"prompt": prompt, "split": split, "value": value + float(gap)} for pair in gaps for gap in (pair, -pair)]


def explain_evaluation(variant: Evaluation) -> str:
    """What is to be written."""
    prompts = len({episode["prompt"] for episode in variant.even})
    return (
        "held_out_return(episodes): the mean return over the prompts that were held out; and generalisation_gap("
        'episodes): the mean over the training prompts minus that. An episode is a dict with "prompt", "split" '
        '("train" or "test") and "value", its return. Each prompt counts once, however often it was played. You get '
        f"episodes of a table on the {prompts} prompts of Copy, and your number has to be its exact return there."
    )


def grade_evaluation(variant: Evaluation, student: Student) -> Iterator[Finding]:
    """Even and uneven numbers of episodes, and the gap."""
    exact = "The exact return there is known from all texts"
    for points, name, episodes, look in (
        (7, "with as many episodes for each", variant.even, f"{exact}; what was trained on does not count."),
        (7, "of which some were played more often", variant.uneven, f"{exact}: average each prompt, then the prompts."),
    ):
        answer = ask(student, "held_out_return", [dict(episode) for episode in episodes])
        yield judge(points, f"the return on held-out prompts {name}", answer, variant.unseen, look)
    answer = ask(student, "generalisation_gap", [dict(episode) for episode in variant.uneven])
    yield judge(
        6,
        "how much better the table is on what it was trained on",
        answer,
        prompt_mean(variant.uneven, "train") - prompt_mean(variant.uneven, "test"),
        "Training prompts minus held-out prompts, each prompt once.",
    )


RUNS = Part(
    name="scores",
    points=30,
    needs=("scores_of", "interquartile_mean"),
    draw=draw_runs,
    explain=explain_runs,
    grade=grade_runs,
)
EVALUATION = Part(
    name="held-out prompts",
    points=20,
    needs=("held_out_return", "generalisation_gap"),
    draw=draw_evaluation,
    explain=explain_evaluation,
    grade=grade_evaluation,
)
