"""What tests share: where the repository is, one thread a process, and two solutions and a table to draw."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from textgym.agents.q_learning import QLearning
    from textgym.exact import TreeSolution

# The same examples in every run, and no time limit for one: a busy machine is no failure.
settings.register_profile("textgym", deadline=None, derandomize=True)
settings.load_profile("textgym")

# Before torch is imported, in this process and in those that tests start: a second thread a process
# makes small networks slower by an order of magnitude when the cores are busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository; tests that read it are skipped where only the installed package is there."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / "setup.cfg").is_file():
        pytest.skip("these tests read the repository's own files")
    return folder


@pytest.fixture(scope="module")
def tiny() -> TreeSolution:
    """The smallest level of Reviews: 7 tokens, 4 deep, one prompt."""
    from textgym.exact import solve

    solution: TreeSolution = solve("TextGen-v0", level="tiny")
    return solution


@pytest.fixture(scope="module")
def easy() -> TreeSolution:
    """16 tokens, 5 deep; one prompt of several."""
    from textgym.exact import solve

    solution: TreeSolution = solve("TextGen-v0", prompt="pan the actors")
    return solution


@pytest.fixture(scope="module")
def learner() -> QLearning:
    """A table after 600 steps in the smallest level: some of it right, some wrong, some never tried."""
    from textgym import EnvFactory
    from textgym.agents.q_learning import QLearning

    agent = QLearning(seed=0)
    agent.learn(EnvFactory("TextGen-v0", {"level": "tiny"}), 600)
    return agent
