"""Story: tell a tale that holds together, and that ends as it should.

The prompt names a tone, a theme and how things stand: ``merry tale of a ring : the fox waits``. The agent goes on,
event by event: ``leaves finds ring returns happily``. Behind the words is a small world (:mod:`textgym.plots`) in which
the hero is awake or asleep, at home or away, has the thing or has it not (and on level hard is hurt or well, in company
or alone, in the dark or not). Events need one state of this world and lead to another: a tale can contradict itself.

**Reward.** What it counts is the true score:

``0.4 * theme + 0.3 * ending + 0.3 * events - 0.3 * contradictions - 0.2 * order errors``, at least -1,

where *theme* is 1 if the prompt's thing is named, *ending* is 1 if the last word is ``happily`` in a merry tale and
``sadly`` in a sad one, *events* is the share of the wanted number of different events, *contradictions* are events and
endings that cannot be as things stand (nobody finds anything asleep) and things of other tales, and *order errors* are
neighbours that the grammar does not allow: ``finds``, ``seeks`` and ``loses`` are followed by a thing, everything else
by an event or the ending. ``happily`` needs a hero who is at home, awake and well and has the thing; ``sadly`` one who
is away, awake and has it not. A text **succeeds** when it earns 1, the best there is.

**Levels.**

======  =====  ======  =============  ===========
level   words  tokens  events wanted  prompts
======  =====  ======  =============  ===========
easy        9       5              2  9 + 3
medium     16      10              4  81 + 27
hard       28      20              8  540 + 180
======  =====  ======  =============  ===========

A quarter of the prompts is held out: new combinations of words that are known from training.

**Example** (easy), to ``merry tale of a ring : the fox waits``:

=======================================  =====  ==============================================
text                                     score
=======================================  =====  ==============================================
``leaves finds ring returns happily``     1.00  the best
``leaves seeks ring returns happily``     0.70  happy without the ring: a contradiction
``leaves finds key returns happily``      0.30  another tale's thing
``finds ring happily``                    0.55  one event only, and nothing is found at home
``leaves returns``                        0.10  no end, and nothing about the ring
(the empty text)                         -0.20  not a tale
=======================================  =====  ==============================================
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
from textgym.narratives import Column, Narrative, Reached, slip
from textgym.plots import ASLEEP, AWAY, DEEDS, EVENTS, HURT, JOINED, count_contradictions, plan
from textgym.puzzles import draw_prompts
from textgym.task import Task
from textgym.tokenizers import WordTokenizer, fingerprint

TONES = {"merry": "happily", "sad": "sadly"}
THEMES = ("ring", "key", "map", "lamp", "coin", "book", "crown", "flute", "mirror", "seed", "sword", "shell", "pearl")
SITUATIONS = {"waits": 0, "travels": AWAY, "snores": ASLEEP, "limps": HURT, "wanders": AWAY | JOINED}
HEROES = ("fox", "girl", "giant", "miller", "queen", "crow")
FOLLOWS = {
    "start": ("event", "deed"),
    "event": ("event", "deed", "ending"),
    "deed": ("thing",),
    "thing": ("event", "deed", "ending"),
    "ending": ("end",),
}
THEME, ENDING, PLOT, CONTRADICTION, ERROR = 0.4, 0.3, 0.3, 0.3, 0.2


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        events: Number of events.
        themes: Number of things.
        situations: Number of beginnings.
        heroes: Number of heroes.
        wanted: How many different events a full tale has.
        tokens: Token budget, the end id included.
    """

    name: str
    events: int
    themes: int
    situations: int
    heroes: int
    wanted: int
    tokens: int

    @property
    def known(self) -> tuple[str, ...]:
        """The events of the level, endings left out."""
        return tuple([*EVENTS][: self.events])


LEVELS = {
    level.name: level
    for level in (
        Level("easy", events=4, themes=3, situations=2, heroes=1, wanted=2, tokens=5),
        Level("medium", events=8, themes=6, situations=3, heroes=3, wanted=4, tokens=10),
        Level("hard", events=14, themes=12, situations=5, heroes=6, wanted=8, tokens=20),
    )
}


def _draw(level: Level, rng: np.random.Generator) -> Prompt:
    tone, theme, hero, situation = (
        names[int(rng.integers(count))]
        for names, count in (
            ([*TONES], len(TONES)),
            (THEMES, level.themes),
            (HEROES, level.heroes),
            ([*SITUATIONS], level.situations),
        )
    )
    metadata = {"tone": tone, "theme": theme, "ending": [*TONES].index(tone), "thing": THEMES.index(theme)}
    metadata["state"] = SITUATIONS[situation]
    return Prompt(f"{tone} tale of a {theme} : the {hero} {situation}", metadata=metadata)


def make_prompts(level: Level) -> list[Prompt]:
    """All combinations of tone, thing, hero and situation."""
    count = len(TONES) * level.themes * level.heroes * level.situations
    return draw_prompts(partial(_draw, level), count=count, seed=("Story", level.name))


