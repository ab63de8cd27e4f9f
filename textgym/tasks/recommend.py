"""Recommend: name three titles for a reader whose last books are known.

The prompt lists what the reader has read, ``read Winter-House Burning-Clock Northern-Garden``, and the agent names up
to three titles, the most promising first. A title's name says nothing of its genre: what belongs together has to be
learned from what readers like.

**Reward.** How many of the titles the reader likes, 0 to 3. The reader is simulated, and **chance decides**: the first
title is always looked at, the second by 70 % of the readers, the third by 40 % (**position bias**). A reader who looks
at a title likes it if its appeal exceeds the reader's strictness of that day, which is 1/8, 3/8, 5/8 or 7/8. The appeal
comes from a hidden **taste**: 1 for titles of the reader's favourite genre, 1/2 for those of the second (on level hard
1/4 for those of a third), 0 for all others, for what was read before and for a title named twice. All chance is drawn
from the episode's key, and ``outcomes`` tells :func:`textgym.exact.solve` all that can happen: its values are
expectations.

**Gold.** The expected reward: the sum of the appeals, those of the second and third title times 0.7 and 0.4. A text
**succeeds** when its gold is at least 0.9 of the best there is for this reader.

**Levels.**

======  ======  ======  ============================  ========
level   titles  genres  read (favourite first)        prompts
======  ======  ======  ============================  ========
easy        12       3  2 + 1 titles                  36 + 12
medium      30       6  3 + 2                         192 + 64
hard       144      12  4 + 3 + 2                     768 + 256
======  ======  ======  ============================  ========

What was read stands in random order, but its numbers give the taste away, so that nobody has to guess. A quarter of the
prompts is held out for testing: other histories of the same titles.

**Example** (easy): of the favourite genre two titles are unread, of the second three. Naming the favourites and then
one of the second genre has gold 1 + 0.7 + 0.4 / 2 = 1.9; in the opposite order it is 0.5 + 0.7 + 0.4 = 1.6. The empty
text has gold 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from textgym.constraints import Lexicon
from textgym.episodes import EpisodeBatch, Prompt
from textgym.facts import shipped_facts
from textgym.keys import uniform
from textgym.narratives import Column
from textgym.puzzles import draw_prompts
from textgym.task import Task
from textgym.tokenizers import WordTokenizer, fingerprint

Floats = NDArray[np.float64]

FIRST = (
    "Silver",
    "Iron",
    "Red",
    "Silent",
    "Winter",
    "Paper",
    "Glass",
    "Northern",
    "Hidden",
    "Burning",
    "Second",
    "Empty",
)
SECOND = (
    "Harbour",
    "Letter",
    "Garden",
    "Bridge",
    "Road",
    "Island",
    "Clock",
    "River",
    "House",
    "Door",
    "Orchard",
    "Star",
)
LOOKS = (1.0, 0.7, 0.4)
"""The share of readers who look at the first, second and third title."""
STRICTNESS = (0.125, 0.375, 0.625, 0.875)
APPEALS = (1.0, 0.5, 0.25)
"""Of the favourite genre, the second and the third; with these numbers the mean of what is liked is the appeal."""


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        genres: Number of genres.
        titles: Titles of each genre.
        read: How many titles of the favourite genre, of the second, ... the reader has read.
        prompts: Number of prompts, those for testing included.
    """

    name: str
    genres: int
    titles: int
    read: tuple[int, ...]
    prompts: int


LEVELS = {
    level.name: level
    for level in (
        Level("easy", 3, 4, (2, 1), 48),
        Level("medium", 6, 5, (3, 2), 256),
        Level("hard", 12, 12, (4, 3, 2), 1024),
    )
}


@cache
def list_titles(level: Level) -> tuple[str, ...]:
    """The titles in id order, no two alike; the genre of title i is ``i % genres``."""
    places = [divmod(number, 12) for number in range(level.genres * level.titles)]
    return tuple(f"{FIRST[(one + 5 * other) % 12]}-{SECOND[(2 * one + 11 * other) % 12]}" for other, one in places)


def _draw(level: Level, rng: np.random.Generator) -> Prompt:
    liked = rng.permutation(level.genres)[: len(level.read)].tolist()
    read = [
        genre + level.genres * int(number)
        for genre, count in zip(liked, level.read, strict=True)
        for number in rng.permutation(level.titles)[:count]
    ]
    taste = [0.0] * level.genres
    for genre, appeal in zip(liked, APPEALS, strict=False):
        taste[genre] = appeal
    titles = [list_titles(level)[number] for number in rng.permutation(read).tolist()]
    best = sum(share * appeal for share, (appeal, _) in zip(LOOKS, _ranking(level, taste, read), strict=False))
    return Prompt(" ".join(["read", *titles]), metadata={"taste": taste, "read": sorted(read), "best": best})


def _ranking(level: Level, taste: list[float], read: list[int]) -> list[tuple[float, str]]:
    """The unread titles with their appeal, the most appealing first."""
    unread = [
        (taste[number % level.genres], title) for number, title in enumerate(list_titles(level)) if number not in read
    ]
    return sorted(unread, key=lambda pair: -pair[0])


def make_prompts(level: Level) -> list[Prompt]:
    """Readers, each with what was read; the taste stands in the metadata."""
    return draw_prompts(partial(_draw, level), count=level.prompts, seed=("Recommend", level.name))


