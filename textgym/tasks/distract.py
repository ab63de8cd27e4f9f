"""Distract: one token of the prompt matters, the others only look as if they did.

The prompt is a row of letters. All but one are from the end of the alphabet and mean nothing; the one that is not, at
any place, is the answer. The agent writes it and ends the text. This measures **attention**: to see what matters
wherever it stands.

**Reward.** The share of the answer's two tokens, its end included, that the text has right from the beginning on: 0,
0.5 or 1. A text **succeeds** when it is the letter; then it earns 1.

**Levels.** The distracting letters are ``w`` to ``z`` at level easy and ``q`` to ``z`` at the others.

======  ==============  ==========  ======  =======
level   letters         prompt      tokens  prompts
======  ==============  ==========  ======  =======
easy    4 that matter    4 letters       2       64
medium  8 that matter   16 letters       2      256
hard    16 that matter  64 letters       2      512
======  ==============  ==========  ======  =======

A quarter of the prompts is held out for testing. A table learns prompts by heart and knows nothing of those.

**Example** (easy), to ``x z b w``: the text ``b`` earns 1, ``b b`` earns 0.5, and ``z`` earns 0.
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
        matter: How many letters matter.
        distract: How many letters do not.
        length: Letters of a prompt.
        prompts: Number of prompts, those for testing included.
        tokens: The answer and its end.
    """

    name: str
    matter: int
    distract: int
    length: int
    prompts: int
    tokens: int = 2

    @property
    def words(self) -> tuple[str, ...]:
        """All letters, those that matter first."""
        return letters(self.matter) + letters(26)[-self.distract :]


def _draw(level: Level, rng: np.random.Generator) -> Prompt:
    row = rng.integers(level.matter, len(level.words), size=level.length).tolist()
    place, answer = int(rng.integers(level.length)), int(rng.integers(level.matter))
    row[place] = answer
    return Prompt(" ".join(level.words[index] for index in row), (level.words[answer],))


def make_prompts(level: Level) -> list[Prompt]:
    """Rows of letters, one of which matters."""
    return draw_prompts(partial(_draw, level), count=level.prompts, seed=("Distract", level.name))


TASK = diagnostic(
    "Distract",
    (Level("easy", 4, 4, 4, 64), Level("medium", 8, 10, 16, 256), Level("hard", 16, 10, 64, 512)),
    summary="Write the one letter of the prompt that matters.",
    skill="attention",
    make_prompts=make_prompts,
)
