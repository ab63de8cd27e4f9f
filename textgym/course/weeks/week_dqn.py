"""Week 4, first half: the targets of DQN and of double DQN."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.course.assignment import Finding, Part
from textgym.course.sandbox import Student
from textgym.course.weeks.week_findings import ask, judge
from textgym.course.weeks.week_replay import Sweeps, draw_sweeps
from textgym.course.weeks.week_targets import double_q_targets, q_targets

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

ROWS = 12

# ---- targets of a replay batch ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Batch:
    """Transitions out of a replay buffer.

    Attributes:
        rewards: ``(B,)``.
        terminated: ``(B,)`` whether the text ended.
        truncated: ``(B,)`` whether it was only cut short.
        online: ``(B, V)`` values of the next states by the network that learns.
        target: ``(B, V)`` values by its older copy.
        masks: ``(B, V)`` legal ids in the next states.
    """

    rewards: Floats
    terminated: Mask
    truncated: Mask
    online: Floats
    target: Floats
    masks: Mask

    def q_answer(self, student: Student, discount: float) -> object:
        """The student's targets."""
        return ask(
            student, "q_targets", self.rewards, self.terminated, self.truncated, self.target, self.masks, discount
        )

    def q_truth(self, discount: float) -> Floats:
        """The right ones."""
        return q_targets(self.rewards, self.terminated, self.target, self.masks, discount)

    def double_answer(self, student: Student, discount: float) -> object:
        """The student's double targets."""
        batch = (self.rewards, self.terminated, self.truncated, self.online, self.target, self.masks)
        return ask(student, "double_q_targets", *batch, discount)

    def double_truth(self, discount: float) -> Floats:
        """The right ones."""
        return double_q_targets(self.rewards, self.terminated, self.online, self.target, self.masks, discount)


def draw_batch(rng: np.random.Generator, *, ends: bool = False, cuts: bool = False, masks: bool = False) -> Batch:
    """A batch in which texts end, are cut short, or have illegal ids that the networks think much of."""
    vocab_size = int(rng.integers(4, 8))
    online, target = rng.normal(size=(2, ROWS, vocab_size))  # not rounded, so that no two values are the same
    legal = np.ones((ROWS, vocab_size), dtype=bool)
    if masks:
        legal = rng.random((ROWS, vocab_size)) < 0.5
        legal[np.arange(ROWS), rng.integers(vocab_size, size=ROWS)] = True
        legal[:2] = False
        legal[[0, 1], [0, vocab_size - 1]] = True
        online, target = (np.where(legal, q, q + 4.0) for q in (online, target))
    thirds = rng.permutation(ROWS) % 3 == 0
    if masks:  # a text goes on where all legal values lie below 0: a mask that multiplies would choose an illegal 0
        row = int(np.flatnonzero(~(thirds & ends))[0])
        for q in (online, target):
            q[row] = np.where(legal[row], -0.5 - np.abs(q[row]), q[row])
    return Batch(rng.normal(size=ROWS).round(2), thirds & ends, thirds & cuts, online, target, legal)


@dataclass(frozen=True, eq=False)
class Targets:
    """What a student is asked about targets."""

    discount: float
    plain: Batch
    ends: Batch
    cuts: Batch
    masks: Batch
    sweeps: Sweeps


def draw_targets(rng: np.random.Generator) -> Targets:
    """A student's batches, and a prompt of Brackets for the sweeps."""
    return Targets(
        round(float(rng.uniform(0.8, 0.97)), 2),
        draw_batch(rng),
        draw_batch(rng, ends=True),
        draw_batch(rng, cuts=True),
        draw_batch(rng, masks=True),
        draw_sweeps(rng),
    )


def explain_targets(variant: Targets) -> str:
    """What is to be written."""
    return (
        "q_targets(rewards, terminated, truncated, next_q, next_masks, discount): the numbers that DQN fits its "
        "network to, one for each transition of a replay batch. next_q has the target network's values of all ids in "
        "the next state, next_masks which of them are legal there. A text that ended has no future; one that was only "
        f"cut short has. Your discount is {variant.discount}. In the end your function is swept over every state of "
        f"the prompt {variant.sweeps.prompt!r} of Brackets, and the greedy policy of the table has to be optimal."
    )


def grade_targets(variant: Targets, student: Student) -> Iterator[Finding]:
    """Plain targets, ends, cuts, masks; then Q* by sweeps."""
    discount = variant.discount
    looks = {
        "a batch in which every text goes on": (
            6, variant.plain, "A target is the reward plus the discount times the largest next value."),
        "a batch with texts that ended": (
            7, variant.ends, "What a network says of the state behind an end means nothing: the target is the reward."),
        "a batch with texts that were cut short": (
            5, variant.cuts, "A cut is no end: such a text would have gone on, so its next value counts."),
        "a batch with illegal next ids": (
            7, variant.masks, "The maximum runs over legal ids alone; no policy can take the others."),
    }  # fmt: skip
    for asked, (points, batch, look) in looks.items():
        yield judge(points, f"the targets of {asked}", batch.q_answer(student, discount), batch.q_truth(discount), look)
    yield from variant.sweeps.grade(student, discount, points=5)


# ---- double Q -------------------------------------------------------------------------------------------------------


def draw_double(rng: np.random.Generator) -> tuple[float, Batch, Batch]:
    """A discount, a batch that goes on, and one with ends and masks."""
    return round(float(rng.uniform(0.8, 0.97)), 2), draw_batch(rng), draw_batch(rng, ends=True, masks=True)


def explain_double(variant: tuple[float, Batch, Batch]) -> str:
    """What is to be written."""
    return (
        "double_q_targets(rewards, terminated, truncated, next_online, next_target, next_masks, discount): the "
        "target of double DQN. The network that learns (next_online) chooses the next id among the legal ones; its "
        f"older copy (next_target) says what that id is worth. Your discount is {variant[0]}."
    )


def grade_double(variant: tuple[float, Batch, Batch], student: Student) -> Iterator[Finding]:
    """Who chooses and who values; then ends and masks."""
    discount, plain, hard = variant
    yield judge(
        9,
        "the double targets of a batch in which every text goes on",
        plain.double_answer(student, discount),
        plain.double_truth(discount),
        "The id is the argmax of next_online; its value is read from next_target.",
    )
    yield judge(
        6,
        "the double targets of a batch with ends and illegal ids",
        hard.double_answer(student, discount),
        hard.double_truth(discount),
        "The same two rules as before: nothing behind an end, and no illegal choice.",
    )


TARGETS = Part(
    name="targets",
    points=30,
    needs=("q_targets",),
    draw=draw_targets,
    explain=explain_targets,
    grade=grade_targets,
)
DOUBLE = Part(
    name="double targets",
    points=15,
    needs=("double_q_targets",),
    draw=draw_double,
    explain=explain_double,
    grade=grade_double,
)
