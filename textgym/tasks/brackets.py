"""Brackets: close what the prompt has opened.

The prompt is the beginning of a balanced row of brackets, such as ``([]{``; the agent writes the rest, ``})``, and ends
the text. It may open brackets of its own as long as it closes them: ``}[])`` solves the same prompt, at greater length.

**Reward.** Reading stops at the first bracket that closes another kind than the last one open, or nothing at all. Of a
prompt with *n* brackets open, the reward is the number of those that are closed by then, plus 1 where all is closed and
the text ends, divided by *n* + 1. Brackets that the agent opens earn nothing. A text **succeeds** when it earns 1: then
prompt and text together are balanced.

**Action mask.** At the levels easy and medium, brackets that the agent opened itself are closed in the right kind and
before the text ends (:func:`textgym.nesting.nest`). The mask knows what the agent wrote and not the prompt, so the
prompt's brackets can be closed in any kind and order. At level hard every bracket may be written at any time.

**Levels.**

======  =====  =============  =============  ======  =======
level   kinds  prompt length  most open      tokens  prompts
======  =====  =============  =============  ======  =======
easy        2  1 to 4         3                   6       32
medium      3  3 to 10        5                   8      256
hard        4  10 to 24       10                 13    1,024
======  =====  =============  =============  ======  =======

A quarter of the prompts is held out for testing.

**Example** (easy), to ``([``: the text ``])`` earns 1, so does ``()])``; ``]`` and ``]]`` earn 1/3, ``)]`` earns 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from textgym.constraints import Grammar
from textgym.episodes import Prompt
from textgym.nesting import PAIRS, Balance, Balanced, close, nest
from textgym.puzzles import careless_characters, draw_prompts, puzzle
from textgym.tokenizers import CharTokenizer

OPENING = 0.65  # how often a prompt opens a bracket where it could as well close one
DETOUR = 2  # tokens of the budget beyond the shortest answer's


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        kinds: Kinds of brackets.
        shortest: Fewest brackets of a prompt.
        longest: Most brackets of a prompt.
        deepest: Most brackets that a prompt has open at a time.
        prompts: Number of prompts, those for testing included.
        nesting: Most brackets of its own that the mask lets the agent have open; 0 for no mask.
    """

    name: str
    kinds: int
    shortest: int
    longest: int
    deepest: int
    prompts: int
    nesting: int

    @property
    def pairs(self) -> tuple[str, ...]:
        """The brackets."""
        return PAIRS[: self.kinds]


LEVELS = (
    Level("easy", 2, 1, 4, 3, 32, nesting=2),
    Level("medium", 3, 3, 10, 5, 256, nesting=3),
    Level("hard", 4, 10, 24, 10, 1024, nesting=0),
)


def _draw(level: Level, rng: np.random.Generator) -> Prompt:
    text, stack = "", ""
    closing = {pair[0]: pair[1] for pair in level.pairs}
    for _ in range(int(rng.integers(level.shortest, level.longest + 1))):
        if len(stack) <= 1 or (len(stack) < level.deepest and rng.random() < OPENING):
            stack += level.pairs[rng.integers(level.kinds)][0]
            text += stack[-1]
        else:
            text, stack = text + closing[stack[-1]], stack[:-1]
    return Prompt(text, references=(close(text),))


def make_prompts(level: Level) -> list[Prompt]:
    """Beginnings of balanced rows with something left to close."""
    return draw_prompts(partial(_draw, level), count=level.prompts, seed=("Brackets", level.name))


def make_tokenizer(level: Level) -> CharTokenizer:
    """One token a bracket."""
    return CharTokenizer("".join(level.pairs))


def _make_reward(level: Level) -> Balance:
    return Balance()


def _make_success(level: Level) -> Balanced:
    return Balanced()


def _make_constraints(level: Level) -> tuple[Grammar, ...]:
    return (nest(level.pairs, level.nesting),) if level.nesting else ()


def _count_tokens(level: Level) -> int:
    return level.deepest + 1 + DETOUR


TASK = puzzle(
    "Brackets",
    LEVELS,
    summary="Close the brackets that the prompt has opened.",
    skill="nesting",
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_constraints=_make_constraints,
    max_new_tokens=_count_tokens,
    make_reward=_make_reward,
    make_success=_make_success,
    make_demonstration=careless_characters,
)
