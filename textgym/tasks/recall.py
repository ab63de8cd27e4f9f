"""Recall: write again what stood at the beginning of a long prompt.

The prompt is a row of letters. The first ones are the cue, the others mean nothing, and only their place tells them
apart. The agent writes the cue and ends the text. This measures **memory**: an agent that looks back only a few tokens
cannot know the cue.

**Reward.** The share of the answer's tokens, its end included, that the text has right from the beginning on. A text
**succeeds** when all of it is right; then it earns 1.

**Levels.**

======  =======  =========  ===========  ======  =======
level   letters  cue        prompt       tokens  prompts
======  =======  =========  ===========  ======  =======
easy          4  1 letter     8 letters       2       64
medium        8  2 letters   64 letters       3      256
hard         16  4 letters  256 letters       5      512
======  =======  =========  ===========  ======  =======

A quarter of the prompts is held out for testing. A table learns prompts by heart and knows nothing of those.

**Example** (easy), to ``c a b b d a c a``: the text ``c`` earns 1, ``c a`` earns 0.5, and ``a`` earns 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from textgym.diagnostics import diagnostic, letters
from textgym.episodes import Prompt
from textgym.puzzles import draw_prompts


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        letters: Size of the alphabet.
        cue: Letters of the cue.
        length: Letters of a prompt.
        prompts: Number of prompts, those for testing included.
    """

    name: str
    letters: int
    cue: int
    length: int
    prompts: int

    @property
    def words(self) -> tuple[str, ...]:
        """The alphabet."""
        return letters(self.letters)

    @property
    def tokens(self) -> int:
        """The cue and the end."""
        return self.cue + 1


def _draw(level: Level, rng: np.random.Generator) -> Prompt:
    row = [level.words[index] for index in rng.integers(level.letters, size=level.length).tolist()]
    return Prompt(" ".join(row), (" ".join(row[: level.cue]),))


def make_prompts(level: Level) -> list[Prompt]:
    """Rows of letters that begin with the cue."""
    return draw_prompts(partial(_draw, level), count=level.prompts, seed=("Recall", level.name))


TASK = diagnostic(
    "Recall",
    (Level("easy", 4, 1, 8, 64), Level("medium", 8, 2, 64, 256), Level("hard", 16, 4, 256, 512)),
    summary="Write the first letters of a long prompt again.",
    skill="memory",
    make_prompts=make_prompts,
)
