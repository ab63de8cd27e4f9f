"""What the puzzles share: prompts drawn without repetition and split by chance, and a reward for the right answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import TaskError
from textgym.scoring import add_in_order

TEST_SHARE = 0.25


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
        targets, lengths = self._targets(batch)
        wanted = targets[batch.prompt_indices]
        written = batch.completion_ids[:, : wanted.shape[1]]
        if written.shape[1] < wanted.shape[1]:
            gap = wanted.shape[1] - written.shape[1]
            written = np.pad(written, ((0, 0), (0, gap)), constant_values=batch.tokenizer.vocab_size)
        inside = np.arange(wanted.shape[1]) < lengths[batch.prompt_indices, None]
        right = np.logical_and.accumulate((written == wanted) & inside, axis=1)
        return add_in_order(np.ascontiguousarray(right.T, dtype=np.float64)) / lengths[batch.prompt_indices]

    def _targets(self, batch: EpisodeBatch) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """``(N, L)`` the ids of each prompt's reference with its end id, and their number ``(N,)``."""
        if self._cache.get("prompts") is not batch.prompts:
            tokenizer = batch.tokenizer
            rows = [[*tokenizer.encode(answers[0]), tokenizer.eos_ids[0]] for answers in batch.prompts.references]
            targets = np.full((len(rows), max(map(len, rows))), tokenizer.vocab_size, dtype=np.int32)
            for row, ids in enumerate(rows):
                targets[row, : len(ids)] = ids
            lengths = np.array([len(ids) for ids in rows])
            self._cache.update(targets=targets, lengths=lengths, prompts=batch.prompts)
        return self._cache["targets"], self._cache["lengths"]

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
    return _answer_carelessly


def _answer_carelessly(prompt: Prompt, rng: np.random.Generator) -> str:
    words = prompt.references[0].split(" ")
    for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.3, 0.2]))):
        words = _slip(words, rng)
    return " ".join(words)


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
