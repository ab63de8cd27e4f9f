"""Reverse: write the letters of the prompt from the last to the first.

The prompt is a row of letters; the agent writes them in the opposite order and ends the text. The first letter to write
is the last one read, so a writer with a short memory of the prompt does well, and one that copies does not.

**Reward.** The share of the answer's tokens, its end included, that the text has right from the beginning on: a text
that is wrong at the third of five tokens earns 0.4. A text **succeeds** when all of it is right; then it earns 1.

**Levels.**

======  =======  =======  ======  =======
level   letters  length   tokens  prompts
======  =======  =======  ======  =======
easy          3  2 to 3        4       24
medium        8  4 to 6        7      256
hard         26  8 to 16      17    1,024
======  =======  =======  ======  =======

A quarter of the prompts is held out for testing.

**Example** (easy), to ``a b c``: the text ``c b a`` earns 1, ``c b`` earns 0.5, ``a b c`` earns 0.
"""

from __future__ import annotations

from textgym.puzzles import Rows, row_puzzle

LEVELS = (Rows("easy", 3, 2, 3, 24), Rows("medium", 8, 4, 6, 256), Rows("hard", 26, 8, 16, 1024))


def turn_round(letters: list[str]) -> list[str]:
    """The last letter first."""
    return letters[::-1]


TASK = row_puzzle(
    "Reverse", turn_round, LEVELS, summary="Write the letters of the prompt from last to first.", skill="reversing"
)
