"""Noise: learn from rewards that are mostly chance.

Each of the four prompts (``a``, ``b``, ``c``, ``d``) has a secret answer of two letters, which has to be found by
trying; but the reward of a text is its true score plus or minus a constant. This measures **robustness to noise**: how
well an agent averages.

**Gold.** The share of the answer's three tokens, its end included, that the text has right from the beginning on: 0,
1/3, 2/3 or 1. A text **succeeds** when all of it is right.

**Reward.** Gold plus or minus the level's noise, by the toss of a coin that hangs on the episode alone. The expected
reward is the gold, so that :func:`textgym.exact.solve` knows the best texts.

**Levels.** There are 4 letters and at most 3 tokens.

======  =====  =======
level   noise  prompts
======  =====  =======
easy      0.1        4
medium    1.0        4
hard     10.0        4
======  =====  =======

There are no held-out prompts: one secret does not tell another. A reward that is random is paid at the end only
(``reward_timing="step"`` is refused).
"""

from __future__ import annotations

from dataclasses import dataclass

from textgym.diagnostics import Noisy
from textgym.secret_answers import TOKENS, WORDS, four_secrets


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        noise: Standard deviation of the reward of one text.
        words: The alphabet.
        tokens: Tokens of the answer, its end included.
    """

    name: str
    noise: float
    words: tuple[str, ...] = WORDS
    tokens: int = TOKENS


def make_reward(level: Level) -> Noisy:
    """Gold and a coin."""
    return Noisy(level.noise)


TASK = four_secrets(
    "Noise",
    (Level("easy", 0.1), Level("medium", 1.0), Level("hard", 10.0)),
    summary="Find the secret answer of the prompt although rewards are noisy.",
    skill="noise",
    make_reward=make_reward,
)
