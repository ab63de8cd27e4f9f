"""ReasoningGym: short problems from the generators of the library reasoning-gym, scored by the library itself.

The prompt is a question such as ``Calculate 3 - 8.``; the agent writes the answer, ``-5``, character by character. The
library has more than a hundred data sets of this kind: sums, puzzles, codes, graphs. It comes with the extra
``reasoning``: ``pip install 'textgym[reasoning]'``.

**Arguments of its own**, besides those that every environment takes:

- ``dataset``: name of a data set of the library, such as ``"word_sorting"``; ``"basic_arithmetic"`` by default.
- ``config``: fields of the data set's configuration, such as ``{"min_words": 2, "max_words": 4}``.
- ``items``: the most items, 200 by default; a quarter of them is held out for testing.
- ``allow_paid_silence``: take data sets that pay for an empty answer too, which are refused otherwise.

**Reward.** The library's own score of the text, in [0, 1]; for most data sets an answer among other words still earns
the answer's share of the characters. A text **succeeds** when it earns 1.

**Levels.** The library's curriculum of the data set at its levels 0, 1 and 2; data sets without a curriculum have
their default configuration at all levels. By default these are sums of so many numbers:

======  =======  ======  ================  ======  =====
level   numbers  digits  prompt            tokens  items
======  =======  ======  ================  ======  =====
easy    2        1       up to 35 letters       4    200
medium  2 to 3   1 to 2  up to 40 letters       6    200
hard    2 to 4   1 to 3  up to 49 letters      11    200
======  =======  ======  ================  ======  =====

What may be written are the characters that occur in the answers, and as many as the longest one has. Five data sets
(``boxnet``, ``graph_color``, ``propositional_logic``, ``rubiks_cube``, ``rush_hour``) state no answers: then all
printable characters may be written, 128 tokens at most, and there is no oracle and no demonstration.

**Items.** Each is drawn with a seed of its own, made from its split and index, since the library's neighbouring seeds
give the same items shifted by one. No question stands twice, in whichever split.

**Example** (easy), to ``Calculate 3 - 8.``: the text ``-5`` earns 1, ``-51`` earns 2/3, ``5`` earns 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import printable
from typing import Any

import numpy as np

from textgym.constraints import Lexicon
from textgym.episodes import Prompt
from textgym.facts import shipped_facts
from textgym.puzzles import careless_characters, first_reference
from textgym.reasoning import LibraryScore, LibrarySuccess, build_items
from textgym.reasoning_library import ItemSettings
from textgym.task import Task
from textgym.tokenizers import CharTokenizer

FREE_TOKENS = 128
"""Budget of a text where the library states no answers."""

LEVELS = {name: ItemSettings(name, difficulty) for difficulty, name in enumerate(("easy", "medium", "hard"))}


def make_prompts(settings: ItemSettings) -> tuple[Prompt, ...]:
    """The library's questions."""
    return build_items(settings).prompts


def _answer_characters(settings: ItemSettings) -> tuple[str, ...]:
    """The characters that answers are made of; nothing where the library states none."""
    return tuple(sorted({letter for prompt in make_prompts(settings) for text in prompt.references for letter in text}))


def make_tokenizer(settings: ItemSettings) -> CharTokenizer:
    """The characters of questions and answers."""
    asked = {letter for prompt in make_prompts(settings) for letter in prompt.text}
    return CharTokenizer(sorted({*asked, *(_answer_characters(settings) or printable)}))


def _make_constraints(settings: ItemSettings) -> tuple[Lexicon, ...]:
    letters = _answer_characters(settings)
    return (Lexicon(letters),) if letters else ()


def _count_tokens(settings: ItemSettings) -> int:
    answers = [len(text) for prompt in make_prompts(settings) for text in prompt.references]
    return max(answers) + 1 if answers else FREE_TOKENS


def _make_reward(settings: ItemSettings) -> LibraryScore:
    return LibraryScore(settings)


def _make_success(settings: ItemSettings) -> LibrarySuccess:
    return LibrarySuccess(LibraryScore(settings))


def _make_demonstration(settings: ItemSettings) -> Callable[[Prompt, np.random.Generator], str]:
    answers = [prompt.references[0] for prompt in make_prompts(settings)]
    slip = careless_characters(settings)

    def demonstrate(prompt: Prompt, rng: np.random.Generator) -> str:
        """The answer, in some cases with a slip, in a quarter of the cases that to another question."""
        return answers[int(rng.integers(len(answers)))] if rng.random() < 0.25 else slip(prompt, rng)

    return demonstrate


def _adapt(settings: ItemSettings) -> Mapping[str, Any]:
    return {} if build_items(settings).answered else {"make_oracle": None, "make_demonstration": None}


TASK = Task(
    name="ReasoningGym",
    summary="Answer a question from one of reasoning-gym's data sets.",
    levels=LEVELS,
    level="easy",
    tags=("reasoning", "arithmetic"),
    options=("dataset", "config", "items", "allow_paid_silence"),
    adapt=_adapt,
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_reward=_make_reward,
    make_success=_make_success,
    make_constraints=_make_constraints,
    make_oracle=first_reference,
    make_demonstration=_make_demonstration,
    make_facts=shipped_facts("ReasoningGym"),
    max_new_tokens=_count_tokens,
)
