"""What a task's best writer and random play make of its example prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.agents.uniform import Uniform
from textgym.episodes import EpisodeBatch, Prompt
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.playing import play, speak

TRIES = 9
"""Chance may smile on one text; so this many are written, and the one in the middle is shown."""


@dataclass(frozen=True)
class Written:
    """A text, or a conversation, and what it earned.

    Attributes:
        turns: (side, text); a single one of the agent's where nobody answers.
        reward: What was paid.
        gold: The true score; None where that is the reward.
    """

    turns: list[tuple[str, str]]
    reward: float
    gold: float | None


def best_text(envs: EnvFactory) -> Written:
    """What the oracle writes for the example prompt; where chance has a part, an average case of it."""
    return middle(*speak(envs.task().best_turn, envs, prompt_indices=example_rows(envs), seed=0))


def random_text(envs: EnvFactory) -> Written:
    """An average case of random play for the example prompt."""
    task, rows = envs.task(), example_rows(envs)
    agent = Uniform(spawn_seed(0, "gallery", task.name, task.level))
    return middle(*play(agent.act, envs, episodes=TRIES, seed=0, prompt_indices=rows))


def clumsy_text(envs: EnvFactory, best: float) -> Written:
    """A conversation that begins at random and goes on as well as it can: of several, the best below the best text."""
    task, rows = envs.task(), example_rows(envs)
    agent = Uniform(spawn_seed(0, "clumsy", task.name, task.level))
    random, _ = play(agent.act, envs, episodes=TRIES, seed=0, prompt_indices=rows)
    written = []
    for row in range(TRIES):
        first = random.dialogue(row)[0][1]

        def say(prompt: Prompt, said: list[tuple[str, str]], first: str = first) -> str:
            return task.best_turn(prompt, said) if said else first

        written.append(middle(*speak(say, envs, prompt_indices=rows[:1], seed=row)))
    return max(written, key=lambda talk: (0.0 < talk.reward < best, talk.reward <= best, talk.reward))


def example_rows(envs: EnvFactory) -> NDArray[np.int64]:
    """The first prompt of the default split, over and over again."""
    task = envs.task()
    return np.repeat(task.prompts.rows(task.default_split)[0], TRIES)


def middle(batch: EpisodeBatch, returns: NDArray[np.float64]) -> Written:
    """The text whose reward has as many above it as below."""
    row = int(np.argsort(returns, kind="stable")[len(returns) // 2])
    golds: Any = batch.gold()
    turns = [("agent", batch.completions[row])] if batch.is_agent is None else batch.dialogue(row)
    return Written(turns, float(returns[row]), None if golds is None else float(golds[row]))
