"""Translate: write in another language what the prompt says.

Prompts come from a synchronous grammar (:mod:`textgym.translation`), which knows all correct translations. French
wants agreement of articles, adjectives and verbs with gender and number, and each adjective in its place; Chinese
measure words; English articles.

**Reward.** Sentence BLEU of the words (in Chinese, of the characters) against all correct translations, as
:func:`textgym.overlap.bleu` has it. A text **succeeds** when it is one of them.

**Levels** (the tokens are the budget of a translation, its end included; the words are those that may be written).

======  =========================  =========  ======  =====  =======
level   directions                 texts      tokens  words  prompts
======  =========================  =========  ======  =====  =======
easy    English to French          phrases         4     20       24
medium  English to French          sentences       8     64      512
hard    English to French and      sentences      18    208    1,024
        Chinese, Chinese to
        English
======  =========================  =========  ======  =====  =======

At level hard the prompt's first word names the language to translate into. A quarter of the prompts is held out for
testing; their words are all known from other prompts.

**Example** (easy), ``the black mice``:

========================  ======  =============================
text                      reward
========================  ======  =============================
``les souris noires``      1.00   the best
``les souris noirs``       0.55   agreement
``les noires souris``      0.40   order
``les souris``             0.61   something is missing
(the empty text)           0.00
========================  ======  =============================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import numpy as np

from textgym.episodes import Prompt
from textgym.exercises import exercise
from textgym.grading import Bleu
from textgym.puzzles import draw_prompts
from textgym.tokenizers import WordTokenizer, join_words, split_words
from textgym.translation import LANGUAGES, Lexicon, write
from textgym.worlds import one_of

MOST_REFERENCES = 8


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        lexicon: Its words.
        directions: Pairs of languages, from and to.
        tokens: Token budget of a translation.
        prompts: Number of prompts, those for testing included.
    """

    name: str
    lexicon: Lexicon
    directions: tuple[tuple[str, str], ...]
    tokens: int
    prompts: int


TO_FRENCH = ("english", "french")
LEVELS = (
    Level("easy", Lexicon(4, 2), (TO_FRENCH,), 4, 24),
    Level("medium", Lexicon(10, 6, 6), (TO_FRENCH,), 8, 512),
    Level("hard", Lexicon(16, 8, 8), (TO_FRENCH, ("english", "chinese"), ("chinese", "english")), 18, 1_024),
)


def _draw(level: Level, rng: np.random.Generator) -> Prompt:
    given, wanted = one_of(level.directions, rng)
    references: tuple[str, ...] = ()
    while not 0 < len(references) <= MOST_REFERENCES:
        meaning = level.lexicon.draw(rng)
        references = write(meaning, wanted)
    text = write(meaning, given)[0]
    is_named = len(level.directions) > 1
    return Prompt(f"{wanted} : {text}" if is_named else text, references, {"language": wanted})


def make_prompts(level: Level) -> list[Prompt]:
    """Texts; the references are all their translations."""
    return draw_prompts(partial(_draw, level), count=level.prompts, seed=("Translate", level.name))


def writable_words(level: Level) -> tuple[str, ...]:
    """The words of the languages that are translated into."""
    languages = dict.fromkeys(language for _, language in level.directions)
    return tuple(dict.fromkeys(word for language in languages for word in level.lexicon.words(language)))


def make_tokenizer(level: Level) -> WordTokenizer:
    """The words of translations, then those of prompts."""
    given = [word for language, _ in level.directions for word in level.lexicon.words(language)]
    names = [*LANGUAGES, ":"] if len(level.directions) > 1 else []
    return WordTokenizer(dict.fromkeys([*writable_words(level), *given, *names]))


def _make_demonstration(level: Level) -> Callable[[Prompt, np.random.Generator], str]:
    words = {language: level.lexicon.words(language) for _, language in level.directions}

    def write_carelessly(prompt: Prompt, rng: np.random.Generator) -> str:
        """One of the translations; in half of the cases with a wrong word or two neighbours changed about."""
        written, chance = split_words(one_of(prompt.references, rng)), float(rng.random())
        place = int(rng.integers(len(written)))
        if chance < 0.3:
            written[place] = one_of(words[prompt.metadata["language"]], rng)
        elif chance < 0.5:
            written[place - 1], written[place] = written[place], written[place - 1]
        return join_words(written)

    return write_carelessly


TASK = exercise(
    "Translate",
    LEVELS,
    summary="Write in another language what the prompt says.",
    tags=("language", "translation", "grammar"),
    score=Bleu,
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_demonstration=_make_demonstration,
    writable_words=writable_words,
    max_new_tokens=attrgetter("tokens"),
)
