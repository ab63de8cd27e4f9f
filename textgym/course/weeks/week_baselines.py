"""Week 5, second half: a baseline that keeps the gradient unbiased, and the divergence from a reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.course.assignment import Finding, Part, shown
from textgym.course.sandbox import Student
from textgym.course.weeks.week_findings import ask, difference, idle, judge, misfit
from textgym.course.weeks.week_texts import (
    Texts,
    all_texts,
    bigram_logits,
    divergence,
    gather,
    gradient,
    text_log_probs,
)

Floats = NDArray[np.float64]

PROMPTS, GROUP = 4, 5


# ---- the baseline ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Baseline:
    """What a student is asked about baselines.

    Attributes:
        returns: ``(P, K)`` of K texts to each of P prompts.
        texts: All texts of a small vocabulary.
        table: ``(V, V)`` a policy.
        worths: ``(L,)`` the return of each text.
    """

    returns: Floats
    texts: Texts
    table: Floats
    worths: Floats


def draw_baseline(rng: np.random.Generator) -> Baseline:
    """Prompts of different difficulty, and a policy on 40 texts."""
    texts = all_texts(4, 3)
    difficulty = rng.normal(0.0, 3.0, size=(PROMPTS, 1))
    return Baseline(
        (difficulty + rng.normal(size=(PROMPTS, GROUP))).round(2),
        texts,
        rng.normal(size=(4, 4)).round(2),
        (5.0 + rng.normal(size=len(texts.tokens))).round(2),
    )


def explain_baseline(variant: Baseline) -> str:
    """What is to be written."""
    return (
        "leave_one_out(returns): the advantages of K texts to each of P prompts, (P, K): a text's return minus the "
        "mean return of the OTHER texts to its prompt. In the end you get every pair of texts that a policy may write, "
        f"{len(variant.worths)} times {len(variant.worths)}, and the gradient with your advantages, weighted by the "
        "probability of each pair, has to be the exact gradient of the mean return: that is what unbiased means."
    )


def grade_baseline(variant: Baseline, student: Student) -> Iterator[Finding]:
    """The advantages themselves; then the expected gradient over all pairs of texts."""
    count = GROUP - 1
    others = (variant.returns.sum(axis=1, keepdims=True) - variant.returns) / count
    yield judge(
        10,
        f"the advantages of {GROUP} texts to each of {PROMPTS} prompts",
        ask(student, "leave_one_out", variant.returns),
        variant.returns - others,
        "The baseline of a text is the mean of the other texts to the same prompt, and nothing is divided afterwards.",
    )
    yield _unbiased(variant, student)


def _unbiased(variant: Baseline, student: Student) -> Finding:
    texts, worths = variant.texts, variant.worths
    count = len(worths)
    logits = bigram_logits(variant.table, texts)
    chances = np.exp(text_log_probs(logits, texts))
    first, second = np.divmod(np.arange(count**2), count)
    answer = ask(student, "leave_one_out", np.stack([worths[first], worths[second]], axis=1))
    asked = f"the expected gradient with your advantages, over all {count**2:,} pairs of texts"
    if came := misfit(answer, count**2, 2):
        return Finding(10, False, asked, came)
    halves = 0.5 * (chances[first] * chances[second])[:, None] * np.asarray(answer, dtype=np.float64)
    sums = np.bincount(first, halves[:, 0], count) + np.bincount(second, halves[:, 1], count)
    gains = np.asarray(sums, dtype=np.float64)
    found, exact = (gather(gradient(logits, texts, count * weights), texts) for weights in (gains, chances * worths))
    ratio = float((found * exact).sum() / (exact**2).sum())
    off = float(np.abs(found - exact).max() / np.abs(exact).max())
    came = f"it is {shown(ratio)} times as long along the exact one, and up to {shown(100 * off)} % away from it"
    look = "A baseline that contains the text's own return takes part of the signal away; dividing changes it, too."
    return Finding(10, off < 1e-6, asked, came, look)


# ---- the divergence --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Divergence:
    """What a student is asked about the divergence: two policies on all texts.

    Attributes:
        texts: All texts.
        logits: ``(L, T, V)`` of the policy; where padding stands they say anything.
        reference: ``(L, T, V)`` of the reference, likewise.
        noise: ``(L, T, V)`` other numbers for the places of padding.
    """

    texts: Texts
    logits: Floats
    reference: Floats
    noise: Floats

    def answer(self, student: Student, logits: Floats, reference: Floats) -> Any:
        """The student's estimates."""
        return ask(student, "kl_per_text", logits, reference, self.texts.tokens, self.texts.lengths)

    def changed(self) -> tuple[Floats, Floats]:
        """Both with other numbers where padding stands."""
        written = self.texts.written[..., None]
        return np.where(written, self.logits, self.noise), np.where(written, self.reference, -self.noise)


