"""Small random problems, and their solution by stepping the environment through everything: slow and obvious."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from toys import PLAIN, constant

from textgym.constraints import Lexicon, MinLength, NoRepeat
from textgym.env import TextGenerationEnv
from textgym.episodes import EpisodeBatch, Prompt
from textgym.keys import mix
from textgym.task import Task
from textgym.tokenizers import WordTokenizer

Policy = Callable[[tuple[int, ...], NDArray[np.bool_]], NDArray[np.float64]]
"""``(prefix, mask) -> probabilities (V,)``."""


@dataclass(frozen=True)
class Scrambled:
    """A number from -1 to 1 for each text and prompt, without rhyme or reason."""

    seed: int
    range = (-2.0, 2.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        rows = zip(batch.prompt_indices.tolist(), batch.lengths.tolist(), range(len(batch)), strict=True)
        return np.array([self._number(prompt, batch.ids(row)[:length]) for prompt, length, row in rows])

    def _number(self, prompt: int, ids: list[int]) -> float:
        state = mix(self.seed * 1000 + prompt)
        for index in ids:
            state = mix(state ^ (index + 1))
        return state / 2**63 - 1.0


def stop_at_two_a(completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Ends a text with two times its first word."""
    return (completions == 0).sum(axis=1) >= 2


@st.composite
def problems(draw: st.DrawFn) -> Task:
    """Tasks of at most a few hundred texts, with all sorts of rules."""
    words = [chr(97 + number) for number in range(draw(st.integers(1, 3)))]
    prompts = [Prompt(text) for text in ("x", "y", "x y")[: draw(st.integers(1, 3))]]
    rules: list[Any] = [Lexicon(tuple(words))]
    rules += [MinLength(draw(st.integers(1, len(words))))] if draw(st.booleans()) else []
    rules += [NoRepeat()] if draw(st.booleans()) else []
    return replace(
        PLAIN,
        make_prompts=constant(tuple(prompts)),
        make_tokenizer=constant(WordTokenizer([*words, "x", "y"])),
        make_reward=constant(Scrambled(draw(st.integers(0, 10**6)))),
        make_gold=None,
        make_success=None,
        make_facts=None,
        make_constraints=constant(tuple(rules)),
        make_stop=constant(stop_at_two_a) if draw(st.booleans()) else None,
        max_new_tokens=constant(draw(st.integers(1, 4))),
    )


def step_through(
    env: TextGenerationEnv, prompt: int, *, discount: float = 1.0, policy: Policy | None = None
) -> dict[tuple[int, ...], tuple[float, dict[int, float]]]:
    """Prefix -> (value, id -> value after writing it) for the best player or a policy, by stepping the environment."""
    found: dict[tuple[int, ...], tuple[float, dict[int, float]]] = {}

    def visit(prefix: tuple[int, ...]) -> float:
        state, mask = env.get_state(), env.action_masks()
        values = {}
        for action in np.flatnonzero(mask).tolist():
            env.set_state(state)
            _, reward, terminated, _, _ = env.step(action)
            values[action] = reward if terminated else reward + discount * visit((*prefix, action))
        weights = None if policy is None else policy(prefix, mask)
        value = max(values.values()) if weights is None else sum(weights[a] * values[a] for a in values)
        found[prefix] = (float(value), values)
        return float(value)

    env.reset(options={"prompt_index": prompt})
    visit(())
    return found
