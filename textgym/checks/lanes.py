"""The rules that a vector environment is many single ones, and says rightly what its ended texts were paid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from textgym.checks.comparing import adds_up
from textgym.checks.copies import deep_copies, fresh_arrays, pickles, states
from textgym.checks.ending import stop_reason, what_was_written
from textgym.checks.masks import masks_decide
from textgym.checks.observing import observations
from textgym.checks.payment import scores_told
from textgym.checks.prompting import prompts
from textgym.checks.recording import Output, apply, choose, compare, look_at_masks, quote, record, replay
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


@rule(
    mend="Keep last_rows, last_episodes and last_returns of the lanes whose texts ended in this step, in one order, "
    "and forget them at the next step",
    needs=(vector_equals_single,),
)
def last_texts(subject: Subject) -> Iterator[str]:
    """A vector environment's last_episodes and last_returns are the texts that ended in this step and their pay."""
    if not subject.has_vector:
        raise NotApplicableError("the id has no vector_entry_point")
    for mode in AutoresetMode:
        diary, rng = _Diary(subject.vector(autoreset_mode=mode)), subject.rng("last texts")
        for _ in range(subject.effort.lane_events):
            diary.play(rng)
            for seen in diary.wrong(subject.tolerance):
                yield f"{seen} (autoreset mode {mode.value})"


class _Diary:
    """What was written in each lane and what it was paid so far, from what went in and came out of the steps."""

    def __init__(self, envs: Any) -> None:
        self.envs = envs
        self.last: Output | None = None
        self.skips = envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
        self.ended = np.zeros(envs.num_envs, dtype=bool)
        self.written: list[list[int]] = [[] for _ in self.ended]
        self.paid: list[list[float]] = [[] for _ in self.ended]

    def play(self, rng: np.random.Generator) -> None:
        """One event more."""
        event = choose(self.envs, self.last, rng, seed=31)
        self.last = apply(self.envs, event)
        for lane in np.flatnonzero(self.ended):
            self.written[lane], self.paid[lane] = [], []
        if event[0] == "step":
            for lane in np.flatnonzero(~(self.ended & self.skips)):
                self.written[lane].append(int(event[1][lane]))
                self.paid[lane].append(float(self.last["reward"][lane]))
        self.ended = np.array(self.last.get("terminated", np.zeros_like(self.ended)))

    def wrong(self, tolerance: float) -> Iterator[str]:
        """What the environment says wrongly of the texts that have just ended."""
        base, lanes = self.envs.unwrapped, np.flatnonzero(self.ended).tolist()
        texts, rows, returns = base.last_episodes, base.last_rows.tolist(), base.last_returns.tolist()
        said = 0 if texts is None else len(texts)
        if rows != lanes or len(returns) != len(lanes) or said != len(lanes):
            yield f"lanes {lanes} ended, but last_rows is {rows}, last_returns {returns}, and there are {said} texts"
            return
        for number, lane in enumerate(lanes):
            ids = [index for side, turn in texts.turns(number) if side == "agent" for index in turn]
            if ids != self.written[lane]:
                yield f"lane {lane} wrote the ids {self.written[lane]}, last_episodes says {ids}"
            if not adds_up(self.paid[lane], returns[number], tolerance):
                yield f"{quote(texts, number)} was paid {sum(self.paid[lane]):g}, last_returns says {returns[number]:g}"
