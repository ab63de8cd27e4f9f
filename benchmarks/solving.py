"""How long exact solutions take, and how much memory: both engines on the problems that they are meant for."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.automata import Automaton
from textgym.episodes import EpisodeBatch
from textgym.exact import Solution, solve
from textgym.tokenizers import WordTokenizer

WORDS, TOKENS = 1000, 20


@dataclass(frozen=True, eq=False)
class NeighbourReward:
    """A weight for each pair of neighbouring ids, without rhyme or reason.

    Attributes:
        machine: The weights, as an automaton whose state is the last id.
    """

    machine: Automaton

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores ``(B,)`` texts."""
        ends = batch.tokenizer.eos_ids
        return np.array([self.machine.score(batch.ids(row), eos_ids=ends) for row in range(len(batch))])

    def automaton(self, prompts: Any, prompt_index: int, tokenizer: Any) -> Automaton:
        """The same for every prompt."""
        return self.machine


def neighbours(words: int = WORDS, tokens: int = TOKENS) -> dict[str, Any]:
    """Arguments of an environment of so many words and tokens, paid by its pairs of neighbours."""
    tokenizer = WordTokenizer([f"w{number}" for number in range(words)])
    size = tokenizer.vocab_size
    weights = np.random.default_rng(0).normal(size=(size + 1, size))
    machine = Automaton(size, np.repeat(np.arange(size)[None], size + 1, axis=0), weights)
    return {
        "prompts": ["w1"],
        "tokenizer": tokenizer,
        "reward": NeighbourReward(machine),
        "max_new_tokens": tokens,
    }


def problems() -> dict[str, Callable[[], Solution]]:
    """Name -> what solves it."""
    words = neighbours()
    return {
        "Reviews, tiny": lambda: solve("TextGen-v0", level="tiny"),
        "Reviews, easy, all prompts": lambda: solve("TextGen-v0", split="all"),
        "Reviews, hard, all prompts": lambda: solve("TextGen-v0", level="hard", split="all"),
        f"{WORDS:,} words, {TOKENS} tokens": lambda: solve("TextGen-v0", **words),
    }


def report(*, rounds: int) -> Iterator[str]:
    """Lines of a table: median seconds, and the peak of the memory that NumPy and Python took."""
    yield f"{'problem':<28} {'engine':<10} {'seconds':>8} {'GB':>6}"
    for name, problem in problems().items():
        solution = problem()
        seconds = sorted(_time(problem) for _ in range(rounds))[rounds // 2]
        yield f"{name:<28} {solution.engine:<10} {seconds:>8.2f} {_memory(problem):>6.2f}"


def _time(problem: Callable[[], Solution]) -> float:
    begin = time.perf_counter()
    _ = problem().optimal_texts  # the dynamic programming is done when it is asked for
    return time.perf_counter() - begin


def _memory(problem: Callable[[], Solution]) -> float:
    """Measured apart from the time, since the measuring is slow."""
    tracemalloc.start()
    try:
        _ = problem().optimal_texts
        return tracemalloc.get_traced_memory()[1] / 1e9
    finally:
        tracemalloc.stop()
