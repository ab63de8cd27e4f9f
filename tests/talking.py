"""What the tests of conversations share: saying given turns, asking the oracle, playing what a solution says."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch, Prompt
from textgym.exact import ConversationSolution, solve
from textgym.factory import EnvFactory
from textgym.playing import FirstEpisodes, speak
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


def play_best(task: Task, solution: ConversationSolution, episodes: int, split: str = "all") -> NDArray[np.float64]:
    """What the best player really earns, with chance from as many keys."""
    envs: Any = factory_of(task, split).vector(episodes).unwrapped
    envs.reset(seed=7)
    first, known = FirstEpisodes(episodes), dict[tuple[str, tuple[int, ...]], int]()
    while first.waiting.any():
        batch = envs.present_episodes
        places = [(prompt, tuple(batch.ids(row))) for row, prompt in enumerate(batch.prompt_texts)]
        for row in np.flatnonzero(first.waiting).tolist():
            if places[row] not in known:
                known[places[row]] = solution.best_id(places[row][1], places[row][0])
        envs.step(np.array([known.get(place, envs.eos_id) for place in places]))
        first.collect(envs)
    return first.result()[1]


def solved(task: Task, **options: Any) -> ConversationSolution:
    solution = solve(task, **options)
    assert isinstance(solution, ConversationSolution)
    return solution
