"""Rules about the reward: a pure function of the batch and its keys, in its range, paid as promised."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from textgym.checks.basics import BASE
from textgym.checks.generators import global_generators
from textgym.checks.recording import quote, through_pickle
from textgym.checks.rules import rule
from textgym.checks.subject import Subject, distances, limits
from textgym.episodes import Score
from textgym.scoring import Scorer


@rule(mend="Widen the declared range, or clip the score to it: illegal texts are paid its lower end", needs=BASE)
def reward_in_range(subject: Subject) -> Iterator[str]:
    """The reward and gold lie in the range that they declare."""
    for name, score in subject.scores.items():
        low, high = limits(score)
        values = Scorer(score)(subject.texts).values
        for row in np.flatnonzero((values < low) | (values > high)):
            yield f"the {name} of {quote(subject.texts, row)} is {values[row]:g}, its range {low:g} to {high:g}"


@rule(
    mend="Draw randomness from batch.keys with textgym.keys, read no clock, and keep no state between calls",
    needs=(*BASE, global_generators),
)
def reward_repeats(subject: Subject) -> Iterator[str]:
    """The same texts with the same keys get the same scores again."""
    unseen = subject.write(subject.spread(subject.effort.texts))  # a reward that pays for news has none in the others
    for name, score in subject.scores.items():
        for texts in (unseen, subject.texts):
            first, again = (Scorer(score)(texts).values for _ in range(2))
            for row in np.flatnonzero(first != again):
                yield f"the {name} of {quote(texts, row)} is {first[row]:g}, then {again[row]:g}"


@rule(
    mend="Compute each row from its own text, prompt and key; add up with textgym.scoring.add_in_order; key a cache by "
    "all that is scored",
    needs=(reward_repeats,),
)
def reward_alone(subject: Subject) -> Iterator[str]:
    """A text gets the same score alone, in a batch, in another order, and from score_one."""
    texts = subject.texts
    backwards = np.arange(len(texts))[::-1]
    for name, score in subject.scores.items():
        together = Scorer(score)(texts).values
        other = Scorer(_fresh(score))(texts.take(backwards)).values[backwards]
        ways = {"alone": subject.alone[name], "from a copy, in another order": other}
        if hasattr(score, "score_one"):
            indices = texts.prompt_indices.tolist()
            ones = [float(score.score_one(texts.prompts, index, texts.ids(n))) for n, index in enumerate(indices)]
            ways["by score_one"] = np.array(ones)
        for way, values in ways.items():
            for row in np.flatnonzero(distances(together, values) > subject.tolerance):
                yield f"the {name} of {quote(texts, row)} is {together[row]:.17g} in a batch, {values[row]:.17g} {way}"


def _fresh(score: Score) -> Score:
    """A copy with empty caches, which pickle drops; the score itself where it cannot be pickled (a rule of its own)."""
    try:
        copied: Score = through_pickle(score)
    except Exception:
        return score
    return copied
