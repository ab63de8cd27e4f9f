"""Week 6, first half: reading judgements, and the fit of Bradley and Terry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.bradley_terry import preference_probability
from textgym.course.assignment import Finding, Part
from textgym.course.sandbox import Student
from textgym.course.weeks.week_findings import ask, judge
from textgym.course.weeks.week_preferences import Judgement, count_wins, fit_scores, log_likelihood

Floats = NDArray[np.float64]

TEXTS = 6
CLOSE = 2e-3  # of a fit: somebody else's optimiser may stop a little earlier
PENALTY = 1e-3
GAMES = 20.0


# ---- judgements -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sheets:
    """Judgements of the same texts, on three sheets: decided ones, some with ties, some that were skipped."""

    decided: tuple[Judgement, ...]
    ties: tuple[Judgement, ...]
    skips: tuple[Judgement, ...]


def draw_sheet(rng: np.random.Generator, *further: str) -> tuple[Judgement, ...]:
    """Thirty judgements; a third of them are of the further kinds, if there are any."""
    rows: list[Judgement] = []
    for place in range(30):
        a, b = rng.choice(TEXTS, size=2, replace=False).tolist()
        said = str(rng.choice(further)) if further and place % 3 == 0 else ("left", "right")[int(rng.integers(2))]
        rows.append({"a": a, "b": b, "left": "ab"[place % 2], "choice": said})
    return tuple(rows[place] for place in rng.permutation(len(rows)))


def draw_sheets(rng: np.random.Generator) -> Sheets:
    """A student's sheets."""
    return Sheets(draw_sheet(rng), draw_sheet(rng, "tie"), draw_sheet(rng, "skip"))


def explain_sheets(variant: Sheets) -> str:
    """What is to be written."""
    return (
        "count_wins(judgements, count): a (count, count) array, in row i and column j how often text i beat text j. A "
        'judgement is a dict: "a" and "b" are the numbers of the texts, "left" says which of the two ("a" or "b") '
        'stood on the left of the page, "choice" is "left", "right", "tie" or "skip". A tie is half a win for both; a '
        f"skipped pair counts as nothing. Your first judgement is {variant.decided[0]}."
    )


def grade_sheets(variant: Sheets, student: Student) -> Iterator[Finding]:
    """The side, then ties, then skips."""
    cases = (
        (11, "decided judgements", variant.decided,
         "People choose a side of the page; which text stood there is another question: look at 'left' first."),
        (8, "judgements with ties", variant.ties, "A tie is no loss of either text: half a win in both directions."),
        (6, "judgements with skipped pairs", variant.skips, "A pair that was skipped says nothing: leave it out."),
    )  # fmt: skip
    for points, name, sheet, look in cases:
        answer = ask(student, "count_wins", [dict(judgement) for judgement in sheet], TEXTS)
        yield judge(points, f"the wins of {len(sheet)} {name}", answer, count_wins(sheet, TEXTS), look)


# ---- the fit --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Fits:
    """What a student is asked about the model of Bradley and Terry.

    Attributes:
        wins: ``(N, N)`` of a few judgements, ties included.
        penalty: Of the fit to them.
        scores: ``(N,)`` some scores.
        texts: Texts of Reviews.
        gold: ``(N,)`` their true scores, divided by the judge's temperature.
    """

    wins: Floats
    penalty: float
    scores: Floats
    texts: tuple[str, ...]
    gold: Floats

    @property
    def shares(self) -> Floats:
        """``(N, N)`` the wins of endlessly many judgements, in proportion."""
        return GAMES * preference_probability(self.gold[:, None], self.gold[None, :]) * (1.0 - np.eye(len(self.gold)))


def draw_fits(rng: np.random.Generator) -> Fits:
    """Wins of one's own, and texts of Reviews that a judge would tell apart."""
    wins = rng.integers(0, 7, size=(TEXTS, TEXTS)) / 2.0 * (1.0 - np.eye(TEXTS))
    texts, gold = _draw_texts(rng)
    temperature = float(rng.uniform(0.5, 1.0))
    return Fits(
        wins + np.roll(np.eye(TEXTS), 1, axis=1),  # everybody is compared with somebody
        round(float(rng.uniform(0.5, 2.0)), 2),
        rng.normal(size=TEXTS).round(2),
        texts,
        gold / temperature,
    )


def _draw_texts(rng: np.random.Generator) -> tuple[tuple[str, ...], Floats]:
    """Random texts to the prompt of the smallest Reviews, all of them with another true score."""
    from textgym.episodes import EpisodeBatch
    from textgym.tasks import get

    task = get("Reviews", "tiny")
    words = task.tokenizer.encode("was not very great bad and")
    while True:
        ids = [[words[place] for place in rng.integers(len(words), size=3)] for _ in range(TEXTS)]
        texts = [[*row, task.tokenizer.eos_ids[0]] for row in ids]
        batch = EpisodeBatch.from_ids(task.prompts, task.tokenizer, [0] * TEXTS, texts, max_new_tokens=task.budget)
        assert task.gold is not None
        gold = np.asarray(task.gold(batch), dtype=np.float64)
        if len(set(gold.round(6).tolist())) == TEXTS:
            return tuple(batch.completions), gold


def explain_fits(variant: Fits) -> str:
    """What is to be written."""
    return (
        "log_likelihood(scores, wins): the logarithm of the probability of all these wins, where text i beats text j "
        "with probability 1 / (1 + exp(score j - score i)); scores may be in the thousands. And fit_scores(wins, "
        "penalty): the scores (N,) that maximise log_likelihood(scores, wins) - penalty / 2 * sum(scores ** 2), to "
        f"three digits. Your penalty is {variant.penalty}. In the end you get wins in exactly the shares that a judge "
        f"would give to texts such as {variant.texts[0]!r} and {variant.texts[1]!r}, and your scores have to be the "
        "true ones."
    )


def grade_fits(variant: Fits, student: Student) -> Iterator[Finding]:
    """Likelihood, likelihood of large scores, the fit to a few judgements, and the true scores."""
    for points, name, scores, look in (
        (8, "some scores", variant.scores, "Add up wins[i, j] * log(sigmoid(score i - score j)) over all pairs."),
        (4, "scores in the thousands", 4000.0 * variant.scores,
         "log(sigmoid(x)) is -log(1 + exp(-x)); numpy.logaddexp(0, -x) has it without overflow and log(0)."),
    ):  # fmt: skip
        answer = ask(student, "log_likelihood", scores, variant.wins)
        yield judge(points, f"the log-likelihood of {name}", answer, log_likelihood(scores, variant.wins), look)
    yield judge(
        13,
        f"the fit to {variant.wins.sum():g} judgements",
        ask(student, "fit_scores", variant.wins, variant.penalty),
        fit_scores(variant.wins, variant.penalty),
        "At the optimum, for each text, wins minus expected wins equal penalty * score.",
        tolerance=CLOSE,
    )
    yield judge(
        10,
        "the scores fitted to what endlessly many judgements say",
        ask(student, "fit_scores", variant.shares, PENALTY),
        variant.gold - variant.gold.mean(),
        "Comparisons say nothing of the mean, which the penalty makes 0; all differences of the true scores come back.",
        tolerance=CLOSE,
    )


SHEETS = Part(
    name="judgements",
    points=25,
    needs=("count_wins",),
    draw=draw_sheets,
    explain=explain_sheets,
    grade=grade_sheets,
)
FITS = Part(
    name="fit",
    points=35,
    needs=("log_likelihood", "fit_scores"),
    draw=draw_fits,
    explain=explain_fits,
    grade=grade_fits,
)
