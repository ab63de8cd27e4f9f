"""Sort: write the letters of the prompt in the order of the alphabet.

The prompt is a row of letters, some of which may stand there more than once; the agent writes all of them in
alphabetical order and ends the text. Each letter that is due depends on the whole prompt.

**Reward.** The share of the answer's tokens, its end included, that the text has right from the beginning on: a text
that is wrong at the third of five tokens earns 0.4. A text **succeeds** when all of it is right; then it earns 1.

**Levels.**

======  =======  =======  ======  =======
level   letters  length   tokens  prompts
======  =======  =======  ======  =======
easy          4  2 to 3        4       40
medium        8  4 to 6        7      256
hard         26  8 to 16      17    1,024
======  =======  =======  ======  =======

A quarter of the prompts is held out for testing.

**Example** (easy), to ``c a a``: the text ``a a c`` earns 1, ``a a`` earns 0.5, ``c a a`` earns 0.
"""

from __future__ import annotations

from textgym.puzzles import Rows, row_puzzle

LEVELS = (Rows("easy", 4, 2, 3, 40), Rows("medium", 8, 4, 6, 256), Rows("hard", 26, 8, 16, 1024))

TASK = row_puzzle(
    "Sort", sorted, LEVELS, summary="Write the letters of the prompt in alphabetical order.", skill="sorting"
)
