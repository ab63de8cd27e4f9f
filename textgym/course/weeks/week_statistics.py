"""What week 8 compares answers with: scores of runs, their average, and what intervals have to hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Run(TypedDict):
    """One run of a benchmark."""

    task: str
    seed: int
    status: str  # "ok", or why there is no return
    value: float | None  # the mean return; None for a run that failed


class Episode(TypedDict):
    """One evaluated episode."""

    prompt: str
    split: str  # "train" or "test"
    value: float  # its return


def scores_of(runs: Sequence[Run], ends: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """The scores of each task in the order of the runs, 0 for random play and 1 for the best; failed runs have 0.

    Args:
        runs: All runs that were planned.
        ends: Task -> return of random play, best return.
    """
    scores: dict[str, list[float]] = {task: [] for task in ends}
    for run in runs:
        low, high = ends[run["task"]]
        value = low if run["status"] != "ok" or run["value"] is None else run["value"]
        scores[run["task"]].append((value - low) / (high - low))
    return scores


def prompt_mean(episodes: Sequence[Episode], split: str) -> float:
    """The mean return over the prompts of a split, each of which counts once, however often it was played."""
    returns: dict[str, list[float]] = {}
    for episode in episodes:
        if episode["split"] == split:
            returns.setdefault(episode["prompt"], []).append(episode["value"])
    return float(np.mean([np.mean(values) for values in returns.values()]))
