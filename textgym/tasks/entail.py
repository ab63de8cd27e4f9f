"""Entail: say what follows from a story.

The prompt tells a story of people, rooms and things, then makes one or more statements, each ended by a question mark.
For each the agent writes one label:

- ``entailment``: the statement follows from the story;
- ``contradiction``: it cannot be true when the story is;
- ``neutral``: the story leaves it open. It never tells where somebody was before, and a room may hold people whom it
  does not mention by name.

People stay where they went, and what somebody carries goes with them until it is dropped.

**Reward.** The share of the labels that are right, each in its place. A text **succeeds** when all are.

**Levels.**

======  =========  ===============  ==========  ==============================================  =======
level   sentences  people, rooms    statements  what they are about                             prompts
======  =========  ===============  ==========  ==============================================  =======
easy            2  3, 3                      1  where a person is                                    96
medium     2 to 3  3, 3, 3 things            1  where people and things are, who has what, not      512
hard       4 to 7  4, 4, 4 things            4  besides: who is with whom, somebody and nobody    1,024
======  =========  ===============  ==========  ==============================================  =======

A quarter of the prompts is held out for testing. The three labels are about equally frequent.

**Example** (medium): ``tom took the key . tom went to the garden . the key is in the kitchen ?`` is a
``contradiction``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import numpy as np

from textgym.episodes import Prompt
from textgym.exercises import exercise
from textgym.grading import Labels
from textgym.puzzles import draw_prompts
from textgym.tokenizers import WordTokenizer
from textgym.worlds import CLAIM_WORDS, CLAIMS, LABELS, Cast, Claim, Story, guess_labels, one_of, tell


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        cast: The world.
        shortest: Fewest sentences of a story.
        longest: Most sentences of a story.
        claims: Kinds of statements, of :data:`textgym.worlds.CLAIMS`.
        negated: Whether statements may be negated.
        statements: Statements in a prompt.
        prompts: Number of prompts, those for testing included.
    """

    name: str
    cast: Cast
    shortest: int
    longest: int
    claims: tuple[str, ...]
    negated: bool
    statements: int
    prompts: int


LEVELS = (
    Level("easy", Cast(3, 3, 0), 2, 2, ("place",), False, 1, 96),
    Level("medium", Cast(3, 3, 3), 2, 3, ("place", "holder"), True, 1, 512),
    Level("hard", Cast(4, 4, 4), 4, 7, tuple(CLAIMS), True, 4, 1_024),
)


def _claim(level: Level, story: Story, wanted: str, rng: np.random.Generator) -> Claim:
    """A statement with this label, or with any after many tries."""
    for _ in range(100):
        is_negated = level.negated and bool(rng.integers(2))
        claim = CLAIMS[one_of(level.claims, rng)](story, rng, is_negated)
        if claim[1] == wanted:
            break
    return claim


def _draw(level: Level, rng: np.random.Generator) -> Prompt:
    story = tell(level.cast, int(rng.integers(level.shortest, level.longest + 1)), rng)
    claims = [_claim(level, story, one_of(LABELS, rng), rng) for _ in range(level.statements)]
    text = " ".join([story.text, *(f"{statement} ?" for statement, _ in claims)])
    return Prompt(text, references=(" ".join(label for _, label in claims),))


def make_prompts(level: Level) -> list[Prompt]:
    """Stories with statements, whose labels are the reference."""
    return draw_prompts(partial(_draw, level), count=level.prompts, seed=("Entail", level.name))


def make_tokenizer(level: Level) -> WordTokenizer:
    """The labels, then the words of the stories."""
    return WordTokenizer(dict.fromkeys([*LABELS, *level.cast.words, *CLAIM_WORDS]))


def _labels(level: Level) -> tuple[str, ...]:
    return LABELS


def _make_demonstration(level: Level) -> partial[str]:
    return partial(guess_labels, LABELS)


TASK = exercise(
    "Entail",
    LEVELS,
    summary="Say which statements follow from a story.",
    tags=("language", "bandit", "inference"),
    score=Labels,
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_demonstration=_make_demonstration,
    writable_words=_labels,
    max_new_tokens=attrgetter("statements"),
)
