"""Week 7, second half: where gold peaks while the proxy climbs, and what an ensemble's lowest score is good for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.course.assignment import Finding, Part, shown
from textgym.course.sandbox import Student
from textgym.course.weeks.week_findings import Silence, ask, difference, idle, misfit
from textgym.course.weeks.week_optimisation import CurvePoint, curve, pessimistic

Floats = NDArray[np.float64]

TASK = "TextGen/Proxy-v0"
DRAWS = tuple(2**power for power in range(13))
PAIRS = 40  # comparisons that a reward model is fitted to: few enough to go wrong
MEMBERS = 4


@dataclass(frozen=True, eq=False)
class Fitted:
    """All texts to one prompt of Proxy, with their true scores and reward models fitted to few comparisons.

    Attributes:
        prompt: The prompt.
        reference: ``(L,)`` how likely random play writes each text.
        gold: ``(L,)`` true scores.
        proxies: ``(M, L)`` of each reward model, on a scale of its own.
    """

    prompt: str
    reference: Floats
    gold: Floats
    proxies: Floats


def fit_proxies(rng: np.random.Generator, kind: str, count: int) -> Fitted:
    """Reward models of one class, each fitted to comparisons of its own, rounded so that equal scores are equal."""
    from textgym.factory import EnvFactory
    from textgym.overoptimisation.population import populate
    from textgym.overoptimisation.proxies import Fitter, simulate

    population = populate(EnvFactory(TASK, {"level": "hard"}))
    task = population.config.task
    assert task.gold is not None
    group = int(rng.integers(len(population.groups)))
    scores = []
    for penalty in np.geomspace(0.05, 5.0, count).tolist():
        judged = simulate(population, task.gold, PAIRS, temperature=0.1, seed=int(rng.integers(2**31)))
        model = Fitter(judged, task, penalty=penalty).fit(kind)
        scores.append(np.round(population.score(model)[group], 3))
    return Fitted(
        task.prompts.texts[int(population.groups[group][0])],
        population.base[group],
        np.round(population.score(task.gold)[group], 6),
        np.array(scores),
    )


# ---- the curve ------------------------------------------------------------------------------------------------------


def draw_hacked(rng: np.random.Generator) -> Fitted:
    """A proxy that knows words but not their order, whose gold peaks on the way."""
    while True:
        fitted = fit_proxies(rng, "unigram", 1)
        golds = [point.gold for point in points_of(fitted)]
        best = int(np.argmax(golds))
        if 0 < best < len(golds) - 1 and golds[best] - sorted(golds)[-2] > 1e-4:
            return fitted


def points_of(fitted: Fitted) -> list[CurvePoint]:
    """Best of n for all numbers of draws."""
    return curve(fitted.reference, fitted.proxies[0], fitted.gold, DRAWS)


def explain_hacked(variant: Fitted) -> str:
    """What is to be written."""
    return (
        "curve(reference, proxy, gold, draws): for each n of the list draws a row [divergence of best-of-n from the "
        "reference, its mean proxy, its mean gold], exactly. And peak(reference, proxy, gold, draws): the n of the "
        f"list at which the mean gold is highest. You get all {len(variant.reference):,} texts to the prompt "
        f"{variant.prompt!r} of Proxy, and a reward model that was fitted to {PAIRS} comparisons."
    )


def grade_hacked(variant: Fitted, student: Student) -> Iterator[Finding]:
    """The curve's three columns; then its peak."""
    points = points_of(variant)
    arguments = (variant.reference, variant.proxies[0], variant.gold, list(DRAWS))
    answer = ask(student, "curve", *arguments)
    wrong = misfit(answer, len(points), 3, finite=False)
    columns = {
        "divergence": (6, [point.divergence for point in points],
                       "log n - (n - 1) / n holds without ties alone; here it is a sum over texts."),
        "mean proxy": (4, [point.proxy for point in points], "The sum of probability times proxy over all texts."),
        "mean gold": (5, [point.gold for point in points], "The same policy, chosen by the proxy, seen by the gold."),
    }  # fmt: skip
    for place, (name, (worth, truth, look)) in enumerate(columns.items()):
        came = wrong or difference(np.asarray(answer)[:, place], truth)
        hint = "" if isinstance(answer, Silence) else look
        yield Finding(worth, not came, f"the {name} along the curve", came, hint)
    best = max(points, key=lambda point: point.gold)
    came = difference(ask(student, "peak", *arguments), best.n)
    last = points[-1]
    look = (
        f"At n = {best.n} the gold is {shown(best.gold)}; at n = {last.n:,} the proxy is still higher, "
        f"{shown(last.proxy)}, but the gold is {shown(last.gold)}."
    )
    yield Finding(10, not came, "the n at which gold peaks", came, look)


# ---- the ensemble ---------------------------------------------------------------------------------------------------


def draw_ensemble(rng: np.random.Generator) -> Fitted:
    """Four reward models with penalties of their own, and so on scales of their own; none likes all texts alike."""
    while True:
        fitted = fit_proxies(rng, "ngram", MEMBERS)
        if (np.ptp(fitted.proxies, axis=1) > 0.1).all():
            return fitted


def explain_ensemble(variant: Fitted) -> str:
    """What is to be written."""
    return (
        "pessimistic(reference, scores): the score of a careful ensemble for each text, (L,). scores (M, L) has a row "
        "for each reward model, on a scale of its own: comparisons leave the scale open. Bring each to mean 0 and "
        "standard deviation 1 under the reference, then take the lowest. You get all "
        f"{len(variant.reference):,} texts to the prompt {variant.prompt!r} of Proxy, and {MEMBERS} reward models."
    )


def grade_ensemble(variant: Fitted, student: Student) -> Iterator[Finding]:
    """The scores; then whether they stay when a member changes its scale."""
    answer = ask(student, "pessimistic", variant.reference, variant.proxies)
    truth = pessimistic(variant.reference, variant.proxies)
    came = difference(answer, truth)
    if came and not misfit(answer, len(truth)):
        mine, best = (float(variant.gold[int(np.argmax(scores))]) for scores in (np.asarray(answer), truth))
        came = f"{came}; its favourite text has gold {shown(mine)}, where that of the right one has {shown(best)}"
    look = "Means and deviations are those under the reference, with its probabilities; then the minimum over members."
    yield Finding(12, not came, f"the lowest of {MEMBERS} scores on one scale", came, look)
    factors = np.geomspace(0.01, 100.0, MEMBERS)[:, None]
    again = ask(student, "pessimistic", variant.reference, variant.proxies * factors + 3.0)
    came = misfit(answer, len(truth)) or idle(answer) or misfit(again, len(truth)) or difference(again, answer)
    yield Finding(
        8,
        not came,
        "the same members on other scales",
        came,
        "A member that happens to speak in larger numbers must not decide: your scores must not change.",
    )


HACKED = Part(
    name="peak of gold",
    points=25,
    needs=("curve", "peak"),
    draw=draw_hacked,
    explain=explain_hacked,
    grade=grade_hacked,
)
ENSEMBLE = Part(
    name="ensemble",
    points=20,
    needs=("pessimistic",),
    draw=draw_ensemble,
    explain=explain_ensemble,
    grade=grade_ensemble,
)
