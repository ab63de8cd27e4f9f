"""The problems of weeks 1 to 3: texts of a few words, so few that every one of them can be tried.

A problem is plain data and one function, the score of a text. What follows from its rules (which words may come next,
what a step does) is what students write in week 1; :mod:`textgym.course.models` has it for the weeks after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VERBS = ("was", "felt", "seemed", "looked", "sounded")
BOOSTERS = ("very", "really", "truly", "deeply", "rather")
GOOD = ("great", "moving", "funny", "clever", "warm", "bright")
BAD = ("dull", "awful", "slow", "clumsy", "cold", "grey")
SUBJECTS = ("film", "song", "story", "play", "cast", "novel")
REPEATING = 1.0
"""What it costs to write a word right after itself."""


@dataclass(frozen=True)
class Problem:
    """Write a short text, one word at a time, and earn its score when it ends.

    The rules:

    * only the words and the end id ``eos`` may be written, not the words of the prompts;
    * a text has at most ``budget`` tokens; it ends with its last one, or earlier with the end id;
    * the end id may be written once there are at least ``shortest`` words;
    * the booster may not be the first word;
    * unless ``repeats``, no word may stand right after itself.

    Attributes:
        prompts: What a text answers: ``"praise the film"``, or ``"pan the film"``, which turns the score round.
        words: The words. The id of a word is its place here.
        worths: What each word is worth.
        booster: The id of the word that doubles the worth of the word right after it.
        budget: The most tokens of a text, the end id included.
        shortest: The least words of a text that ends with the end id.
        repeats: Whether a word may stand right after itself. It costs 1 each time.
    """

    prompts: tuple[str, ...]
    words: tuple[str, ...]
    worths: tuple[float, ...]
    booster: int
    budget: int
    shortest: int = 1
    repeats: bool = True

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words, and after them those of the prompts, which may be read but not written."""
        return tuple(dict.fromkeys([*self.words, *(word for prompt in self.prompts for word in prompt.split())]))

    @property
    def eos(self) -> int:
        """The end id: the one after the vocabulary's last."""
        return len(self.vocabulary)

    def text(self, ids: Sequence[int]) -> str:
        """The words of some ids, joined by spaces; the end id leaves no trace.

        Example:
            >>> problem = Problem(("praise the film",), ("was", "great"), (0.0, 1.0), booster=0, budget=3)
            >>> problem.text((1, 0, problem.eos))
            'great was'
        """
        return " ".join(self.words[index] for index in ids if index != self.eos)

    def score(self, text: str, prompt: str | None = None) -> float:
        """What a whole text is worth.

        Args:
            text: Words, joined by spaces.
            prompt: The prompt that it answers; by default the first.
        """
        ids = [self.words.index(word) for word in text.split()]
        total = cost = 0.0
        for place, index in enumerate(ids):
            doubled = place > 0 and ids[place - 1] == self.booster
            total += self.worths[index] * (2.0 if doubled else 1.0)
            cost += REPEATING * (place > 0 and ids[place - 1] == index)
        sign = -1.0 if (prompt or self.prompts[0]).startswith("pan") else 1.0
        return sign * total - cost


def draw_problem(
    rng: np.random.Generator,
    *,
    adjectives: int = 3,
    budget: int = 3,
    shortest: int = 1,
    repeats: bool = True,
    prompts: int = 1,
) -> Problem:
    """A problem of a student's own: other words, worths and prompts.

    Args:
        rng: The student's random numbers.
        adjectives: How many words besides a verb and a booster.
        budget: As in :class:`Problem`.
        shortest: Likewise.
        repeats: Likewise.
        prompts: 1 for praise alone, 2 for praise and pan.
    """
    good = [str(word) for word in rng.choice(GOOD, size=(adjectives + 1) // 2, replace=False)]
    bad = [str(word) for word in rng.choice(BAD, size=adjectives // 2, replace=False)]
    words = [str(rng.choice(VERBS)), str(rng.choice(BOOSTERS)), *good, *bad]
    worths = [0.13, -0.27, *rng.uniform(0.5, 1.5, len(good)), *-rng.uniform(0.5, 1.5, len(bad))]
    order = [int(index) for index in rng.permutation(len(words))]
    subject = str(rng.choice(SUBJECTS))
    return Problem(
        prompts=tuple(f"{wish} the {subject}" for wish in ("praise", "pan")[:prompts]),
        words=tuple(words[index] for index in order),
        worths=tuple(round(float(worths[index]), 2) for index in order),
        booster=order.index(1),
        budget=budget,
        shortest=shortest,
        repeats=repeats,
    )
