"""Items of the library reasoning-gym: drawn by (split, index), checked, and scored by the library itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError, PromptError, RewardError, TaskError
from textgym.reasoning_library import SOLVED, ItemSettings, ItemSource, quiet

_TEST_SHARE = 0.25
_PROBES = 16  # items on which silence is tried
_PATIENCE = 200  # draws of a split without a new question before the generator counts as exhausted


@dataclass(frozen=True, eq=False)
class Items:
    """The items of one setting.

    Attributes:
        prompts: Training prompts, then those for testing; the reference is the library's answer.
        entries: Prompt text -> the library's own item.
        generator: The library's object that scores answers.
        answered: Whether the library says what the right answers are.
    """

    prompts: tuple[Prompt, ...]
    entries: Mapping[str, dict[str, Any]]
    generator: Any
    answered: bool


@dataclass(frozen=True)
class LibraryScore:
    """What reasoning-gym's ``score_answer`` says of a text: 1 for a right answer, on some data sets a part for others.

    Attributes:
        settings: Which items it scores.
    """

    settings: ItemSettings
    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """One number in [0, 1] a text.

        Raises:
            RewardError: for a prompt that is none of the items, or a number outside the range.
        """
        items = build_items(self.settings)
        with quiet(0):
            pairs = zip(batch.prompt_texts, batch.completions, strict=True)
            return np.array([self._score(items, *pair) for pair in pairs], dtype=np.float64)

    def _score(self, items: Items, prompt: str, text: str) -> float:
        if prompt not in items.entries:
            raise RewardError(
                f"the prompt {prompt!r} is no item of the data set {self.settings.dataset!r}, whose scorer knows no "
                "others; pass reward= together with prompts="
            )
        score = float(items.generator.score_answer(text, items.entries[prompt]))
        if not 0.0 <= score <= 1.0:
            raise RewardError(f"{self.settings.dataset!r} scored {text!r} with {score!r}, expected 0 to 1")
        return score


@dataclass(frozen=True)
class LibrarySuccess:
    """1 where the library's score is 1, 0 elsewhere."""

    score: LibraryScore

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """1 for success, else 0."""
        return (self.score(batch) >= SOLVED).astype(np.float64)


@lru_cache(maxsize=32)
def build_items(settings: ItemSettings) -> Items:
    """Draws and checks the items of a setting; the same object each time.

    Every item has a seed of its own, spawned from its split and index, because the library's neighbouring seeds give
    the same items shifted by one. Questions that came before, in whichever split, are left out, and so are
    items whose own answer does not earn 1.

    Raises:
        MissingDependencyError: if the library is not installed.
        UnknownNameError: for a data set or a field of its configuration that does not exist.
        ConfigurationError: for a configuration that the library refuses, or a data set that is refused here.
        PromptError: for an item without a question or an answer, naming it.
        TaskError: if the library fails at an item, or too few items are left.
    """
    with quiet(0):
        source = ItemSource(settings)
        found = {split: dict[str, dict[str, Any]]() for split in ("train", "test")}
        held_out = max(1, round(settings.items * _TEST_SHARE))
        _draw_new(source, found, {"train": settings.items - held_out, "test": held_out})
        if not all(found.values()):
            raise TaskError(
                f"the data set {settings.dataset!r} gives too few different items whose answers earn 1 "
                f"({source.unsolved} did not); expected at least one for each split; change config="
            )
        entries = found["train"] | found["test"]
        answered = _is_answered(source, entries)
        if not settings.allow_paid_silence:
            _refuse_paid_silence(source, list(entries.values())[:_PROBES])
    prompts = (
        Prompt(question, () if entry["answer"] is None else (entry["answer"],), split=split)
        for split, part in found.items()
        for question, entry in part.items()
    )
    return Items(tuple(prompts), entries, source.generator, answered)


def _draw_new(source: ItemSource, found: dict[str, dict[str, dict[str, Any]]], wanted: dict[str, int]) -> None:
    """Draws items of the splits in turn, until there are enough or no new questions come."""
    idle, index = dict.fromkeys(wanted, 0), 0
    while open_splits := [s for s in wanted if len(found[s]) < wanted[s] and idle[s] < _PATIENCE]:
        for split in open_splits:
            entry = source.draw(split, index)
            known = any(entry["question"] in part for part in found.values())
            new = not known and source.solves(entry)
            idle[split] = 0 if new else idle[split] + 1
            if new:
                found[split][entry["question"]] = entry
        index += 1


def _refuse_paid_silence(source: ItemSource, entries: list[dict[str, Any]]) -> None:
    paid = max(float(source.generator.score_answer(text, entry)) for entry in entries for text in ("", None))
    if paid > 0.0:
        raise ConfigurationError(
            f"the data set {source.name!r} pays {paid:g} for an empty answer, so that silence would be learned; take "
            "another one, or pass allow_paid_silence=True"
        )


def _is_answered(source: ItemSource, entries: Mapping[str, dict[str, Any]]) -> bool:
    missing = [question for question, entry in entries.items() if entry["answer"] is None]
    if missing and len(missing) < len(entries):
        raise PromptError(f"the data set {source.name!r} has no answer to {missing[0]!r}, but answers to other items")
    return not missing
