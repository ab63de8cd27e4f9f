"""What the puzzles share: prompts drawn without repetition, a reward for the right answer, and the task around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from string import ascii_lowercase
from typing import Any, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from textgym.constraints import Constraint, Lexicon
from textgym.episodes import EpisodeBatch, Prompt, Score
from textgym.errors import TaskError
from textgym.facts import shipped_facts
from textgym.task import Task
from textgym.tokenizers import Tokenizer, WordTokenizer

TEST_SHARE = 0.25
NEVER = -1  # no text has this id, not even as padding


def draw_prompts(
    draw: Callable[[np.random.Generator], Prompt], *, count: int, seed: Sequence[str | int], most_tries: int = 200
) -> list[Prompt]:
    """Draws prompts until there are enough different ones; every fourth is held out for testing.

    Args:
        draw: Draws one prompt.
        count: How many different ones.
        seed: Words and numbers that name the task and level.
        most_tries: Draws for each prompt before it is clear that there are not so many.

    Raises:
        TaskError: if there are not so many different prompts.
    """
    rng = np.random.default_rng(np.random.SeedSequence(2026, spawn_key=tuple(crc32(str(s).encode()) for s in seed)))
    found: dict[str, Prompt] = {}
    for _ in range(count * most_tries):
        prompt = draw(rng)
        found.setdefault(prompt.text, prompt)
        if len(found) == count:
            break
    else:
        raise TaskError(f"only {len(found)} different prompts were found for {seed}, where {count} were asked for")
    held_out = round(count * TEST_SHARE)
    splits = ["train"] * (count - held_out) + ["test"] * held_out
    return [
        Prompt(prompt.text, prompt.references, prompt.metadata, split)
        for prompt, split in zip(found.values(), splits, strict=True)
    ]


@dataclass(frozen=True)
class Answer:
    """The share of the reference's tokens, its end included, that the text has from the beginning on; 1 for all.

    A text that goes on after the answer, or stops before it, is not rewarded for more than its right beginning.
    """

    range = (0.0, 1.0)
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores ``(B,)`` texts."""
        batch = batch.local()
        targets, shares = self._targets(batch)
        right = batch.tokens == targets.take(batch.prompt_indices, axis=0)  # whole rows are faster than parts of them
        places = batch.prompt_indices * right.shape[1]
        places += right.argmin(axis=1)
        return shares.take(places)

    def _targets(self, batch: EpisodeBatch) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Each prompt with its reference and the end id, and what a text earns by the place of its first wrong token.

        Both are ``(N, P + T)``. Place 0 is that of texts in which nothing is wrong: the prompt, which comes first,
        never is.
        """
        prompts, width = batch.prompts, batch.tokens.shape[1]
        if self._cache.get("prompts") is not prompts or self._cache["targets"].shape[1] != width:
            tokenizer = batch.tokenizer
            rows = [[*tokenizer.encode(answers[0]), tokenizer.eos_ids[0]] for answers in prompts.references]
            targets = np.full((len(rows), width), NEVER, dtype=np.int32)
            targets[:, : prompts.width] = prompts.ids
            for row, ids in enumerate(rows):
                targets[row, prompts.width :][: len(ids)] = ids[: width - prompts.width]
            right = np.array([width, *range(1, width)]) - prompts.width
            shares = right / np.array([[len(ids)] for ids in rows])
            self._cache.update(targets=targets, shares=shares, prompts=prompts)
        return self._cache["targets"], self._cache["shares"]

    def __getstate__(self) -> dict[str, Any]:
        return {"_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Answer:
        return self


@dataclass(frozen=True)
class Solved:
    """1 where the text is the reference, 0 elsewhere."""

    answer: Answer = field(default_factory=Answer)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """1 for success, else 0."""
        return (self.answer(batch) == 1.0).astype(np.float64)


def first_reference(settings: Any) -> Callable[[Prompt], str]:
    """A task's ``make_oracle``: the prompt's first reference."""
    return _first_reference


def _first_reference(prompt: Prompt) -> str:
    return prompt.references[0]


def careless(settings: Any) -> Callable[[Prompt, np.random.Generator], str]:
    """A task's ``make_demonstration``: the answer, in half of the cases with a slip or two."""
    return _misplace_words


def careless_characters(settings: Any) -> Callable[[Prompt, np.random.Generator], str]:
    """The same for answers whose tokens are characters."""
    return _misplace_characters


def _misplace_words(prompt: Prompt, rng: np.random.Generator) -> str:
    return " ".join(_misplace(prompt.references[0].split(" "), rng))


def _misplace_characters(prompt: Prompt, rng: np.random.Generator) -> str:
    return "".join(_misplace(list(prompt.references[0]), rng))


def _misplace(words: list[str], rng: np.random.Generator) -> list[str]:
    for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.3, 0.2]))):
        words = _slip(words, rng)
    return words


