"""Delay: the first token decides, and is paid for many tokens later.

Each of the four prompts (``a``, ``b``, ``c``, ``d``) has one right first letter, which has to be found by trying. What
is written after it does not matter, but the text has to use up all of its tokens before it is paid. So this measures
**credit assignment**: which of all those tokens has earned the reward?

**Reward.** 1 for a text that begins with the right letter and has all its tokens (the last of them may be the end),
else 0: a text that ends early earns nothing. A text **succeeds** when it earns 1.

**Levels.** There are 8 letters.

======  ======  =======
level   tokens  prompts
======  ======  =======
easy         4        4
medium      16        4
hard        64        4
======  ======  =======

There are no held-out prompts: the right letter of one prompt does not tell that of another. A table has a row for every
prefix, so that what comes after the first letter makes it large; a network has to learn to ignore it.
"""

from __future__ import annotations

from dataclasses import dataclass

from textgym.diagnostics import Begins, diagnostic, letters, name_generator, secret_prompts
from textgym.episodes import Prompt


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        tokens: Tokens of every text that is paid.
        words: The alphabet.
    """

    name: str
    tokens: int
    words: tuple[str, ...] = letters(8)


def make_prompts(level: Level) -> list[Prompt]:
    """Four letters; the reference repeats the right one until the text is long enough."""
    prompts = secret_prompts(level.words, name_generator("Delay"), prompts=4)
    return [Prompt(prompt.text, (" ".join(prompt.references * level.tokens),)) for prompt in prompts]


def make_reward(level: Level) -> Begins:
    """The first letter decides."""
    return Begins(level.tokens)


TASK = diagnostic(
    "Delay",
    (Level("easy", 4), Level("medium", 16), Level("hard", 64)),
    summary="Begin with the prompt's secret letter and write on until all tokens are used.",
    skill="credit assignment",
    make_prompts=make_prompts,
    make_reward=make_reward,
    make_success=make_reward,
)
