"""Rules about which ids may be written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from textgym.checks.basics import BASE
from textgym.checks.comparing import adds_up
from textgym.checks.ending import ending_info
from textgym.checks.rules import rule
from textgym.checks.subject import Subject


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
        paid = [step.output["reward"] for step in episode.steps]
        if not episode.legal and not adds_up(paid, price, 0.0):
            yield f"an illegal text earned {sum(paid):g}, expected {price:g}"
