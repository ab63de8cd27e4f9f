"""Needle: find the one text that pays, while decoys lead away from it.

Behind each of the four prompts (``a``, ``b``, ``c``, ``d``) lies one secret word, the needle. Nothing tells which: it
has to be found by trying. This measures **exploration**.

**Reward.** 1 for the needle, written letter by letter and ended. Any other text earns a decoy of at most 0.1: the more
of the needle it has right from the beginning on, the *less* it earns, so that whoever climbs the reward walks away from
the needle. **Gold** is 1 for the needle and 0 for all else, decoys included; a text **succeeds** when it is the needle.

**Levels.** The last column is how many texts random play needs to find a needle, on average.

======  =======  ==========  ======  =======  ============
level   letters  needle      tokens  prompts  random texts
======  =======  ==========  ======  =======  ============
easy          4   2 letters       3        4           125
medium        6   5 letters       6        4       117,649
hard         16  12 letters      13        4  about 1e16
======  =======  ==========  ======  =======  ============

There are no held-out prompts: one secret does not tell another.
"""

from __future__ import annotations

from dataclasses import dataclass

from textgym.diagnostics import Decoyed, diagnostic, letters, name_generator, secret_prompts, whole_answer
from textgym.episodes import Prompt

DECOY = 0.1


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        letters: Size of the alphabet.
        length: Letters of a needle.
    """

    name: str
    letters: int
    length: int

    @property
    def words(self) -> tuple[str, ...]:
        """The alphabet."""
        return letters(self.letters)

    @property
    def tokens(self) -> int:
        """The needle and its end."""
        return self.length + 1


def make_prompts(level: Level) -> list[Prompt]:
    """Four letters, each with its needle."""
    return secret_prompts(level.words, name_generator("Needle", level.name), prompts=4, length=level.length)


def make_reward(level: Level) -> Decoyed:
    """The needle, or decoys."""
    return Decoyed(DECOY)


TASK = diagnostic(
    "Needle",
    (Level("easy", 4, 2), Level("medium", 6, 5), Level("hard", 16, 12)),
    summary="Find the secret word of the prompt by trying.",
    skill="exploration",
    make_prompts=make_prompts,
    make_reward=make_reward,
    make_gold=whole_answer,
)
