"""Rules about which ids may be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.checks.ending import ending_info
from textgym.checks.rules import NotApplicableError, rule
from textgym.checks.subject import Subject
from textgym.checks.transitions import BASE
from textgym.episodes import EpisodeBatch


@rule(mend="Derive info['action_mask'] and action_masks() from one source, in the state after the step", needs=BASE)
def masks_agree(subject: Subject) -> Iterator[str]:
    """action_masks() is a bool array (V,) and says what info['action_mask'] says."""
    size = subject.task.tokenizer.vocab_size
    for episode in subject.episodes:
        infos = [output["info"] for output in episode.outputs][:-1]  # those before a step
        for number, (step, info) in enumerate(zip(episode.steps, infos, strict=True)):
            if step.mask.shape != (size,) or step.mask.dtype != bool:
                yield f"action_masks() has shape {step.mask.shape} and type {step.mask.dtype}, expected ({size},) bool"
            elif "action_mask" in info and not np.array_equal(info["action_mask"], step.mask):
                ids = np.flatnonzero(info["action_mask"] != step.mask)[:5].tolist()
                yield f"after {number} tokens info['action_mask'] and action_masks() differ on the ids {ids}"


@rule(
    mend="End the text with stop_reason 'illegal' and pay the illegal reward exactly when the mask forbids the id",
    needs=(ending_info, masks_agree),
)
def masks_decide(subject: Subject) -> Iterator[str]:
    """An id that the mask forbids ends the text as illegal and pays the illegal reward; an allowed one never does."""
    price = subject.scorer.illegal_reward
    for episode in subject.episodes:
        for number, step in enumerate(episode.steps):
            allowed = bool(step.mask[step.action])
            reason = step.output["info"].get("stop_reason")
            if allowed == (reason == "illegal"):
                state = "allowed" if allowed else "forbidden"
                yield f"the {state} id {step.action} after {number} tokens gave stop_reason {reason!r}"
        paid = sum(step.output["reward"] for step in episode.steps)
        if not episode.legal and abs(paid - price) > 1e-9:
            yield f"an illegal text earned {paid:g}, expected {price:g}"


@rule(
    mend="Compute each row from its own text alone, and say static=True only where the mask never changes",
    needs=BASE,
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
    together = judge(*texts)
    for row in range(min(len(together), 32)):
        ids, lengths = texts[0][row : row + 1].copy(), texts[1][row : row + 1].copy()
        if not np.array_equal(judge(ids, lengths)[0], together[row]):
            yield f"{what} judges the ids {ids[0, : lengths[0]].tolist()} alone otherwise than among others"
