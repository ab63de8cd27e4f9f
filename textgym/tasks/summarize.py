"""Summarize: write down in a few words what a report says.

A report is a row of sentences, a few of which tell what happened: somebody won, found, sold, bought, lost or stole
something. All else is colour: the weather, the crowd, what people merely wanted, admired or spoke of. At level hard the
report may correct itself: ``it was anna who won the ring`` says that an earlier sentence named the wrong person. The
summary has the events in the report's order, without articles, joined by ``and``: ``mary won ship and tom sold ring``.

**Reward.** ROUGE-L F1 of the summary against the one right one, as :func:`textgym.overlap.rouge_l` has it. The token
budget has room for the longest right summary and its end, no more. A text **succeeds** when it is word for word the
right one.

**Levels.** The tokens are the budget of a summary; the words are those that may be written.

======  =========  ======  ===========  ======  =====  =======
level   sentences  events  corrections  tokens  words  prompts
======  =========  ======  ===========  ======  =====  =======
easy            4       1            0       4      9       72
medium     6 to 8       2            0       8     15      512
hard      8 to 12  3 to 4       0 to 2      16     19    1,024
======  =========  ======  ===========  ======  =====  =======

A quarter of the reports is held out for testing. A text of one right word already earns something, so that the
summary can be learned word by word.

**Example** (easy): the report ``the weather was fine . tom wanted the ring . mary won the ship . anna admired the ship
.`` wants ``mary won ship``; ``mary won ring`` earns 0.67, ``mary`` 0.5, the empty text nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import numpy as np

from textgym.episodes import Prompt
from textgym.exercises import exercise
from textgym.grading import RougeL
from textgym.puzzles import draw_prompts
from textgym.tokenizers import WordTokenizer, split_words
from textgym.worlds import PEOPLE, one_of

VERBS = ("won", "found", "sold", "bought", "lost", "stole")
THINGS = ("ship", "ring", "painting", "horse", "clock", "crown")
COLOUR = (
    "the weather was fine",
    "many people were there",
    "music played all night",
    "the streets were full",
    "it rained at noon",
    "children danced and sang",
    "the mayor was late",
    "nobody went home early",
)
TALK = ("wanted", "admired", "talked about", "dreamt of", "asked about")
CORRECTION = ("it", "was", "who")


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        people: Number of people.
        verbs: Number of things that can happen.
        things: Number of things that they happen to.
        sentences: Fewest and most sentences of a report.
        events: Fewest and most events.
        corrections: Most corrections.
        talk: Number of ways to merely want things or speak of them.
        prompts: Number of reports, those for testing included.
    """

    name: str
    people: int
    verbs: int
    things: int
    sentences: tuple[int, int]
    events: tuple[int, int]
    corrections: int
    talk: int
    prompts: int

    @property
    def tokens(self) -> int:
        """Of the longest summary: three an event, ``and`` between them, and the end."""
        return 4 * self.events[1]


LEVELS = (
    Level("easy", 3, 3, 3, (4, 4), (1, 1), corrections=0, talk=2, prompts=72),
    Level("medium", 4, 5, 5, (6, 8), (2, 2), corrections=0, talk=5, prompts=512),
    Level("hard", 6, 6, 6, (8, 12), (3, 4), corrections=2, talk=5, prompts=1_024),
)


def _between(ends: tuple[int, int], rng: np.random.Generator) -> int:
    return int(rng.integers(ends[0], ends[1] + 1))


def _draw_events(level: Level, rng: np.random.Generator) -> list[tuple[str, str, str]]:
    """Who did what to what; no thing has two events."""
    things = rng.choice(THINGS[: level.things], size=_between(level.events, rng), replace=False)
    return [(one_of(PEOPLE[: level.people], rng), one_of(VERBS[: level.verbs], rng), str(thing)) for thing in things]


def _tell_other(level: Level, rng: np.random.Generator) -> str:
    """A sentence that does not matter; two in three have the same words as an event, or else to copy them would do."""
    if rng.integers(3) == 0:
        return one_of(COLOUR, rng)
    who, what = one_of(PEOPLE[: level.people], rng), one_of(THINGS[: level.things], rng)
    return f"{who} {one_of(TALK[: level.talk], rng)} the {what}"


def _tell_events(level: Level, events: list[tuple[str, str, str]], rng: np.random.Generator) -> list[str]:
    """The events in order; some name the wrong person at first, and are corrected later."""
    corrected = rng.choice(len(events), size=_between((0, level.corrections), rng), replace=False)
    told = [f"{who} {verb} the {thing}" for who, verb, thing in events]
    for index in sorted(corrected.tolist()):
        who, verb, thing = events[index]
        wrong = one_of([name for name in PEOPLE[: level.people] if name != who], rng)
        told[index] = f"{wrong} {verb} the {thing}"
        told.append(f"it was {who} who {verb} the {thing}")
    return told


def _draw(level: Level, rng: np.random.Generator) -> Prompt:
    events = _draw_events(level, rng)
    told = _tell_events(level, events, rng)
    count = max(_between(level.sentences, rng), len(told) + 1)
    others: dict[str, None] = {}
    while len(told) + len(others) < count:
        others[_tell_other(level, rng)] = None
    places = set(rng.choice(count, size=len(told), replace=False).tolist())
    rows = iter(told), iter(others)
    text = " ".join(f"{next(rows[place not in places])} ." for place in range(count))
    return Prompt(text, references=(" and ".join(" ".join(event) for event in events),))


def make_prompts(level: Level) -> list[Prompt]:
    """Reports; the reference is the summary."""
    return draw_prompts(partial(_draw, level), count=level.prompts, seed=("Summarize", level.name))


def writable_words(level: Level) -> tuple[str, ...]:
    """The words that a summary may have."""
    words = (*PEOPLE[: level.people], *VERBS[: level.verbs], *THINGS[: level.things])
    return (*words, "and") if level.events[1] > 1 else words


def make_tokenizer(level: Level) -> WordTokenizer:
    """The words of summaries, then those of reports."""
    others = [word for text in (*COLOUR, *TALK[: level.talk]) for word in split_words(text)]
    corrections = CORRECTION if level.corrections else ()
    return WordTokenizer(dict.fromkeys([*writable_words(level), ".", "the", *others, *corrections]))


def _make_demonstration(level: Level) -> Callable[[Prompt, np.random.Generator], str]:
    words = writable_words(level)

    def write(prompt: Prompt, rng: np.random.Generator) -> str:
        """The summary; in a quarter of the cases without its end, in another with a wrong word."""
        summary, chance = prompt.references[0].split(" "), float(rng.random())
        place = int(rng.integers(len(summary)))
        if chance < 0.25:
            return " ".join(summary[:place])
        if chance < 0.5:
            summary[place] = one_of(words, rng)
        return " ".join(summary)

    return write


TASK = exercise(
    "Summarize",
    LEVELS,
    summary="Write down in a few words what a report says.",
    tags=("language", "reading", "summary"),
    score=RougeL,
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_demonstration=_make_demonstration,
    writable_words=writable_words,
    max_new_tokens=attrgetter("tokens"),
)
