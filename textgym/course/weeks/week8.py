"""Week 8: benchmark your own agent."""

from __future__ import annotations

from textgym.course.assignment import Assignment
from textgym.course.sandbox import FORBIDDEN
from textgym.course.weeks.week_intervals import DOUBLE, SINGLE
from textgym.course.weeks.week_runs import EVALUATION, RUNS

TEMPLATE = '''"""Week 8: benchmark your own agent. Scores come as lists, one for each task, with one score a seed."""

from __future__ import annotations


def scores_of(runs: list[dict], ends: dict[str, tuple[float, float]]) -> dict[str, list[float]]:
    """The scores of each task's runs: 0 for random play, 1 for the best return. Failed runs count as random play.

    A run is {"task": name, "seed": number, "status": "ok" or why it failed, "value": return or None}. ends has
    (return of random play, best return) for each task.
    """
    raise NotImplementedError


def interquartile_mean(scores: list[list[float]]) -> float:
    """The mean of all scores after a quarter of them, rounded down, is cut off at either end."""
    raise NotImplementedError


def interval(scores: list[list[float]], seed: int) -> tuple[float, float]:
    """A 95 % bootstrap interval of the mean of all scores; seeds are drawn within each task."""
    raise NotImplementedError


def paired_interval(left: list[list[float]], right: list[list[float]], seed: int) -> tuple[float, float]:
    """A 95 % bootstrap interval of how much better left is than right, where both ran the same seeds."""
    raise NotImplementedError


def held_out_return(episodes: list[dict]) -> float:
    """The mean return over the held-out prompts, each prompt once.

    An episode is {"prompt": text, "split": "train" or "test", "value": return}.
    """
    raise NotImplementedError


def generalisation_gap(episodes: list[dict]) -> float:
    """The mean return over the training prompts minus that over the held-out ones, each prompt once."""
    raise NotImplementedError
'''

WEEK = Assignment(
    name="week8",
    title="Benchmark your own agent",
    goal="Turn runs into a claim that holds: failures kept, honest intervals, prompts nobody trained on.",
    parts=(RUNS, SINGLE, DOUBLE, EVALUATION),
    template=TEMPLATE,
    forbidden=(*FORBIDDEN, "textgym.benchmarks"),
)
