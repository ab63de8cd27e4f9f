"""Classify: name the topic, the mood and the kind of a message.

A contextual bandit in its simplest form: at the levels easy and medium the agent writes one word. The message is
made by a small grammar, and its labels follow from the words by rules that can be learned:

- the **topic** is the one that its nouns and verbs belong to;
- the **mood** is ``positive`` or ``negative`` when all judgements agree and ``mixed`` when they do not; ``not`` turns a
  judgement round;
- a message is ``spam`` when it promises something for nothing *and* asks the reader to act; one of the two alone
  makes it ``mail``.

**Reward.** The share of the labels that are right, each in its place. A text **succeeds** when all are.

**Levels** (what is asked for, the tokens of a message, the labels, which alone may be written, and the prompts):

======  ====================  ========  ======  =======
level   asked for               tokens  labels  prompts
======  ====================  ========  ======  =======
easy    topic                        5       3       96
medium  mood                   4 to 12       3      256
hard    topic, mood and kind  15 to 32      11    1,500
======  ====================  ========  ======  =======

A quarter of the messages is held out for testing. A table learns the messages that it has seen and nothing about
others; the held-out ones tell whether the rules were learned.

**Example** (hard): the message ``the cook serves the soup . the staff was not bad , but the price was awful . click
here now .`` has the labels ``food mixed mail``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import numpy as np

from textgym.episodes import Prompt
from textgym.exercises import exercise
from textgym.grading import Labels
from textgym.puzzles import draw_prompts
from textgym.tokenizers import WordTokenizer, split_words
from textgym.worlds import guess_labels, one_of

TOPICS = {  # who / does what / to what
    "sport": "team player coach runner / wins loses watches / match race game cup",
    "food": "cook baker waiter farmer / bakes serves tastes / bread soup cake rice",
    "music": "singer band drummer choir / plays records sings / song tune album hymn",
    "money": "bank broker trader owner / buys sells counts / stock bond loan house",
    "health": "doctor nurse surgeon patient / treats checks heals / wound heart fever tooth",
    "travel": "pilot guide driver tourist / books visits leaves / island hotel harbour station",
}
JUDGED = "staff price room view service place sound weather".split()
MOODS = {
    "positive": "good great lovely fine pleasant superb".split(),
    "negative": "bad awful poor dull dreadful horrid".split(),
}
PROMISES = ("you won a free prize", "a gift of gold waits for you", "your money doubles in a day")
ORDERS = ("click here now", "send your number today", "reply with your name")
HARMLESS = ("see you on monday", "thank you for the letter", "my sister says hello")
KINDS = ("spam", "mail")


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        asked: Which labels are asked for, of ``"topic"``, ``"mood"`` and ``"kind"``.
        topics: Number of topics.
        prompts: Number of messages, those for testing included.
    """

    name: str
    asked: tuple[str, ...]
    topics: int
    prompts: int

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that may be written."""
        known = {"topic": tuple(TOPICS)[: self.topics], "mood": (*MOODS, "mixed"), "kind": KINDS}
        return tuple(label for name in self.asked for label in known[name])


LEVELS = (
    Level("easy", ("topic",), 3, 96),
    Level("medium", ("mood",), 0, 256),
    Level("hard", ("topic", "mood", "kind"), 6, 1_500),
)


def _tell_topic(topic: str, rng: np.random.Generator) -> str:
    who, does, what = (one_of(words.split(), rng) for words in TOPICS[topic].split("/"))
    return f"the {who} {does} the {what}"


def _judge(mood: str, what: str, rng: np.random.Generator) -> str:
    """One judgement of this mood, in half of the cases by ``not`` and a word of the contrary."""
    is_turned = bool(rng.integers(2))
    contrary = "negative" if mood == "positive" else "positive"
    word = one_of(MOODS[contrary if is_turned else mood], rng)
    return f"the {what} was {'not ' if is_turned else ''}{word}"


def _tell_mood(mood: str, rng: np.random.Generator) -> str:
    """One or two judgements that agree, or two that do not."""
    order = [str(name) for name in rng.permutation([*MOODS])]
    moods = order if mood == "mixed" else [mood] * int(rng.integers(1, 3))
    things = rng.choice(JUDGED, size=len(moods), replace=False)
    link = " , but " if mood == "mixed" else " and "
    return link.join(_judge(one, str(what), rng) for one, what in zip(moods, things, strict=True))


def _tell_kind(kind: str, rng: np.random.Generator) -> str:
    """A promise and an order; or one of them at most, beside something harmless."""
    if kind == "spam":
        return " . ".join(str(part) for part in rng.permutation([one_of(PROMISES, rng), one_of(ORDERS, rng)]))
    return one_of((*PROMISES, *ORDERS, *HARMLESS), rng)


def _draw(level: Level, rng: np.random.Generator) -> Prompt:
    known = {"topic": tuple(TOPICS)[: level.topics], "mood": (*MOODS, "mixed"), "kind": KINDS}
    tell = {"topic": _tell_topic, "mood": _tell_mood, "kind": _tell_kind}
    labels = [one_of(known[name], rng) for name in level.asked]
    parts = [tell[name](label, rng) for name, label in zip(level.asked, labels, strict=True)]
    text = " . ".join(parts) + (" ." if len(parts) > 1 else "")
    return Prompt(text, references=(" ".join(labels),))


def make_prompts(level: Level) -> list[Prompt]:
    """Messages, their labels as the reference."""
    return draw_prompts(partial(_draw, level), count=level.prompts, seed=("Classify", level.name))


def make_tokenizer(level: Level) -> WordTokenizer:
    """The labels, then the words of the messages."""
    return WordTokenizer(dict.fromkeys([*level.labels, *_words(level)]))


def _words(level: Level) -> Sequence[str]:
    """All words that a message may have, whether or not one was drawn."""
    topics = [word for text in [*TOPICS.values()][: level.topics] for word in text.replace("/", "").split()]
    moods = [*JUDGED, "was", "not", "and", ",", "but", *MOODS["positive"], *MOODS["negative"]]
    kinds = [word for phrase in (*PROMISES, *ORDERS, *HARMLESS) for word in split_words(phrase)]
    used = {"topic": topics, "mood": moods, "kind": kinds}
    return ["the", *(["."] if len(level.asked) > 1 else []), *(word for name in level.asked for word in used[name])]


def _count_labels(level: Level) -> int:
    return len(level.asked)


def _make_demonstration(level: Level) -> partial[str]:
    return partial(guess_labels, level.labels)


TASK = exercise(
    "Classify",
    LEVELS,
    summary="Name the topic, the mood and the kind of a message.",
    tags=("language", "bandit", "classification"),
    score=Labels,
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_demonstration=_make_demonstration,
    writable_words=attrgetter("labels"),
    max_new_tokens=_count_labels,
)