def _slip(words: list[str], rng: np.random.Generator) -> list[str]:
    """One word is left out, said twice (in place of the last), or changes places with its neighbour."""
    place, kind = int(rng.integers(len(words))), int(rng.integers(3))
    if kind == 0 and len(words) > 1:
        return words[:place] + words[place + 1 :]
    if kind == 1:
        return [*words[: place + 1], *words[place:-1]]
    other = (place + 1) % len(words)
    words = words.copy()
    words[place], words[other] = words[other], words[place]
    return words


class PuzzleLevel(Protocol):
    """What every puzzle's settings have; the facts are found by it."""

    @property
    def name(self) -> str:
        """Name of the level."""
        ...


def puzzle(
    name: str,
    levels: Sequence[PuzzleLevel],
    *,
    summary: str,
    skill: str,
    make_prompts: Callable[[Any], list[Prompt]],
    make_tokenizer: Callable[[Any], Tokenizer],
    make_constraints: Callable[[Any], tuple[Constraint, ...]],
    max_new_tokens: Callable[[Any], int],
    make_reward: Callable[[Any], Score] | None = None,
    make_success: Callable[[Any], Score] | None = None,
    make_demonstration: Callable[[Any], Callable[[Prompt, np.random.Generator], str]] | None = None,
) -> Task:
    """A task whose prompts carry the right answer as their first reference.

    Args:
        name: The task's name, under which its facts ship.
        levels: Settings, easiest first; the first is the default.
        summary: What the agent has to write.
        skill: The tag beside ``"puzzle"``.
        make_prompts: As of :class:`~textgym.task.Task`, like all that follow.
        make_tokenizer: The vocabulary.
        make_constraints: What may be written.
        max_new_tokens: The token budget.
        make_reward: By default :class:`Answer`.
        make_success: By default :class:`Solved`.
        make_demonstration: By default :func:`careless`.
    """
    return Task(
        name=name,
        summary=summary,
        levels={level.name: level for level in levels},
        level=levels[0].name,
        tags=("puzzle", skill),
        make_prompts=make_prompts,
        make_tokenizer=make_tokenizer,
        make_reward=make_reward or _make_answer,
        make_success=make_success or _make_solved,
        make_constraints=make_constraints,
        make_oracle=first_reference,
        make_demonstration=make_demonstration or careless,
        make_facts=shipped_facts(name),
        max_new_tokens=max_new_tokens,
    )


def _make_answer(settings: Any) -> Answer:
    return Answer()


def _make_solved(settings: Any) -> Solved:
    return Solved()


@dataclass(frozen=True)
class Rows:
    """Settings of a puzzle about rows of letters.

    Attributes:
        name: Name of the level.
        letters: Size of the alphabet.
        shortest: Fewest letters of a prompt.
        longest: Most letters of a prompt.
        prompts: Number of prompts, those for testing included.
        capitals: Whether prompts are in capitals, which may not be written: handing back the prompt earns nothing.
    """

    name: str
    letters: int
    shortest: int
    longest: int
    prompts: int
    capitals: bool = False

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The letters that may be written."""
        return tuple(ascii_lowercase[: self.letters])

    def show(self, letters: Sequence[str]) -> list[str]:
        """The letters as prompts show them."""
        return [letter.upper() for letter in letters] if self.capitals else [*letters]


def row_puzzle(
    name: str, solve: Callable[[list[str]], list[str]], levels: Sequence[Rows], *, summary: str, skill: str
) -> Task:
    """A puzzle that shows a row of letters and asks for another one.

    Args:
        name: The task's name.
        solve: Letters of the prompt -> those of the answer, at most as many; a function that pickles.
        levels: Settings, easiest first.
        summary: What the agent has to write.
        skill: The tag beside ``"puzzle"``.
    """
    return puzzle(
        name,
        levels,
        summary=summary,
        skill=skill,
        make_prompts=partial(_draw_rows, name, solve),
        make_tokenizer=_spell_letters,
        make_constraints=_allow_letters,
        max_new_tokens=_letters_and_end,
    )


def _draw_rows(name: str, solve: Callable[[list[str]], list[str]], level: Rows) -> list[Prompt]:
    return draw_prompts(partial(_draw_row, solve, level), count=level.prompts, seed=(name, level.name))


def _draw_row(solve: Callable[[list[str]], list[str]], level: Rows, rng: np.random.Generator) -> Prompt:
    length = int(rng.integers(level.shortest, level.longest + 1))
    letters = [level.alphabet[index] for index in rng.integers(level.letters, size=length).tolist()]
    return Prompt(" ".join(level.show(letters)), references=(" ".join(solve(letters)),))


def _spell_letters(level: Rows) -> WordTokenizer:
    return WordTokenizer(dict.fromkeys([*level.alphabet, *level.show(level.alphabet)]))


def _allow_letters(level: Rows) -> tuple[Lexicon, ...]:
    return (Lexicon(level.alphabet),)


def _letters_and_end(level: Rows) -> int:
    return level.longest + 1
