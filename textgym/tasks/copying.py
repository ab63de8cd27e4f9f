"""Copy: write the letters of the prompt again.

The prompt is a row of letters; the agent writes the same letters and ends the text. What a network with a fixed window
learns at once, a table has to learn for every prompt anew.

**Reward.** The share of the answer's tokens, its end included, that the text has right from the beginning on: a text
that is wrong at the third of five tokens earns 0.4. A text **succeeds** when all of it is right; then it earns 1.

**Levels.**

======  =======  =======  =======
level   letters  length   prompts
======  =======  =======  =======
easy          3  2 to 3        24
medium        8  4 to 6       256
hard         26  8 to 16    1,024
======  =======  =======  =======

A quarter of the prompts is held out for testing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from string import ascii_lowercase

import numpy as np

from textgym.constraints import Lexicon
from textgym.episodes import Prompt
from textgym.facts import shipped_facts
from textgym.puzzles import Answer, Solved, careless, draw_prompts, first_reference
from textgym.task import Task
from textgym.tokenizers import WordTokenizer


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        letters: Size of the alphabet.
        shortest: Fewest letters of a prompt.
        longest: Most letters of a prompt.
        prompts: Number of prompts, those for testing included.
    """

    name: str
    letters: int
    shortest: int
    longest: int
    prompts: int


LEVELS = {
    level.name: level
    for level in (Level("easy", 3, 2, 3, 24), Level("medium", 8, 4, 6, 256), Level("hard", 26, 8, 16, 1024))
}


def _draw(level: Level, rng: np.random.Generator) -> Prompt:
    length = int(rng.integers(level.shortest, level.longest + 1))
    text = " ".join(ascii_lowercase[index] for index in rng.integers(level.letters, size=length))
    return Prompt(text, references=(text,))


def make_prompts(level: Level) -> list[Prompt]:
    """Rows of letters."""
    return draw_prompts(partial(_draw, level), count=level.prompts, seed=("Copy", level.name))


def make_tokenizer(level: Level) -> WordTokenizer:
    """One token a letter."""
    return WordTokenizer(list(ascii_lowercase[: level.letters]))


def _make_reward(level: Level) -> Answer:
    return Answer()


def _make_success(level: Level) -> Solved:
    return Solved()


def _make_constraints(level: Level) -> tuple[Lexicon, ...]:
    return (Lexicon(tuple(ascii_lowercase[: level.letters])),)


def _count_tokens(level: Level) -> int:
    return level.longest + 1


TASK = Task(
    name="Copy",
    summary="Write the letters of the prompt again.",
    levels=LEVELS,
    level="easy",
    tags=("puzzle", "copying"),
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_reward=_make_reward,
    make_success=_make_success,
    make_constraints=_make_constraints,
    make_oracle=first_reference,
    make_demonstration=careless,
    make_facts=shipped_facts("Copy"),
    max_new_tokens=_count_tokens,
)
