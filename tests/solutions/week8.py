"""A teacher's solution of week 8."""

from __future__ import annotations

import numpy as np


def scores_of(runs: list[dict], ends: dict[str, tuple[float, float]]) -> dict[str, list[float]]:
    scores = {task: [] for task in ends}
    for run in runs:
        low, high = ends[run["task"]]
        value = run["value"] if run["status"] == "ok" else low
        scores[run["task"]].append((value - low) / (high - low))
    return scores


def interquartile_mean(scores: list[list[float]]) -> float:
    ordered = np.sort(np.concatenate([np.asarray(task, dtype=float) for task in scores]))
    cut = len(ordered) // 4
    return ordered[cut : len(ordered) - cut].mean()


def resampled_means(tasks: list[np.ndarray], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = [task[rng.integers(len(task), size=(2000, len(task)))] for task in tasks]
    return np.concatenate(drawn, axis=1).mean(axis=1)


def interval(scores: list[list[float]], seed: int) -> tuple[float, float]:
    tasks = [np.asarray(task, dtype=float) for task in scores]
    low, high = np.quantile(resampled_means(tasks, seed), [0.025, 0.975])
    return low, high


def paired_interval(left: list[list[float]], right: list[list[float]], seed: int) -> tuple[float, float]:
    gaps = [np.asarray(a, dtype=float) - np.asarray(b, dtype=float) for a, b in zip(left, right, strict=True)]
    return interval(gaps, seed)


def held_out_return(episodes: list[dict]) -> float:
    by_prompt = {}
    for episode in episodes:
        if episode["split"] == "test":
            by_prompt.setdefault(episode["prompt"], []).append(episode["value"])
    return np.mean([np.mean(values) for values in by_prompt.values()])


def generalisation_gap(episodes: list[dict]) -> float:
    turned = {"train": "test", "test": "train"}
    seen = held_out_return([{**episode, "split": turned[episode["split"]]} for episode in episodes])
    return seen - held_out_return(episodes)
