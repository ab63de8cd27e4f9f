"""Scale: learn whatever a reward of one is worth.

Each of the four prompts (``a``, ``b``, ``c``, ``d``) has a secret answer of two letters, which has to be found by
trying; the reward is a constant times the true score. Nothing else differs between the levels, so they measure
**robustness to the scale of rewards**: an agent that divides by what it has seen learns all of them alike, and so does
a table; learning rates, entropy bonuses and clipped losses that were tuned for rewards of about one do not fit others.

**Gold.** The share of the answer's three tokens, its end included, that the text has right from the beginning on: 0,
1/3, 2/3 or 1. A text **succeeds** when all of it is right.

**Reward.** Gold times the level's factor.

**Levels.** There are 4 letters and at most 3 tokens.

======  ======  =======
level   factor  prompts
======  ======  =======
easy         1        4
medium   1,000        4
hard     0.001        4
======  ======  =======

There are no held-out prompts: one secret does not tell another.
"""

from __future__ import annotations

from dataclasses import dataclass

from textgym.diagnostics import Scaled
from textgym.secret_answers import TOKENS, WORDS, four_secrets


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        factor: The reward of the whole answer.
        words: The alphabet.
        tokens: Tokens of the answer, its end included.
    """

    name: str
    factor: float
    words: tuple[str, ...] = WORDS
    tokens: int = TOKENS


def make_reward(level: Level) -> Scaled:
    """Gold on another scale."""
    return Scaled(level.factor)


TASK = four_secrets(
    "Scale",
    (Level("easy", 1.0), Level("medium", 1e3), Level("hard", 1e-3)),
    summary="Find the secret answer of the prompt, whatever the scale of rewards.",
    skill="reward scale",
    make_reward=make_reward,
)
