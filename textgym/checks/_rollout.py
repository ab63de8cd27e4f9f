"""What a fresh process does: it reads an environment from its input, plays, and writes a fingerprint of the play."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import gymnasium as gym
import numpy as np

from textgym.checks.comparing import digest
from textgym.checks.recording import record

EVENTS = 120
UNREADABLE = 3
"""Exit status where the environment cannot be read here."""


def rollout(env: Any) -> str:
    """The fingerprint of a fixed play."""
    return digest(record(env, EVENTS, np.random.default_rng(13), seed=13))


def main() -> None:
    """Reads an EnvSpec as the parent process has pickled it."""
    try:
        spec = pickle.Unpickler(sys.stdin.buffer).load()  # noqa: S301 - from the process that started this one
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        raise SystemExit(UNREADABLE) from None
    sys.stdout.write(rollout(gym.make(spec)))


if __name__ == "__main__":
    main()