def make_tokenizer(level: Level) -> WordTokenizer:
    """One token a title, and the prompts' first word."""
    return WordTokenizer([*list_titles(level), "read"])


@dataclass(frozen=True)
class Reader:
    """The simulated reader; the rules stand at the top of this page.

    Attributes:
        level: Whose titles there are.
    """

    level: Level
    range = (0.0, 3.0)
    stochastic = True
    _taste: Column = field(default_factory=partial(Column, "taste"), init=False, repr=False)
    _read: Column = field(default_factory=partial(Column, "read"), init=False, repr=False)

    @property
    def tokenizer_fingerprint(self) -> str:
        """The one vocabulary whose titles the reader knows."""
        return fingerprint(make_tokenizer(self.level))

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """``(B,)`` how many titles are liked; what is looked at and how strictly depends on the keys."""
        looked = (uniform(batch.keys, "looks")[:, None] < np.array(LOOKS)).sum(axis=1)
        mood = (len(STRICTNESS) * uniform(batch.keys, "strictness")).astype(np.int64)
        return _count_liked(self.appeals(batch), looked, np.array(STRICTNESS)[mood])

    def outcomes(self, batch: EpisodeBatch) -> list[tuple[float, Floats]]:
        """All that can happen: ``(probability, rewards (B,))`` for each number of looks and each strictness."""
        appeals, shares = self.appeals(batch), (*LOOKS, 0.0)
        return [
            ((shares[looked - 1] - shares[looked]) / len(STRICTNESS), _count_liked(appeals, looked, strictness))
            for looked in (1, 2, 3)
            for strictness in STRICTNESS
        ]

    def appeals(self, batch: EpisodeBatch) -> Floats:
        """``(B, 3)`` the appeal of the first three titles, 0 for what is none, was read, or was named before."""
        ids = batch.completion_ids[:, : len(LOOKS)]
        ids = np.pad(ids, ((0, 0), (0, len(LOOKS) - ids.shape[1])), constant_values=batch.tokenizer.vocab_size)
        known = ids < len(list_titles(self.level))
        found = np.take_along_axis(self._taste(batch), np.where(known, ids % self.level.genres, 0), axis=1) * known
        found *= ~(ids[:, :, None] == self._read(batch)[:, None, :]).any(axis=2)
        for place in range(1, len(LOOKS)):
            found[:, place] *= ~(ids[:, :place] == ids[:, place, None]).any(axis=1)
        return found


def _count_liked(appeals: Floats, looked: int | NDArray[np.int64], strictness: float | Floats) -> Floats:
    """``(B,)`` of ``(B, 3)`` titles, those that are looked at and that appeal enough."""
    places = np.arange(len(LOOKS))
    liked = appeals > np.asarray(strictness)[..., None]
    return np.asarray((liked & (places < np.asarray(looked)[..., None])).sum(axis=1), dtype=np.float64)


@dataclass(frozen=True)
class ExpectedLikes:
    """What the reader's rating is worth on average.

    Attributes:
        reader: The simulated reader.
    """

    reader: Reader
    range = (0.0, sum(LOOKS))

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """``(B,)`` expected rewards."""
        first, second, third = self.reader.appeals(batch).T
        return LOOKS[0] * first + LOOKS[1] * second + LOOKS[2] * third


@dataclass(frozen=True)
class WellAdvised:
    """Whether the expected rating is at least 0.9 of the reader's best."""

    gold: ExpectedLikes
    _best: Column = field(default_factory=partial(Column, "best"), init=False, repr=False)

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """1 for success, else 0."""
        return (self.gold(batch) >= 0.9 * self._best(batch)).astype(np.float64)


def make_oracle(level: Level) -> Callable[[Prompt], str]:
    """Prompt -> the three unread titles with the highest appeal, the best first."""

    def answer(prompt: Prompt) -> str:
        ranking = _ranking(level, prompt.metadata["taste"], prompt.metadata["read"])
        return " ".join(title for _, title in ranking[: len(LOOKS)])

    return answer


def make_demonstration(level: Level) -> Callable[[Prompt, np.random.Generator], str]:
    """(prompt, generator) -> two or three titles, half of them among the best for this reader."""
    titles = list_titles(level)

    def write(prompt: Prompt, rng: np.random.Generator) -> str:
        ranking = _ranking(level, prompt.metadata["taste"], prompt.metadata["read"])
        good = [title for appeal, title in ranking if appeal > 0.0]
        choices = (good if rng.random() < 0.5 else titles for _ in range(int(rng.integers(2, 4))))
        return " ".join(known[int(rng.integers(len(known)))] for known in choices)

    return write


def _make_gold(level: Level) -> ExpectedLikes:
    return ExpectedLikes(Reader(level))


def _make_success(level: Level) -> WellAdvised:
    return WellAdvised(_make_gold(level))


def _make_constraints(level: Level) -> tuple[Lexicon, ...]:
    return (Lexicon(list_titles(level)),)


def _count_tokens(level: Level) -> int:
    return len(LOOKS)


TASK = Task(
    name="Recommend",
    summary="Name three titles that the reader will like, the most promising first.",
    levels=LEVELS,
    level="easy",
    tags=("bandit", "ranking", "noise"),
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_reward=Reader,
    make_gold=_make_gold,
    make_success=_make_success,
    make_constraints=_make_constraints,
    make_oracle=make_oracle,
    make_demonstration=make_demonstration,
    make_facts=shipped_facts("Recommend"),
    max_new_tokens=_count_tokens,
)
