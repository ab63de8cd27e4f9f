"""Week 4, second half: the advantages and the clipped objective of PPO."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.course.assignment import Finding, Part
from textgym.course.sandbox import Student
from textgym.course.weeks.week_findings import ask, judge, pair
from textgym.course.weeks.week_replay import Rollout, draw_rollout
from textgym.course.weeks.week_targets import advantages, clipped_objective, masked_policy

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

ROWS = 12

# ---- advantages -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Estimates:
    """What a student is asked about advantages: rollouts, from simple to real."""

    discount: float
    decay: float
    whole: Rollout
    several: Rollout
    unfinished: Rollout
    real: Rollout


def draw_estimates(rng: np.random.Generator) -> Estimates:
    """Three made-up rollouts and a real one."""
    return Estimates(
        round(float(rng.uniform(0.85, 0.98)), 2),
        round(float(rng.uniform(0.6, 0.95)), 2),
        Rollout.of_one_text(rng),
        Rollout.of_several(rng),
        Rollout.unfinished(rng),
        draw_rollout(rng),
    )


def explain_estimates(variant: Estimates) -> str:
    """What is to be written."""
    return (
        "advantages(rewards, values, last_values, terminated, resets, discount, decay): generalised advantage "
        "estimates of a rollout with T steps and N lanes. values[t] belongs to the state before step t, last_values to "
        "the states after the last step. A text that ended has no value behind it. The vector environment restarts a "
        "lane in the step after an end: there resets is True, nobody acted, and the advantage is to be 0. "
        f"Your discount is {variant.discount}, your lambda (decay) {variant.decay}. "
        f"The last rollout is a real one, of {variant.real.lanes} lanes of {variant.real.source}."
    )


def grade_estimates(variant: Estimates, student: Student) -> Iterator[Finding]:
    """Each rollout in turn."""
    looks = (
        (8, "one whole text a lane", variant.whole, "Add up the errors r + discount * next value - value, each further "
         "one times discount * lambda once more."),
        (8, "several texts a lane, without restarts", variant.several, "Neither the next value nor the sum of later "
         "errors may cross an end: behind it another text begins."),
        (6, "lanes that are not finished", variant.unfinished, "The last step's next value is last_values."),
        (8, "a real rollout with restarts", variant.real, "Where resets is True nobody acted: 0 there."),
    )  # fmt: skip
    for points, name, rollout, look in looks:
        answer = ask(student, "advantages", *rollout.arguments, variant.discount, variant.decay)
        truth = advantages(*rollout.arguments, discount=variant.discount, decay=variant.decay)
        yield judge(points, f"the advantages of {name}", answer, truth, look)


# ---- the clipped objective ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Clipping:
    """What a student is asked about policies and PPO.

    Attributes:
        clip: How far a ratio may pay.
        logits: ``(B, V)`` of the policy that learns.
        old_logits: ``(B, V)`` of the one that wrote.
        masks: ``(B, V)``.
        actions: ``(B,)``.
        gains: ``(B,)``.
    """

    clip: float
    logits: Floats
    old_logits: Floats
    masks: Mask
    actions: NDArray[np.int64]
    gains: Floats

    @property
    def batch(self) -> tuple[Floats, Mask, NDArray[np.int64], Floats, Floats, float]:
        """The arguments of ``clipped_objective``."""
        old, _ = masked_policy(self.old_logits, self.masks)
        chosen = np.log(old[np.arange(len(self.actions)), self.actions])
        return self.logits, self.masks, self.actions, chosen, self.gains, self.clip


def draw_clipping(rng: np.random.Generator) -> Clipping:
    """A batch in which some ratios lie above, some below and some within the clip, with gains of both signs."""
    vocab_size = int(rng.integers(4, 8))
    while True:
        masks = rng.random((ROWS, vocab_size)) < 0.6
        masks[:, :2] = True
        masks[:, -1] = np.arange(ROWS) % 2 == 0  # some id is illegal somewhere, legal elsewhere
        logits = (rng.normal(size=masks.shape) + 4.0 * ~masks).round(2)  # it likes what is illegal
        old_logits = (logits + rng.normal(0.0, 0.6, size=masks.shape)).round(2)
        gains = np.where(np.arange(ROWS) % 2, 1.0, -1.0) * rng.uniform(0.2, 2.0, size=ROWS).round(2)
        drawn = Clipping(
            round(float(rng.uniform(0.1, 0.3)), 2), logits, old_logits, masks, rng.integers(2, size=ROWS), gains
        )
        if _is_telling(drawn):
            return drawn


def _is_telling(drawn: Clipping) -> bool:
    """Whether all four cases occur: a ratio outside the clip on either side, with either sign of the gain."""
    chances, _ = masked_policy(drawn.logits, drawn.masks)
    ratios = chances[np.arange(ROWS), drawn.actions] / np.exp(drawn.batch[3])
    high, low, good = ratios > 1.0 + drawn.clip, ratios < 1.0 - drawn.clip, drawn.gains > 0
    return all(case.any() for case in (high & good, high & ~good, low & good, low & ~good))


def explain_clipping(variant: Clipping) -> str:
    """What is to be written."""
    return (
        "masked_policy(logits, masks): the probabilities of a softmax over the legal ids, and the entropy of each row "
        "in nats; logits may be in the thousands. And clipped_objective(logits, masks, actions, old_log_probs, "
        "advantages, clip): PPO's objective, the mean over the batch, to be maximised, and its gradient with respect "
        f"to the logits, an array of the same shape. Your clip is {variant.clip}, your vocabulary has "
        f"{variant.logits.shape[1]} ids. NumPy suffices; torch's autograd is welcome where it is installed."
    )


def grade_clipping(variant: Clipping, student: Student) -> Iterator[Finding]:
    """Probabilities, entropy and large logits; value and gradient."""
    chances, entropy = masked_policy(variant.logits, variant.masks)
    found, found_entropy = pair(ask(student, "masked_policy", variant.logits, variant.masks))
    yield judge(
        6,
        "the probabilities of masked_policy",
        found,
        chances,
        "Mask the logits before the softmax: illegal ids have probability 0, and the legal ones add up to 1.",
    )
    yield judge(
        4,
        "the entropies of masked_policy",
        found_entropy,
        entropy,
        "Minus the sum of p log p over the legal ids; an id of probability 0 adds 0, not a NaN.",
    )
    large = variant.logits * 5000.0
    found, _ = pair(ask(student, "masked_policy", large, variant.masks))
    yield judge(
        3,
        "the probabilities for logits in the thousands",
        found,
        masked_policy(large, variant.masks)[0],
        "Take the largest legal logit off a row before exp, which overflows above 709.",
    )
    value, slopes = clipped_objective(
        variant.logits, variant.masks, variant.actions, variant.batch[3], variant.gains, clip=variant.clip
    )
    found, found_slopes = pair(ask(student, "clipped_objective", *variant.batch))
    yield judge(
        5,
        "the value of clipped_objective",
        found,
        value,
        "The mean of min(ratio * advantage, clipped ratio * advantage), with ratio = exp(new - old log-probability).",
    )
    yield judge(
        7,
        "the gradient of clipped_objective",
        found_slopes,
        slopes,
        "Where the clipped term is the smaller one nothing moves; elsewhere it is ratio * advantage * (one-hot - "
        "probabilities), divided by the size of the batch.",
    )


ESTIMATES = Part(
    name="advantages",
    points=30,
    needs=("advantages",),
    draw=draw_estimates,
    explain=explain_estimates,
    grade=grade_estimates,
)
CLIPPING = Part(
    name="clipping",
    points=25,
    needs=("masked_policy", "clipped_objective"),
    draw=draw_clipping,
    explain=explain_clipping,
    grade=grade_clipping,
)
