"""A teacher's solution of week 7."""

from __future__ import annotations

import numpy as np


def best_of_n(reference: np.ndarray, proxy: np.ndarray, n: int) -> np.ndarray:
    policy = np.zeros(len(reference))
    below = 0.0
    for value in sorted(set(proxy.tolist())):
        alike = proxy == value
        here = reference[alike].sum()
        if here > 0:
            policy[alike] = reference[alike] / here * (min(below + here, 1.0) ** n - below**n)
        below += here
    return policy


def tilted(reference: np.ndarray, proxy: np.ndarray, temperature: float) -> np.ndarray:
    seen = reference > 0
    exponents = proxy[seen] / temperature
    policy = np.zeros(len(reference))
    policy[seen] = reference[seen] * np.exp(exponents - exponents.max())
    return policy / policy.sum()


def divergence(policy: np.ndarray, reference: np.ndarray) -> float:
    seen = policy > 0
    return (policy[seen] * np.log(policy[seen] / reference[seen])).sum()


def curve(reference: np.ndarray, proxy: np.ndarray, gold: np.ndarray, draws: list[int]) -> list[list[float]]:
    points = []
    for n in draws:
        policy = best_of_n(reference, proxy, n)
        points.append([divergence(policy, reference), policy @ proxy, policy @ gold])
    return points


def peak(reference: np.ndarray, proxy: np.ndarray, gold: np.ndarray, draws: list[int]) -> int:
    golds = [point[2] for point in curve(reference, proxy, gold, draws)]
    return draws[int(np.argmax(golds))]


def pessimistic(reference: np.ndarray, scores: np.ndarray) -> np.ndarray:
    scaled = []
    for member in scores:
        mean = reference @ member
        deviation = np.sqrt(reference @ (member - mean) ** 2)
        scaled.append((member - mean) / deviation)
    return np.min(scaled, axis=0)
