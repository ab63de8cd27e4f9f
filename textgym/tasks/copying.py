"""Copy: write the letters of the prompt again, in lower case.

The prompt is a row of capital letters; the agent writes the same letters in lower case and ends the text. What a
network with a fixed window learns at once, a table has to learn for every prompt anew. Capitals may not be written, so
that handing back the prompt unread earns nothing.

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

**Example** (easy), to ``C A B``: the text ``c a b`` earns 1, ``c a`` and ``c a a`` earn 0.5, ``b a c`` earns 0.
"""

from __future__ import annotations

from textgym.puzzles import Rows, row_puzzle

LEVELS = (
    Rows("easy", 3, 2, 3, 24, capitals=True),
    Rows("medium", 8, 4, 6, 256, capitals=True),
    Rows("hard", 26, 8, 16, 1024, capitals=True),
)


def copy(letters: list[str]) -> list[str]:
    """The same letters."""
    return letters


TASK = row_puzzle(
    "Copy", copy, LEVELS, summary="Write the letters of the prompt again, in lower case.", skill="copying"
)