def draw_divergence(rng: np.random.Generator) -> Divergence:
    """Two random policies that see the token before."""
    texts = all_texts(4, 4)
    tables = rng.normal(size=(2, 4, 4)).round(2)
    noise = rng.normal(size=(3, len(texts.tokens), 4, 4)).round(2)
    own, other = (
        np.where(texts.written[..., None], bigram_logits(table, texts), padding)
        for table, padding in zip(tables, noise[:2], strict=True)
    )
    return Divergence(texts, own, other, noise[2])


def explain_divergence(variant: Divergence) -> str:
    """What is to be written."""
    return (
        "kl_per_text(logits, reference_logits, tokens, lengths): for each text that the policy wrote, an estimate of "
        "KL(policy || reference) in nats a text. Any unbiased estimate will do: the sum over tokens of the difference "
        "of log-probabilities, or the exact divergence of the distributions at each token, added up. You get all "
        f"{len(variant.texts.lengths)} texts, and your numbers, weighted by the policy's probabilities, have to be the "
        "exact divergence."
    )


def grade_divergence(variant: Divergence, student: Student) -> Iterator[Finding]:
    """The expectation over all texts; then padding, then a policy that is its own reference."""
    texts = variant.texts
    policy, reference = (text_log_probs(logits, texts) for logits in (variant.logits, variant.reference))
    answer = variant.answer(student, variant.logits, variant.reference)
    yield _expected(answer, policy, reference)
    again = variant.answer(student, *variant.changed())
    silent = misfit(answer, len(policy)) or idle(answer)
    came = silent or misfit(again, len(policy)) or difference(again, answer)
    yield Finding(
        5,
        not came,
        "the estimates with other logits where padding stands",
        came,
        "What a model says at places of padding is about no token: your numbers must not change.",
    )
    came = silent or difference(variant.answer(student, variant.logits, variant.logits), np.zeros(len(policy)))
    look = "A policy does not diverge from itself, on no text; from another one it does."
    yield Finding(3, not came, "the estimates where the reference is the policy itself", came, look)


def _expected(answer: Any, policy: Floats, reference: Floats) -> Finding:
    exact = divergence(policy, reference)
    asked = f"the mean of kl_per_text over all {len(policy)} texts, by their probabilities"
    look = "Divergences have a direction: the mean is over texts of the policy, of log policy - log reference."
    if came := misfit(answer, len(policy)):
        return Finding(12, False, asked, came, look)
    mean = float(np.exp(policy) @ np.asarray(answer))
    if abs(mean - divergence(reference, policy)) < 1e-6 or abs(mean + exact) < 1e-6:
        look = "That is the divergence the wrong way round. " + look
    came = f"it is {shown(mean)}, where the exact divergence is {shown(exact)} nats a text"
    return Finding(12, abs(mean - exact) < 1e-6, asked, came, look)


BASELINE = Part(
    name="baseline",
    points=20,
    needs=("leave_one_out",),
    draw=draw_baseline,
    explain=explain_baseline,
    grade=grade_baseline,
)
DIVERGENCE = Part(
    name="divergence",
    points=20,
    needs=("kl_per_text",),
    draw=draw_divergence,
    explain=explain_divergence,
    grade=grade_divergence,
)
