"""What the tests of the suite's conversations share: saying given turns, and asking the oracle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch, Prompt
from textgym.factory import EnvFactory
from textgym.playing import speak
from textgym.task import Task


def factory_of(task: Task, split: str = "all") -> EnvFactory:
    return EnvFactory("TextGen-v0", {"task": task, "split": split})


def converse(task: Task, *turns: str, prompt: int = 0, seed: int = 0) -> tuple[EpisodeBatch, float]:
    """A conversation in which the agent says these turns, whatever it hears."""

    def recite(_: Prompt, said: list[tuple[str, str]]) -> str:
        return turns[min(sum(side == "agent" for side, _ in said), len(turns) - 1)]

    batch, returns = speak(recite, factory_of(task), prompt_indices=[prompt], seed=seed)
    return batch, float(returns[0])


def ask_oracle(
    task: Task, episodes: int, split: str = "all", seed: int = 0
) -> tuple[EpisodeBatch, NDArray[np.float64]]:
    rows = np.resize(task.prompts.rows(split), episodes)
    return speak(task.best_turn, factory_of(task, split), prompt_indices=rows, seed=seed)
