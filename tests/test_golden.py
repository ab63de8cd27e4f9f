"""A change that changes a trajectory raises the version of its id: these numbers say when that happened.

If a test here fails and the change is meant, give the id a new version and put the printed line in place of the old.
"""

from __future__ import annotations

import hashlib
import json

import gymnasium as gym
import numpy as np
import pytest
from playing import ENVS, SUITE_IDS, play_episode

# id and level -> (hash of all ids, flags and stop reasons; sum of the rewards) of 50 episodes
GOLDEN: dict[str, tuple[str, float]] = {
    "TextGen-v0": ("653c702f7d23b2d4", -199.5218000),
    "TextGen/Reviews-v0": ("653c702f7d23b2d4", -199.5218000),
    "TextGen/Reviews-v0 tiny": ("0a8b64db432ecb0c", -135.6143000),
    "TextGen/Reviews-v0 medium": ("732672d400ab9309", -325.3988000),
    "TextGen/Reviews-v0 hard": ("410e2b5dd0ea83ec", -580.8314000),
}


def trajectories(name: str) -> tuple[str, float]:
    env_id, kwargs = ENVS[name]
    env, rng = gym.make(env_id, **kwargs), np.random.default_rng(0)
    events, total = [], 0.0
    for episode in range(50):
        record = play_episode(env, rng, illegal=0.05, seed=None if episode else 123)
        events.append([record[0][0].tolist()])
        for observation, reward, terminated, truncated, info in record[1:]:
            events.append([observation.tolist(), terminated, truncated, info.get("stop_reason"), info.get("prompt")])
            total += reward
    return hashlib.sha256(json.dumps(events).encode()).hexdigest()[:16], total


@pytest.mark.parametrize("name", SUITE_IDS)
def test_trajectories_are_those_of_this_version(name: str) -> None:
    digest, total = trajectories(name)
    now = f'{name!r}: ("{digest}", {total:.7f}),'
    assert name in GOLDEN, now
    assert digest == GOLDEN[name][0], now
    assert total == pytest.approx(GOLDEN[name][1], abs=1e-6), now
