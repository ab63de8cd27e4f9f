"""The rule that a vector environment is many single ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gymnasium.vector import AutoresetMode, SyncVectorEnv

from textgym.checks.copies import deep_copies, fresh_arrays, pickles, states
from textgym.checks.ending import stop_reason, what_was_written
from textgym.checks.masks import masks_decide
from textgym.checks.observing import observations
from textgym.checks.payment import scores_told
from textgym.checks.prompting import prompts
from textgym.checks.recording import compare, look_at_masks, record, replay
from textgym.checks.rules import NotApplicableError, rule
from textgym.checks.scores import reward_in_range
from textgym.checks.seeding import seeds_differ
from textgym.checks.subject import Subject
from textgym.checks.transitions import after_end

LANES = (1, 2, 7)


@rule(
    mend="Let both environments share one core (textgym.core.GenerationCore); lane i seeded with s is the single one "
    "seeded with s + i",
    needs=(
        *(observations, prompts, after_end, what_was_written, stop_reason, masks_decide, seeds_differ),
        *(reward_in_range, scores_told, fresh_arrays, pickles, deep_copies, states),
    ),
)
def vector_equals_single(subject: Subject) -> Iterator[str]:
    """A vector environment of 1, 2 or 7 lanes equals as many single ones, in each of the three autoreset modes."""
    if not subject.has_vector:
        raise NotApplicableError("the id has no vector_entry_point")
    for mode in AutoresetMode:
        for lanes in LANES:
            where = f"num_envs={lanes}, autoreset mode {mode.value}"
            native = subject.vector(lanes, autoreset_mode=mode, text_infos=True)
            singles: Any = SyncVectorEnv([subject.single] * lanes, autoreset_mode=mode)
            for space in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
                if getattr(native, space) != getattr(singles, space):
                    yield f"{space} is {getattr(native, space)}, of single ones {getattr(singles, space)} ({where})"
            count, rng = subject.effort.lane_events, subject.rng("lanes")
            events, outputs = record(native, count, rng, seed=12, look=look_at_masks)
            expected = replay(singles, events, look=look_at_masks)
            if found := compare(outputs, expected, tolerance=subject.tolerance):
                yield f"the vector environment and single ones differ ({where}): {found}"
