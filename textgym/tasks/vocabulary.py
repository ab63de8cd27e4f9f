"""Vocabulary: find the few good words among very many.

A text is one word. Each of the four prompts (``w0`` to ``w3``) has two good words, all others are worth nothing, and
nothing but trying tells which. This measures how an agent copes with **many actions**.

**Reward.** 1 for a good word, else 0. A text **succeeds** when it is a good word.

**Levels.** A text is one token.

======  =====  ==============  =======
level   words  good words      prompts
======  =====  ==============  =======
easy        8  2 for a prompt        4
medium    256  2 for a prompt        4
hard    4,096  2 for a prompt        4
======  =====  ==============  =======

There are no held-out prompts: the good words of one prompt do not tell those of another. With one row a prompt, a table
is as small as can be; networks pay for every word with an output. At level hard the default observation is
``"dict"``, as for all vocabularies above 1,024 words.
"""

from __future__ import annotations

from dataclasses import dataclass

from textgym.diagnostics import Begins, diagnostic, name_generator, secret_prompts
from textgym.episodes import Prompt


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        size: Number of words.
        tokens: Tokens of a text.
    """

    name: str
    size: int
    tokens: int = 1

    @property
    def words(self) -> tuple[str, ...]:
        """Words without a meaning."""
        return tuple(f"w{number}" for number in range(self.size))


def make_prompts(level: Level) -> list[Prompt]:
    """Four words, each with two good ones."""
    return secret_prompts(level.words, name_generator("Vocabulary", level.name), prompts=4, answers=2)


def make_reward(level: Level) -> Begins:
    """Whether the word is a good one."""
    return Begins()


TASK = diagnostic(
    "Vocabulary",
    (Level("easy", 8), Level("medium", 256), Level("hard", 4096)),
    summary="Write a word that is good for the prompt; nearly all are not.",
    skill="many actions",
    make_prompts=make_prompts,
    make_reward=make_reward,
    make_success=make_reward,
)
