"""Answer: read a story and answer a question about it.

The story tells who walks where, and who picks up and drops what; see :mod:`textgym.worlds`. What somebody carries goes
with them. Questions are asked only where the story tells the answer:

- ``where is mary ?`` and ``where is the ball ?``: a room;
- ``who has the ball ?``: a name, or ``nobody``;
- ``who is in the hall ?``: names joined by ``and``, in any order;
- ``what does mary have ?``: things joined by ``and``, in any order;
- ``how many things does mary have ?``: a number, of people whom the story saw with something in their hands;
- ``is mary in the hall ?``: ``yes`` or ``no``.

**Reward.** F1 of the answer's words against the reference that fits best, whatever their order. A text **succeeds**
when it is a reference word for word, so that ``tom and mary`` and ``mary and tom`` both do.

**Levels.**

======  =========  ======================  =========================================  ======  =======
level   sentences  people, rooms, things   questions                                  tokens  prompts
======  =========  ======================  =========================================  ======  =======
easy            2  4, 4, 0                 where, of people                                2      400
medium     3 to 4  3, 4, 3                 where, who has, yes or no                       3      512
hard       6 to 9  5, 6, 6                 all                                             8      768
======  =========  ======================  =========================================  ======  =======

A quarter of the prompts is held out for testing. The tokens are the budget of an answer, its end included.

**Example** (medium): to ``mary took the key . tom went to the hall . mary went to the garden . where is the key ?`` the
answer is ``garden``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from operator import attrgetter

import numpy as np

from textgym.episodes import Prompt
from textgym.exercises import exercise
from textgym.grading import TokenF1
from textgym.puzzles import draw_prompts
from textgym.tokenizers import WordTokenizer
from textgym.worlds import NUMBERS, Cast, Story, one_of, tell

Question = tuple[str, tuple[str, ...]] | None
"""A question and its answers, or None where the story does not tell."""


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        cast: The world.
        shortest: Fewest sentences of a story.
        longest: Most sentences of a story.
        kinds: Kinds of questions, of :data:`QUESTIONS`.
        tokens: Token budget of an answer.
        prompts: Number of prompts, those for testing included.
    """

    name: str
    cast: Cast
    shortest: int
    longest: int
    kinds: tuple[str, ...]
    tokens: int
    prompts: int


def _list(names: list[str], rng: np.random.Generator) -> tuple[str, ...]:
    """The names joined by ``and``, in every order; up to three. One name alone is mostly not worth the question."""
    if not names or len(names) > 3 or (len(names) == 1 and rng.random() < 0.8):
        return ()
    return tuple(" and ".join(order) for order in permutations(names))


def _ask_where(story: Story, rng: np.random.Generator) -> Question:
    name = one_of((*story.cast.persons, *story.cast.objects), rng)
    subject, room = f"the {name}" if name in story.cast.objects else name, story.place_of(name)
    return (f"where is {subject} ?", (room,)) if room else None


def _ask_who_has(story: Story, rng: np.random.Generator) -> Question:
    thing = one_of(story.cast.objects, rng)
    return (f"who has the {thing} ?", (story.holders[thing] or "nobody",)) if thing in story.holders else None


def _ask_who_is(story: Story, rng: np.random.Generator) -> Question:
    room = one_of(story.cast.rooms, rng)
    names = _list(story.people_in(room), rng)
    return (f"who is in the {room} ?", names) if names else None


def _ask_what(story: Story, rng: np.random.Generator) -> Question:
    person = one_of(story.cast.persons, rng)
    things = _list(story.held_by(person), rng)
    return (f"what does {person} have ?", things) if things else None


def _ask_how_many(story: Story, rng: np.random.Generator) -> Question:
    person = one_of(story.cast.persons, rng)
    has_acted = any(sentence.startswith((f"{person} took", f"{person} dropped")) for sentence in story.sentences)
    number = NUMBERS[len(story.held_by(person))]
    return (f"how many things does {person} have ?", (number,)) if has_acted else None


def _ask_whether(story: Story, rng: np.random.Generator) -> Question:
    person, room = one_of(story.cast.persons, rng), one_of(story.cast.rooms, rng)
    known, wanted = story.place_of(person), ("no", "yes")[int(rng.integers(2))]
    if known is None or (wanted == "yes") != (known == room):
        return None
    return f"is {person} in the {room} ?", (wanted,)


QUESTIONS: dict[str, Callable[[Story, np.random.Generator], Question]] = {
    "where": _ask_where,
    "who has": _ask_who_has,
    "who is": _ask_who_is,
    "what": _ask_what,
    "how many": _ask_how_many,
    "whether": _ask_whether,
}
ANSWERS = {"who has": ("nobody",), "how many": NUMBERS, "whether": ("yes", "no"), "what": ("and",)}
ASKING = ("?", "where", "who", "what", "how", "many", "is", "in", "has", "have", "does", "things")

LEVELS = (
    Level("easy", Cast(4, 4, 0), 2, 2, ("where",), 2, 400),
    Level("medium", Cast(3, 4, 3), 3, 4, ("where", "who has", "whether"), 3, 512),
    Level("hard", Cast(5, 6, 6), 6, 9, tuple(QUESTIONS), 8, 768),
)


def _draw(level: Level, rng: np.random.Generator) -> Prompt:
    kind, asked = one_of(level.kinds, rng), None
    while asked is None:
        story = tell(level.cast, int(rng.integers(level.shortest, level.longest + 1)), rng)
        asked = QUESTIONS[kind](story, rng)
    return Prompt(f"{story.text} {asked[0]}", references=asked[1], metadata={"kind": kind})


def make_prompts(level: Level) -> list[Prompt]:
    """Stories with a question; the references are the answers."""
    return draw_prompts(partial(_draw, level), count=level.prompts, seed=("Answer", level.name))


def writable_words(level: Level) -> tuple[str, ...]:
    """The words that an answer may have."""
    people = level.cast.persons if level.kinds != ("where",) else ()
    further = [word for kind in level.kinds for word in ANSWERS.get(kind, ())]
    return (*level.cast.rooms, *people, *(level.cast.objects if "what" in level.kinds else ()), *further)


def make_tokenizer(level: Level) -> WordTokenizer:
    """The words of answers, then those of stories and questions."""
    return WordTokenizer(dict.fromkeys([*writable_words(level), *level.cast.words, *ASKING]))


def _make_demonstration(level: Level) -> Callable[[Prompt, np.random.Generator], str]:
    words = writable_words(level)

    def write(prompt: Prompt, rng: np.random.Generator) -> str:
        """One of the answers; in a third of the cases with a wrong word, in a sixth with one too many."""
        answer, chance = one_of(prompt.references, rng).split(" "), float(rng.random())
        if chance < 1 / 3:
            answer[int(rng.integers(len(answer)))] = one_of(words, rng)
        elif chance < 1 / 2:
            answer.append(one_of(words, rng))
        return " ".join(answer[: level.tokens - 1])

    return write


TASK = exercise(
    "Answer",
    LEVELS,
    summary="Read a story and answer a question about it.",
    tags=("language", "reading", "inference"),
    score=TokenF1,
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_demonstration=_make_demonstration,
    writable_words=writable_words,
    max_new_tokens=attrgetter("tokens"),
)
