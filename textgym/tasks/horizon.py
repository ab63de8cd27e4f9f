"""Horizon: do a simple thing right many times in a row.

The prompt is one of the letters ``a`` to ``d``; the agent writes the letters that follow it, ``a`` again after ``d``,
until only the end is left to be written. Each token is as easy as the last, but one that is wrong spoils all that
follow. This measures **long horizons**.

**Reward.** The share of the answer's tokens, its end included, that the text has right from the beginning on. A text
**succeeds** when all of it is right; then it earns 1.

**Levels.** There are 4 letters.

======  ======  =======
level   tokens  prompts
======  ======  =======
easy         4        4
medium      32        4
hard       256        4
======  ======  =======

There are no held-out prompts, since there are no more letters.

**Example** (easy), to ``c``: the text ``d a b`` earns 1; ``d a``, which ends too early, and ``d a c`` earn 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice

from textgym.diagnostics import diagnostic, letters
from textgym.episodes import Prompt


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        tokens: Tokens of the answer, its end included.
        words: The alphabet.
    """

    name: str
    tokens: int
    words: tuple[str, ...] = letters(4)


def make_prompts(level: Level) -> list[Prompt]:
    """Each letter with those that follow it."""
    return [Prompt(word, (_follow(level, place + 1),)) for place, word in enumerate(level.words)]


def _follow(level: Level, place: int) -> str:
    return " ".join(islice(cycle(level.words), place, place + level.tokens - 1))


TASK = diagnostic(
    "Horizon",
    (Level("easy", 4), Level("medium", 32), Level("hard", 256)),
    summary="Write the letters that follow the prompt's, round and round.",
    skill="horizon",
    make_prompts=make_prompts,
)