@cache
def make_grammar(level: Level) -> Narrative:
    """The grammar over the level's vocabulary."""
    words = {
        "event": tuple(event for event in level.known if event not in DEEDS),
        "deed": tuple(event for event in level.known if event in DEEDS),
        "thing": THEMES[: level.themes],
        "ending": tuple(TONES.values()),
    }
    return Narrative(words, FOLLOWS, len(_vocabulary(level, words)) + 2)


def _vocabulary(level: Level, words: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The writable words, then those that only prompts use."""
    asked = [*TONES, "tale", "of", "a", ":", "the", *HEROES[: level.heroes], *[*SITUATIONS][: level.situations]]
    return tuple(dict.fromkeys([*(word for kind in words.values() for word in kind), *asked]))


def make_tokenizer(level: Level) -> WordTokenizer:
    """One token a word."""
    return WordTokenizer(_vocabulary(level, {kind: tuple(words) for kind, words in make_grammar(level).words.items()}))


@dataclass(frozen=True)
class Plot:
    """The score of a tale; the formula stands at the top of this page.

    Attributes:
        level: Whose words count.
    """

    level: Level
    range = (-1.0, 1.0)
    _ending: Column = field(default_factory=partial(Column, "ending"), init=False, repr=False)
    _thing: Column = field(default_factory=partial(Column, "thing"), init=False, repr=False)
    _state: Column = field(default_factory=partial(Column, "state"), init=False, repr=False)

    @property
    def tokenizer_fingerprint(self) -> str:
        """The one vocabulary that the world's words belong to."""
        return fingerprint(make_tokenizer(self.level))

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores ``(B,)`` texts; prefixes are scored as if they ended here."""
        grammar, ids = make_grammar(self.level), batch.completion_ids
        first_thing, first_ending = (grammar.listing.index(words[0]) for words in (THEMES, [*TONES.values()]))
        things = (ids >= first_thing) & (ids < first_ending)
        right = ids == first_thing + self._thing(batch)[:, None]
        count = (ids < len(grammar.listing)).sum(axis=1)
        last = ids[np.arange(len(ids)), np.maximum(count - 1, 0)]
        events = np.minimum((grammar.distinct(ids) < first_thing).sum(axis=1), self.level.wanted)
        contradictions = count_contradictions(grammar, ids, self._state(batch)) + (things & ~right).sum(axis=1)
        score = THEME * right.any(axis=1) + ENDING * (last == first_ending + self._ending(batch))
        score = score + PLOT * (events / self.level.wanted) - CONTRADICTION * contradictions
        return np.maximum(score - ERROR * grammar.order_errors(ids), -1.0)


def make_oracle(level: Level) -> Callable[[Prompt], str]:
    """Prompt -> the first tale that a search finds."""

    def answer(prompt: Prompt) -> str:
        ending, theme = TONES[prompt.metadata["tone"]], prompt.metadata["theme"]
        events = plan(level.known, prompt.metadata["state"], ending, level.wanted)
        return " ".join([*(f"{event} {theme}" if event in DEEDS else event for event in events), ending])

    return answer


def make_demonstration(level: Level) -> Callable[[Prompt, np.random.Generator], str]:
    """(prompt, generator) -> a tale that mostly holds together, and mostly ends as it should."""
    listing = make_grammar(level).listing

    def write(prompt: Prompt, rng: np.random.Generator) -> str:
        words, state = list[str](), prompt.metadata["state"]
        for _ in range(int(rng.integers(1, level.wanted + 2))):
            fitting = [name for name in level.known if EVENTS[name].fits(state)]
            known = fitting if rng.random() < 0.85 else level.known
            event = known[int(rng.integers(len(known)))]
            thing = prompt.metadata["theme"] if rng.random() < 0.8 else THEMES[int(rng.integers(level.themes))]
            words += [event, thing] if event in DEEDS else [event]
            state = EVENTS[event].after(state)
        ending = TONES[prompt.metadata["tone"]] if rng.random() < 0.7 else str(rng.choice([*TONES.values()]))
        words = [*words[: level.tokens - 1], ending]
        return " ".join(slip(words, listing, rng) if rng.random() < 0.2 else words)

    return write


def _make_success(level: Level) -> Reached:
    return Reached(Plot(level))


def _make_constraints(level: Level) -> tuple[Lexicon, ...]:
    return (Lexicon(make_grammar(level).listing),)


def _count_tokens(level: Level) -> int:
    return level.tokens


TASK = Task(
    name="Story",
    summary="Go on with the tale: its theme, no contradiction, and the right ending.",
    levels=LEVELS,
    level="easy",
    tags=("planning", "consistency", "grammar"),
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_reward=Plot,
    make_success=_make_success,
    make_constraints=_make_constraints,
    make_oracle=make_oracle,
    make_demonstration=make_demonstration,
    make_facts=shipped_facts("Story"),
    max_new_tokens=_count_tokens,
)
