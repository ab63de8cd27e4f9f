"""Dialogue: book a table for a customer who says what they want only when asked.

The prompt is the customer's first sentence and gives away a part of the wish ("thai please"). The agent has three kinds
of turns, each ended by the end token or by its last possible token:

- *which area*: the customer names that part of the wish ("north please");
- *confirm thai north*: the customer says *yes*, or names the first part that is wrong ("rather west please");
- *book thai north*: the end. All parts of the wish must be named.

Anything else is answered with *pardon*. At level hard the customer changes one part of the wish, silently, at the first
or second turn, so that a careful agent confirms before it books. When and what is drawn from the episode's key.

**Reward.** 1 for the right booking, less 0.05 for each turn before it; 0 for anything else. The right booking is
**success**. The oracle asks for what it does not know, confirms where the customer may have changed their mind, and
books.

**Levels.**

======  =====  ==============  =====  =====  ============  ============  =======
level   parts  values of each  known  turns  changes mind  grammar mask  prompts
======  =====  ==============  =====  =====  ============  ============  =======
easy        2               3      1      3  no            yes                18
medium      3               3      1      5  no            yes                81
hard        4               4      2      7  yes           no              1,536
======  =====  ==============  =====  =====  ============  ============  =======

Every first sentence comes with every wish that it leaves open, so that nobody can know the rest without asking. A
quarter of the first sentences is held out for testing.

**Example.** "thai please": *which area* north please, *book thai north* thanks. That earns 0.95.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from operator import attrgetter

import numpy as np

from textgym.constraints import Constraint, Lexicon
from textgym.customers import ACTS, REPLIES, Booking, Customer, Level, WellFormed, make_stop
from textgym.episodes import Prompt
from textgym.keys import spawn_seed
from textgym.puzzles import TEST_SHARE
from textgym.talk import conversation
from textgym.tokenizers import WordTokenizer

LEVELS = (
    Level("easy", 2, 3, 1, 3),
    Level("medium", 3, 3, 1, 5),
    Level("hard", 4, 4, 2, 7, changes=True, guided=False),
)


def make_prompts(level: Level) -> list[Prompt]:
    """Every first sentence with every wish that it leaves open; every fourth sentence is held out for testing."""
    known = combinations(range(level.parts), level.known)
    opened = list(product(known, product(range(level.values), repeat=level.known)))
    rng = np.random.default_rng(spawn_seed(2026, "Dialogue", level.name))
    held_out = set(rng.permutation(len(opened))[: round(len(opened) * TEST_SHARE)].tolist())
    prompts = []
    for number, (parts, values) in enumerate(opened):
        said = dict(zip(parts, values, strict=True))
        text = " ".join([*(level.choices[part * level.values + value] for part, value in said.items()), "please"])
        for rest in product(range(level.values), repeat=level.parts - level.known):
            others = iter(rest)
            wish = tuple(said[part] if part in said else next(others) for part in range(level.parts))
            split = "test" if number in held_out else "train"
            prompts.append(Prompt(text, metadata={"wish": wish}, split=split))
    return prompts


def make_tokenizer(level: Level) -> WordTokenizer:
    """The values, the parts, the agent's acts and the customer's words."""
    return WordTokenizer([*level.choices, *level.names, *ACTS, *REPLIES])


def _serve(level: Level, prompt: Prompt, turns: Sequence[tuple[str, str]]) -> str:
    """Asks for what was not said, confirms once where minds change, and books."""
    known = dict.fromkeys(level.names, "")
    for text in (prompt.text, *(text for side, text in turns if side == "partner")):
        known |= {level.names[level.choices.index(w) // level.values]: w for w in text.split() if w in level.choices}
    missing = [name for name, value in known.items() if not value]
    if missing:
        return f"which {missing[0]}"
    sure = not level.changes or any(text.startswith("confirm") for _, text in turns)
    return " ".join(["book" if sure else "confirm", *known.values()])


def _serve_in_a_hurry(level: Level, prompt: Prompt, rng: np.random.Generator) -> str:
    """A conversation with somebody who asks mostly, and else guesses; the customer keeps their mind."""
    wish = [level.choices[part * level.values + value] for part, value in enumerate(prompt.metadata["wish"])]
    said, booked = [], []
    for part, value in enumerate(wish):
        if value not in prompt.text.split() and rng.random() < 0.7:
            said += ["which", level.names[part], value, "please"]
        elif value not in prompt.text.split():
            value = str(rng.choice(level.choices[part * level.values : (part + 1) * level.values]))
        booked.append(value)
    return " ".join([*said, "book", *booked, "thanks" if booked == wish else "sorry"])


def _make_constraints(level: Level) -> tuple[Constraint, ...]:
    return (WellFormed(level) if level.guided else Lexicon((*level.choices, *level.names, *ACTS)),)


def _count_tokens(level: Level) -> int:
    return level.parts + 1


TASK = conversation(
    "Dialogue",
    LEVELS,
    summary="Book a table for a customer who says what they want when asked.",
    tags=("conversation", "information seeking", "planning"),
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_reward=Booking,
    make_constraints=_make_constraints,
    make_stop=make_stop,
    make_partner=Customer,
    max_turns=attrgetter("turns"),
    choose=_serve,
    demonstrate=_serve_in_a_hurry,
    max_new_tokens=_count_tokens,
)
