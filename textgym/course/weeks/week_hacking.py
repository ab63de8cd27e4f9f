"""Week 7, first half: the policies that best-of-n and a price on divergence lead to, as exact distributions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.course.assignment import Finding, Part
from textgym.course.sandbox import Student
from textgym.course.weeks.week_findings import ask, judge
from textgym.course.weeks.week_optimisation import best_of_n, divergence, tilted

Floats = NDArray[np.float64]

FINE = 1e-9  # of probabilities: most of them are small
LARGE_N = 200_000
ROUGH = 1e-7  # of powers with so large an exponent: they multiply rounding errors by it
HARD = 1e-4  # a temperature: the next best text is a hundred nats away


@dataclass(frozen=True, eq=False)
class Choice:
    """Texts, how likely the reference writes each, and what a proxy says of them.

    Attributes:
        reference: ``(L,)`` probabilities.
        proxy: ``(L,)`` no two the same.
        ties: ``(L,)`` a proxy that likes many texts alike.
        never: ``(L,)`` probabilities, a third of them 0.
        n: How many draws.
        temperature: The price of a nat.
    """

    reference: Floats
    proxy: Floats
    ties: Floats
    never: Floats
    n: int
    temperature: float


def draw_choice(rng: np.random.Generator) -> Choice:
    """Forty texts, of which the proxy likes the first best; the reference without a third of them lacks that one."""
    count = 40
    reference = rng.dirichlet(np.full(count, 0.7)) + 1e-4
    never = np.where(np.arange(count) % 3 == 0, 0.0, reference)
    order = rng.permutation(count - 1)
    proxy = np.concatenate([[count + 10], order]) / 10.0 + rng.uniform(0.0, 0.08, size=count).round(3)
    return Choice(
        reference / reference.sum(),
        proxy,
        np.floor(proxy),
        never / never.sum(),
        int(rng.integers(3, 9)),
        round(float(rng.uniform(0.3, 0.8)), 2),
    )


# ---- best of n ------------------------------------------------------------------------------------------------------


def explain_best(variant: Choice) -> str:
    """What is to be written."""
    return (
        "best_of_n(reference, proxy, n): the exact probability of each text to be kept when n texts are drawn from "
        "the reference and the one with the highest proxy is kept; of draws with equal proxies each is as likely to "
        "be the one. reference (L,) has the probabilities of all texts, some of them 0, proxy (L,) their scores. "
        f"Nothing is to be sampled: an error of {FINE:g} is too large. Your n is {variant.n}, and in the end "
        f"{LARGE_N:,}."
    )


def grade_best(variant: Choice, student: Student) -> Iterator[Finding]:
    """Without ties, with ties, with texts that are never written, and with many draws."""
    cases = (
        (10, f"the best of {variant.n} without ties", variant.reference, variant.proxy, variant.n,
         "A text is the best when all draws lie at or below it and not all of them lie below: F^n - (F-)^n."),
        (10, f"the best of {variant.n} with ties", variant.reference, variant.ties, variant.n,
         "Texts with equal proxies share what their value gets, in proportion to the reference."),
        (4, "texts that the reference never writes", variant.never, variant.ties, variant.n,
         "What is never drawn is never kept: probability 0, whatever its proxy, and no division by 0."),
        (6, f"the best of {LARGE_N:,}", variant.reference, variant.ties, LARGE_N,
         "The probabilities still add up to 1, all of them on the texts with the highest value."),
    )  # fmt: skip
    for points, name, reference, proxy, n, look in cases:
        answer = ask(student, "best_of_n", reference, proxy, n)
        fine = FINE if n < LARGE_N else ROUGH
        yield judge(points, name, answer, best_of_n(reference, proxy, n), look, tolerance=fine)


# ---- the tilted policy ----------------------------------------------------------------------------------------------


def explain_tilted(variant: Choice) -> str:
    """What is to be written."""
    return (
        "tilted(reference, proxy, temperature): the policy in proportion to reference * exp(proxy / temperature), the "
        "best one where a nat of divergence from the reference costs so much. And divergence(policy, reference): "
        f"KL(policy || reference) in nats, for policies that never write some texts. An error of {FINE:g} in a "
        f"probability is too large. Your temperature is {variant.temperature}, and in the end {HARD:g}."
    )


def grade_tilted(variant: Choice, student: Student) -> Iterator[Finding]:
    """A mild tilt, a hard one, texts that are never written; then divergences."""
    cases = (
        (9, f"the policy tilted at temperature {variant.temperature}", variant.reference, variant.temperature,
         "Multiply by exp(proxy / temperature) and divide by the sum over all texts."),
        (5, f"the policy tilted at temperature {HARD:g}", variant.reference, HARD,
         "Take the largest exponent off before exp, which overflows above 709."),
        (4, "texts that the reference never writes", variant.never, HARD,
         "They stay at 0: take the largest exponent among the texts that are written."),
    )  # fmt: skip
    for points, name, reference, temperature, look in cases:
        answer = ask(student, "tilted", reference, variant.proxy, temperature)
        yield judge(points, name, answer, tilted(reference, variant.proxy, temperature), look, tolerance=FINE)
    policy = tilted(variant.reference, variant.proxy, variant.temperature)
    for points, name, one, look in (
        (4, "the divergence of a tilted policy", policy,
         "The mean is under the policy, of log(policy / reference)."),
        (3, "the divergence of a policy that never writes some texts", variant.never,
         "0 log 0 is 0: leave out what the policy never writes, and do not turn it into NaN."),
    ):  # fmt: skip
        answer = ask(student, "divergence", one, variant.reference)
        yield judge(points, name, answer, divergence(one, variant.reference), look)


BEST = Part(
    name="best of n",
    points=30,
    needs=("best_of_n",),
    draw=draw_choice,
    explain=explain_best,
    grade=grade_best,
)
TILTED = Part(
    name="tilted policy",
    points=25,
    needs=("tilted", "divergence"),
    draw=draw_choice,
    explain=explain_tilted,
    grade=grade_tilted,
)
