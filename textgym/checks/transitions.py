"""Rules about steps: which ones are taken, and when a text ends."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from textgym.checks.basics import BASE
from textgym.checks.recording import apply, choose
from textgym.checks.rules import NotApplicableError, rule
from textgym.checks.subject import Subject


@rule(mend="Return terminated=True at every end, truncated=False always: the budget is part of the task", needs=BASE)
def endings(subject: Subject) -> Iterator[str]:
    """A text ends by terminated alone: truncated is False, and both are Python's own bool."""
    for episode in subject.episodes:
        for step in episode.steps:
            terminated, truncated = step.output["terminated"], step.output["truncated"]
            if truncated is not False or not isinstance(terminated, bool):
                yield f"step() returned terminated={terminated!r}, truncated={truncated!r}"


@rule(mend="End a text when it has max_new_tokens tokens, the end id included, not before and not after", needs=BASE)
def budget(subject: Subject) -> Iterator[str]:
    """A text that does not end by itself ends after exactly max_new_tokens tokens (a turn), and none is longer."""
    limit, ends = subject.task.turns * subject.task.turn_tokens, set(subject.task.tokenizer.eos_ids)
    for episode in subject.episodes:
        count = len(episode.steps)
        if count > limit:
            yield f"a text went on after max_new_tokens={limit} tokens"
        if episode.legal and not ends & set(episode.actions) and count < limit and not stops(subject, episode.actions):
            yield f"a text of {count} legal tokens without an end id was ended; max_new_tokens is {limit}"


def stops(subject: Subject, ids: list[int]) -> bool:
    """Whether the task's own stop rule ends a text with these ids, or may end it because of a partner's reply."""
    if subject.task.stop is None:
        return False
    if subject.task.partner is not None:
        return True
    completion = np.full((1, subject.task.budget), subject.task.tokenizer.vocab_size, dtype=np.int32)
    written = ids[: subject.task.budget]
    completion[0, : len(written)] = written
    return bool(subject.task.stop(completion, np.array([len(written)]))[0])


@rule(
    mend="End the text on the step that writes an end id, or after which task.stop says that it ends",
    needs=(endings, budget),
)
def ends_at_once(subject: Subject) -> Iterator[str]:
    """An end id ends the text at once, and so does the task's own stop rule."""
    if subject.task.partner is not None:
        raise NotApplicableError("an end id ends a turn of a conversation, and the partner has a say in its end")
    ends = set(subject.task.tokenizer.eos_ids)
    for episode in subject.episodes:
        for count in range(1, len(episode.actions)):
            ids = episode.actions[:count]
            if ids[-1] in ends:
                yield f"a text went on after the ids {ids}, the last of which is an end id"
            if stops(subject, ids):
                yield f"a text went on after the ids {ids}, though task.stop ends it there"


@rule(mend="Raise textgym.errors.ActionError for ids below 0 and from V on: the pad id V is no action", needs=BASE)
def only_known_ids(subject: Subject) -> Iterator[str]:
    """An id outside the action space raises."""
    for wrong in (-1, subject.task.tokenizer.vocab_size):
        env = subject.single()
        env.reset(seed=0)
        if _accepts(partial(env.step, wrong)):
            yield f"step({wrong}) was accepted"
        if subject.has_vector:
            envs = subject.vector()
            envs.reset(seed=0)
            if _accepts(partial(envs.step, np.full(envs.num_envs, wrong))):
                yield f"the vector environment accepted the id {wrong}"


@rule(
    mend="Raise textgym.errors.EpisodeOverError in step() once the text has ended, until reset() is called",
    needs=(*BASE, budget, endings),
)
def after_end(subject: Subject) -> Iterator[str]:
    """A step after the end raises."""
    env = subject.single()
    _play_to_an_end(env, subject)
    if _accepts(partial(env.step, env.unwrapped.eos_id)):
        yield "step() was accepted after terminated=True"
    if subject.has_vector:
        envs = subject.vector(autoreset_mode=AutoresetMode.DISABLED)
        _play_to_an_end(envs, subject)
        if _accepts(partial(envs.step, np.full(envs.num_envs, envs.unwrapped.eos_id))):
            yield "the vector environment accepted a step of an ended lane in the autoreset mode Disabled"


def _play_to_an_end(env: Any, subject: Subject) -> None:
    """Plays until a text has ended, in some lane, which the budget sees to."""
    rng = subject.rng("to an end")
    output = apply(env, ("reset", {"seed": 0}))
    for _ in range(subject.task.budget):
        output = apply(env, choose(env, output, rng, seed=0))
        if np.any(output["terminated"]):
            return


def _accepts(step: Any) -> bool:
    try:
        step()
    except Exception:  # which one is the environment's own affair
        return False
    return True
