"""Spell: write a word letter by letter, forwards or backwards.

The prompt is ``spell tree`` or ``spell tree backwards``, where ``tree`` is a single token; the agent writes the tokens
``t r e e`` or ``e e r t``. How a word is spelled stands nowhere in the prompt: it has to be learned, as by language
models, which see words as tokens too.

**Reward.** The share of the answer's tokens, its end included, that the text has right from the beginning on: ``t r i``
earns 2/5 where ``t r e e`` is right. A text **succeeds** when all of it is right; then it earns 1.

**Levels.**

======  =====  ===============  ==================  ======  =======
level   words  letters of them  length of a word    tokens  prompts
======  =====  ===============  ==================  ======  =======
easy       12                5  3 to 4                   5       24
medium     80               26  3 to 4                   5      160
hard      200               26  3 to 8                   9      400
======  =====  ===============  ==================  ======  =======

Every word is asked for in both directions. Of every second word, one of the two prompts is held out for testing: each
word is known from training, a quarter of the prompts is not, and whoever knows what ``backwards`` means can solve them.

**Example** (easy), to ``spell tea backwards``: the text ``a e t`` earns 1, ``a e`` earns 0.5, ``t e a`` earns 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textgym.constraints import Lexicon
from textgym.episodes import Prompt
from textgym.keys import spawn_seed
from textgym.puzzles import puzzle
from textgym.tokenizers import WordTokenizer

COMMAND, BACKWARDS = "spell", "backwards"
WORDS = """
    ant tea eat sea ten net set nest east seat neat tent
    tree bird fish frog wolf bear deer lion goat duck crow swan moth crab seal hawk worm toad hare lamb
    rain snow wind fire leaf rock sand hill lake moon star wave rose moss fern pine cave cliff storm cloud
    milk rice corn bean plum pear lime salt soup cake bowl dish fork jam pie nut fig egg oil bread
    hand foot knee nose ear eye lip chin neck skin bone hair back heart
    door wall roof lamp desk book page pen cup key bed box mat pan jar bell rope nail drum coin
    ship boat road path town farm barn gate park bus car van map
    run walk jump swim sing read play work help call give keep find hold turn open close begin
    red blue green white black brown warm cold soft hard tall short quick slow early late
    bridge castle forest garden island market meadow mountain palace river school street tunnel village window
    apple banana cherry lemon orange tomato potato carrot onion pepper butter cheese honey sugar
    doctor farmer painter sailor teacher worker driver singer friend sister brother mother father
    summer winter spring autumn evening
""".split()


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        letters: The letters that may be written; only words made of them are asked for.
        longest: Most letters of a word.
        count: How many of the words, from the front of the list.
    """

    name: str
    letters: str
    longest: int
    count: int

    @property
    def words(self) -> tuple[str, ...]:
        """The words to be spelled."""
        return tuple(word for word in WORDS if len(word) <= self.longest and {*word} <= {*self.letters})[: self.count]


ALPHABET = "abcdefghijklmnopqrstuvwxyz"
LEVELS = (Level("easy", "aenst", 4, 12), Level("medium", ALPHABET, 4, 80), Level("hard", ALPHABET, 8, 200))


def make_prompts(level: Level) -> list[Prompt]:
    """Each word in both directions; every second word has one of them held out, in turn the one and the other."""
    order = np.random.default_rng(spawn_seed(2026, "Spell", level.name)).permutation(len(level.words))
    prompts = []
    for place, index in enumerate(order.tolist()):
        word = level.words[index]
        for direction, (text, letters) in enumerate(((word, word), (f"{word} {BACKWARDS}", word[::-1]))):
            split = "test" if place % 4 == 2 * direction + 1 else "train"
            prompts.append(Prompt(f"{COMMAND} {text}", (" ".join(letters),), split=split))
    return prompts


def make_tokenizer(level: Level) -> WordTokenizer:
    """One token a letter, then the words of the prompts."""
    return WordTokenizer([*level.letters, *level.words, COMMAND, BACKWARDS])


def _make_constraints(level: Level) -> tuple[Lexicon, ...]:
    return (Lexicon(tuple(level.letters)),)


def _count_tokens(level: Level) -> int:
    return level.longest + 1


TASK = puzzle(
    "Spell",
    LEVELS,
    summary="Spell a word, forwards or backwards.",
    skill="spelling",
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_constraints=_make_constraints,
    max_new_tokens=_count_tokens,
)
