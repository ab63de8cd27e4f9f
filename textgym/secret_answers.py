"""Four prompts with secret answers, the same at every level: what Noise and Scale differ in is how they pay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from textgym.diagnostics import DiagnosticLevel, diagnostic, letters, name_generator, secret_prompts, share_of_answer
from textgym.episodes import Prompt, Score
from textgym.task import Task

WORDS = letters(4)
TOKENS = 3  # of an answer, its end included


def four_secrets(
    name: str,
    levels: Iterable[DiagnosticLevel],
    *,
    summary: str,
    skill: str,
    make_reward: Callable[[Any], Score],
) -> Task:
    """A diagnostic whose gold is the share of the answer, and whose reward is something made of that.

    Args:
        name: The task's name, which also seeds the answers.
        levels: Settings, easiest first; each has :data:`WORDS` and :data:`TOKENS`.
        summary: What the agent has to write.
        skill: The tag beside ``"diagnostic"``.
        make_reward: Settings -> what is paid.
    """
    return diagnostic(
        name,
        tuple(levels),
        summary=summary,
        skill=skill,
        make_prompts=partial(_draw, name),
        make_reward=make_reward,
        make_gold=share_of_answer,
    )


def _draw(name: str, level: DiagnosticLevel) -> list[Prompt]:
    return secret_prompts(level.words, name_generator(name), prompts=len(WORDS), length=level.tokens - 1)
