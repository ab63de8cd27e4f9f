"""Add: write the sum of two numbers, digit by digit.

The prompt is a sum such as ``2 7 + 5 5``; the agent writes the digits of the result, ``8 2``, the highest first, and
ends the text. Because of carries, the first digit may depend on the last ones of the prompt.

**Reward.** The share of the answer's tokens, its end included, that the text has right from the beginning on: ``8 3``
earns 1/3 where ``8 2`` is right. A text **succeeds** when all of it is right; then it earns 1.

**Levels.** A number has no leading zero unless it is 0 itself.

======  ==================  ======  =======
level   digits of a number  tokens  prompts
======  ==================  ======  =======
easy    1                        3       48
medium  1 to 2                   4      512
hard    4 to 6                   8    1,024
======  ==================  ======  =======

At level easy, the digits of the two numbers go up to 6. A quarter of the prompts is held out for testing.

**Example** (easy), to ``6 + 5``: the text ``1 1`` earns 1, ``1`` and ``1 0`` earn 1/3, ``6`` earns 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from string import digits

import numpy as np

from textgym.constraints import Lexicon
from textgym.episodes import Prompt
from textgym.puzzles import draw_prompts, puzzle
from textgym.tokenizers import WordTokenizer


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        shortest: Fewest digits of a number.
        longest: Most digits of a number.
        highest: The highest digit.
        prompts: Number of prompts, those for testing included.
    """

    name: str
    shortest: int
    longest: int
    highest: int
    prompts: int


LEVELS = (Level("easy", 1, 1, 6, 48), Level("medium", 1, 2, 9, 512), Level("hard", 4, 6, 9, 1024))


def _draw_number(level: Level, rng: np.random.Generator) -> int:
    length = int(rng.integers(level.shortest, level.longest + 1))
    first = int(rng.integers(length > 1, level.highest + 1))
    rest = rng.integers(level.highest + 1, size=length - 1).tolist()
    return int("".join(map(str, [first, *rest])))


def _draw(level: Level, rng: np.random.Generator) -> Prompt:
    one, other = _draw_number(level, rng), _draw_number(level, rng)
    return Prompt(" ".join(f"{one}+{other}"), references=(" ".join(str(one + other)),))


def make_prompts(level: Level) -> list[Prompt]:
    """Sums of two numbers."""
    return draw_prompts(partial(_draw, level), count=level.prompts, seed=("Add", level.name))


def make_tokenizer(level: Level) -> WordTokenizer:
    """The ten digits and the plus sign."""
    return WordTokenizer([*digits, "+"])


def _make_constraints(level: Level) -> tuple[Lexicon, ...]:
    return (Lexicon(tuple(digits)),)


def _count_tokens(level: Level) -> int:
    return level.longest + 2


TASK = puzzle(
    "Add",
    LEVELS,
    summary="Write the sum of two numbers, digit by digit.",
    skill="arithmetic",
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_constraints=_make_constraints,
    max_new_tokens=_count_tokens,
)
