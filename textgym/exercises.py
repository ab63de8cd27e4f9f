"""What tasks have in common whose answer is one of the prompt's references, written with few of the words there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from textgym.constraints import Lexicon
from textgym.episodes import Prompt, Score
from textgym.facts import shipped_facts
from textgym.grading import Match
from textgym.puzzles import PuzzleLevel, first_reference
from textgym.task import Task
from textgym.tokenizers import Tokenizer


def exercise(
    name: str,
    levels: Iterable[PuzzleLevel],
    *,
    summary: str,
    tags: tuple[str, ...],
    score: Callable[[], Score],
    make_prompts: Callable[[Any], list[Prompt]],
    make_tokenizer: Callable[[Any], Tokenizer],
    make_demonstration: Callable[[Any], Callable[[Prompt, np.random.Generator], str]],
    writable_words: Callable[[Any], tuple[str, ...]],
    max_new_tokens: Callable[[Any], int],
) -> Task:
    """A task that asks for one of the prompt's references, and succeeds word for word.

    Args:
        name: The task's name, under which its facts ship.
        levels: Settings, easiest first; the first is the default.
        summary: What the agent has to write.
        tags: Skills.
        score: Makes the reward, the same at every level.
        make_prompts: As of :class:`~textgym.task.Task`; the first reference of a prompt is the oracle's text.
        make_tokenizer: The vocabulary.
        make_demonstration: (prompt, generator) -> a typical text.
        writable_words: Settings -> the words of the vocabulary that may be written.
        max_new_tokens: The token budget.
    """
    known = {level.name: level for level in levels}
    return Task(
        name=name,
        summary=summary,
        levels=known,
        level=next(iter(known)),
        tags=tags,
        make_prompts=make_prompts,
        make_tokenizer=make_tokenizer,
        make_reward=partial(_make, score),
        make_success=partial(_make, Match),
        make_constraints=partial(_allow, writable_words),
        make_oracle=first_reference,
        make_demonstration=make_demonstration,
        make_facts=shipped_facts(name),
        max_new_tokens=max_new_tokens,
    )


def _make(score: Callable[[], Score], settings: Any) -> Score:
    return score()


def _allow(writable_words: Callable[[Any], tuple[str, ...]], settings: Any) -> tuple[Lexicon, ...]:
    return (Lexicon(writable_words(settings)),)
