"""Rules without which the others mean little: everything runs, and what the task brings along can be relied on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.checks.recording import record
from textgym.checks.rules import NotApplicableError, rule
from textgym.checks.subject import Subject
from textgym.episodes import EpisodeBatch
from textgym.errors import RewardError
from textgym.scoring import Scorer


@rule(mend="Outside the checker the traceback of the same call says where")
def plays(subject: Subject) -> Iterable[str]:
    """Environments can be made, reset and stepped without an error."""
    with suppress(RewardError):  # which has a rule of its own
        _ = subject.episodes
        for make, events in subject.makers.values():
            record(make(), events, subject.rng("plays"), seed=0)
    return ()


@rule(
    mend="Return one finite number for every text, the empty and the longest ones included, and let no exception out",
    needs=(plays,),
)
def reward_finite(subject: Subject) -> Iterator[str]:
    """The reward and gold are one finite number for every text, and the environment pays Python floats."""
    for score in subject.scores.values():
        Scorer(score)(subject.texts)
    for episode in subject.episodes:
        for step in episode.steps:
            paid = step.output["reward"]
            if not isinstance(paid, float) or not np.isfinite(paid):
                yield f"step() paid {paid!r} of type {type(paid).__name__}, expected a finite float"


@rule(
    mend="Leave the end id where nothing else is allowed: an agent must always have something to write",
    needs=(reward_finite,),
)
def masks_leave_a_choice(subject: Subject) -> Iterator[str]:
    """In no state are all ids forbidden."""
    for episode in subject.episodes:
        for number, step in enumerate(episode.steps):
            if not step.mask.any():
                yield f"after {number} tokens {episode.actions[:number]} action_masks() is False for every id"


@rule(
    mend="Compute each row from its own text alone, write into nothing, and say static=True only where no mask changes",
    needs=(masks_leave_a_choice,),
)
def constraints(subject: Subject) -> Iterator[str]:
    """Constraints and the stop rule judge each text by itself, and a static constraint judges all alike."""
    task, texts = subject.task, _prefixes(subject.texts)
    if not task.constraints and task.stop is None:
        raise NotApplicableError("the task has neither constraints nor a stop rule")
    for constraint in task.constraints:
        yield from _alone(f"the constraint {constraint!r}", lambda *rows, c=constraint: c(task.tokenizer, *rows), texts)
        masks = constraint(task.tokenizer, *texts)
        if constraint.static and (masks != masks[0]).any():
            yield f"{constraint!r} says static=True, but its mask depends on the text"
        if masks.dtype != bool or masks.shape != (len(texts[1]), task.tokenizer.vocab_size):
            yield f"{constraint!r} returned shape {masks.shape} of type {masks.dtype}, expected bool (B, V)"
    if task.stop is not None:
        yield from _alone("the stop rule", task.stop, texts)


Texts = tuple[NDArray[np.int32], NDArray[np.int64]]


def _prefixes(batch: EpisodeBatch) -> Texts:
    """Texts cut at various places: ids ``(B, T)`` and lengths ``(B,)``."""
    cuts = np.minimum(batch.lengths - 1, np.arange(len(batch)) % (batch.completion_ids.shape[1] + 1))
    rest = np.arange(batch.completion_ids.shape[1]) >= cuts[:, None]
    return np.where(rest, np.int32(batch.tokenizer.vocab_size), batch.completion_ids), cuts


def _alone(what: str, judge: Callable[..., NDArray[Any]], texts: Texts) -> Iterator[str]:
    lent = texts[0].copy(), texts[1].copy()
    together = judge(*lent)
    if not (np.array_equal(lent[0], texts[0]) and np.array_equal(lent[1], texts[1])):
        yield f"{what} writes into the ids or lengths that it is given"
    for row in range(min(len(together), 32)):
        ids, lengths = texts[0][row : row + 1].copy(), texts[1][row : row + 1].copy()
        if not np.array_equal(judge(ids, lengths)[0], together[row]):
            yield f"{what} judges the ids {ids[0, : lengths[0]].tolist()} alone otherwise than among others"


BASE = (plays, reward_finite, masks_leave_a_choice, constraints)
