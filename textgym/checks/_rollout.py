"""What a fresh process does: it reads an environment from its input, plays, and writes down what it saw."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import gymnasium as gym
import numpy as np

from textgym.checks.recording import Output, record

EVENTS = 120
UNREADABLE = 3
"""Exit status where the environment cannot be read here."""


def rollout(env: Any) -> list[Output]:
    """What is returned in a fixed play."""
    return record(env, EVENTS, np.random.default_rng(13), seed=13)[1]


def main() -> None:
    """Reads an EnvSpec as the parent process has pickled it."""
    try:
        spec = pickle.Unpickler(sys.stdin.buffer).load()  # noqa: S301 - from the process that started this one
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        raise SystemExit(UNREADABLE) from None
    output, sys.stdout = sys.stdout.buffer, sys.stderr  # where a reward may print what it likes
    output.write(pickle.dumps(rollout(gym.make(spec))))


if __name__ == "__main__":
    main()
