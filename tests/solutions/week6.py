"""A teacher's solution of week 6."""

from __future__ import annotations

import numpy as np


def count_wins(judgements: list[dict], count: int) -> np.ndarray:
    wins = np.zeros((count, count))
    for judgement in judgements:
        left, right = judgement["a"], judgement["b"]
        if judgement["left"] == "b":
            left, right = right, left
        if judgement["choice"] == "left":
            wins[left, right] += 1
        elif judgement["choice"] == "right":
            wins[right, left] += 1
        elif judgement["choice"] == "tie":
            wins[left, right] += 0.5
            wins[right, left] += 0.5
    return wins


def log_likelihood(scores: np.ndarray, wins: np.ndarray) -> float:
    margins = scores[:, None] - scores[None, :]
    return -(wins * np.logaddexp(0.0, -margins)).sum()


def fit_scores(wins: np.ndarray, penalty: float) -> np.ndarray:
    games, scores = wins + wins.T, np.zeros(len(wins))
    for _ in range(100):
        chances = 1.0 / (1.0 + np.exp(scores[None, :] - scores[:, None]))
        gradient = (wins - games * chances).sum(axis=1) - penalty * scores
        spread = games * chances * (1.0 - chances)
        curvature = np.diag(spread.sum(axis=1) + penalty) - spread
        scores = scores + np.linalg.solve(curvature, gradient)
    return scores


def split(prompts: list[str], share: float, seed: int) -> list[bool]:
    names = sorted(set(prompts))
    order = np.random.default_rng(seed).permutation(len(names))
    held_out = {names[i] for i in order[: round(share * len(names))]}
    return [prompt in held_out for prompt in prompts]


def accuracy_ceiling(left: np.ndarray, right: np.ndarray, temperature: float) -> float:
    chances = 1.0 / (1.0 + np.exp((right - left) / temperature))
    return np.maximum(chances, 1.0 - chances).mean()


def accuracy(left: np.ndarray, right: np.ndarray, choices: list[str]) -> float:
    agreements = []
    for a, b, choice in zip(left, right, choices, strict=True):
        if choice == "tie":
            continue
        if a == b:
            agreements.append(0.5)
        else:
            agreements.append(float((a > b) == (choice == "left")))
    return np.mean(agreements)
