"""Week 3: Q-learning."""

from __future__ import annotations

from typing import Any

import numpy as np


class Learner:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.q: dict[bytes, np.ndarray] = {}
        self.tried: dict[bytes, np.ndarray] = {}

    def row(self, observation: np.ndarray, size: int) -> np.ndarray:
        return self.q.setdefault(observation.tobytes(), np.zeros(size))

    def explore(self, observation: np.ndarray, mask: np.ndarray) -> int:
        """One of the legal ids that were tried least here."""
        counts = self.tried.setdefault(observation.tobytes(), np.zeros(len(mask)))
        legal = np.flatnonzero(mask)
        rarest = legal[counts[legal] == counts[legal].min()]
        return int(self.rng.choice(rarest))

    def learn(self, env: Any, steps: int) -> None:
        observation, info = env.reset()
        for step in range(steps):
            epsilon = max(0.05, 1.0 - step / (0.8 * steps))
            mask = info["action_mask"]
            q = self.row(observation, env.num_actions)
            action = self.explore(observation, mask) if self.rng.random() < epsilon else best_of(q, mask)
            following, reward, terminated, _, info = env.step(action)
            self.tried.setdefault(observation.tobytes(), np.zeros(len(mask)))[action] += 1
            future = 0.0
            if not terminated:
                later = self.row(following, env.num_actions)
                future = max(later[np.flatnonzero(info["action_mask"])])
            q[action] += 0.9 * (reward + future - q[action])
            observation = following
            if terminated:
                observation, info = env.reset()

    def act(self, observation: np.ndarray, action_mask: np.ndarray) -> int:
        return best_of(self.row(observation, len(action_mask)), action_mask)

    def value(self, observation: np.ndarray, action: int) -> float:
        row = self.q.get(observation.tobytes())
        return 0.0 if row is None else float(row[action])


def best_of(q: np.ndarray, mask: np.ndarray) -> int:
    legal = np.flatnonzero(mask)
    return int(legal[np.argmax(q[legal])])
