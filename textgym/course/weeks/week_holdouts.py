"""Week 6, second half: comparisons that are held out by prompt, and how accurate a reward model can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.course.assignment import Finding, Part, shown
from textgym.course.sandbox import Student
from textgym.course.weeks.week_findings import Silence, ask, judge
from textgym.course.weeks.week_preferences import accuracy, accuracy_ceiling

Floats = NDArray[np.float64]

WISHES = ("praise", "pan", "describe", "defend", "mock")
SUBJECTS = ("the film", "the actors", "the music", "the plot", "the ending", "the book")


# ---- the split ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pile:
    """Comparisons by their prompts.

    Attributes:
        prompts: The prompt of each comparison; most of them occur several times.
        share: How much of the prompts is to be held out.
        seeds: Two seeds.
    """

    prompts: tuple[str, ...]
    share: float
    seeds: tuple[int, int]


def draw_pile(rng: np.random.Generator) -> Pile:
    """Twenty to thirty prompts with one to eight comparisons each, in a mixed order."""
    names = [f"{wish} {subject}" for wish in WISHES for subject in SUBJECTS]
    chosen = [names[place] for place in rng.permutation(len(names))[: int(rng.integers(20, 31))].tolist()]
    rows = [name for name in chosen for _ in range(int(rng.integers(1, 9)))]
    first = int(rng.integers(1000))
    return Pile(
        tuple(rows[place] for place in rng.permutation(len(rows)).tolist()),
        round(float(rng.uniform(0.2, 0.35)), 2),
        (first, first + 1),
    )


def explain_pile(variant: Pile) -> str:
    """What is to be written."""
    return (
        "split(prompts, share, seed): for each comparison whether it is held out, a list of True and False. prompts is "
        "a list with the prompt of each comparison. All comparisons of a prompt stay together; the share is one of the "
        "different prompts, rounded to a whole number of them; which ones are held out depends on the seed, and on "
        f"nothing else. You have {len(variant.prompts)} comparisons of {len(set(variant.prompts))} prompts and hold "
        f"out {variant.share:.0%} of these."
    )


def grade_pile(variant: Pile, student: Student) -> Iterator[Finding]:
    """No prompt on both sides, the share, the same seed again, another seed."""
    first, second = variant.seeds
    held = _read(ask(student, "split", list(variant.prompts), variant.share, first), variant)
    both = set() if isinstance(held, str) else _held(variant, held) & _held(variant, [not row for row in held])
    example = f"{len(both)} prompts stand on both sides, {sorted(both)[0]!r} among them" if both else ""
    yield Finding(
        9,
        not isinstance(held, str) and not both and any(held) and not all(held),
        "a split in which no prompt stands on both sides",
        held if isinstance(held, str) else example or "all comparisons stand on one side",
        "Draw prompts and not comparisons: a model that has seen a prompt's other comparisons is not tested by it.",
    )
    wanted = round(variant.share * len(set(variant.prompts)))
    count = 0 if isinstance(held, str) else len(_held(variant, held))
    yield Finding(
        4,
        abs(count - wanted) <= 1,
        f"{variant.share:.0%} of {len(set(variant.prompts))} prompts held out",
        held if isinstance(held, str) else f"{count} of them are, not {wanted}",
        "The share is one of the different prompts, however many comparisons each has.",
    )
    student.restart()
    again = _read(ask(student, "split", list(variant.prompts), variant.share, first), variant)
    yield Finding(
        4,
        not isinstance(again, str) and again == held and any(held) and not all(held),
        "the same split from the same seed, in a process of its own",
        again if isinstance(again, str) else "another one came" if again != held else "it is no split",
        "Sort the different prompts before you draw: a set has another order in each process.",
    )
    other = _read(ask(student, "split", list(variant.prompts), variant.share, second), variant)
    yield Finding(
        3,
        not isinstance(other, str) and other != held,
        f"another split from seed {second} than from seed {first}",
        other if isinstance(other, str) else "the same one came",
        "Use the seed that you are given.",
    )


def _read(answer: Any, variant: Pile) -> list[bool] | str:
    """The answer, or what is wrong with it."""
    if isinstance(answer, Silence):
        return answer.reason
    rows = answer.tolist() if isinstance(answer, np.ndarray) else answer
    if not isinstance(rows, list | tuple) or not all(row in (0, 1) for row in rows if isinstance(row, bool | int)):
        return f"{shown(answer)} came, and not a list of True and False"
    if len(rows) != len(variant.prompts) or not all(isinstance(row, bool | int) for row in rows):
        return f"{shown(answer)} came, and not a list of {len(variant.prompts)} times True or False"
    return [bool(row) for row in rows]


def _held(variant: Pile, rows: Sequence[bool]) -> set[str]:
    return {prompt for prompt, row in zip(variant.prompts, rows, strict=True) if row}


# ---- accuracy -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Accuracies:
    """What a student is asked about accuracies.

    Attributes:
        gold: ``(2, B)`` true scores of the left and of the right texts.
        temperature: Of the judge.
        scores: ``(2, B)`` what a reward model says of them, no two the same.
        rough: ``(2, B)`` what another says, often the same of both.
        choices: What the judge said: "left", "right" and, further on, also "tie".
    """

    gold: Floats
    temperature: float
    scores: Floats
    rough: Floats
    choices: tuple[str, ...]

    @property
    def decided(self) -> tuple[str, ...]:
        """The same without ties."""
        return tuple("left" if choice == "tie" else choice for choice in self.choices)


def draw_accuracies(rng: np.random.Generator) -> Accuracies:
    """Forty comparisons by a judge who errs."""
    gold = rng.normal(size=(2, 40)).round(2)
    gold[1, :2] = gold[0, :2] + (0.03, -0.03)  # pairs about which even a judge who hardly errs is in doubt
    choices = [("left", "right", "tie")[int(place)] for place in rng.integers(3, size=40)]
    rough = gold.round(0)
    rough[1, ::4] = rough[0, ::4]
    scores = gold + rng.normal(0.0, 0.5, size=gold.shape)
    return Accuracies(gold, round(float(rng.uniform(0.4, 0.8)), 2), scores, rough, tuple(choices))


def explain_accuracies(variant: Accuracies) -> str:
    """What is to be written."""
    return (
        "accuracy_ceiling(left, right, temperature): how often the best model that there can be agrees with a single "
        "judgement, on average over these pairs, where the judge prefers left with probability 1 / (1 + exp((right - "
        "left) / temperature)) of the true scores. Your judge has the temperature "
        f"{variant.temperature}. And accuracy(left, right, choices): how often a reward model with these scores agrees "
        'with the choices ("left", "right" or "tie"); ties are left out, and equal scores agree by half.'
    )


def grade_accuracies(variant: Accuracies, student: Student) -> Iterator[Finding]:
    """The ceiling, that of a judge who hardly errs, and accuracies with ties of either kind."""
    left, right = variant.gold
    for points, temperature, look in (
        (8, variant.temperature, "The best model says which text is better, and is right with the larger probability."),
        (3, 0.02, "A judge who hardly errs can be followed nearly always: mind the direction of the temperature."),
    ):
        yield judge(
            points,
            f"the ceiling for a judge of temperature {temperature}",
            ask(student, "accuracy_ceiling", left, right, temperature),
            accuracy_ceiling(left, right, temperature),
            look,
        )
    for points, name, scores, choices, look in (
        (3, "decided choices", variant.scores, variant.decided, "The model agrees where its higher score stands on the "
         "side that was chosen."),
        (3, "choices with ties", variant.scores, variant.choices, "A tie is neither right nor wrong: divide by the "
         "number of decided choices."),
        (3, "scores that are often equal", variant.rough, variant.decided, "A model with equal scores has to "
         "guess, and a guess is right by half."),
    ):  # fmt: skip
        yield judge(
            points,
            f"the accuracy on {name}",
            ask(student, "accuracy", scores[0], scores[1], list(choices)),
            accuracy(scores[0], scores[1], choices),
            look,
        )


PILE = Part(
    name="split",
    points=20,
    needs=("split",),
    draw=draw_pile,
    explain=explain_pile,
    grade=grade_pile,
)
ACCURACIES = Part(
    name="accuracy",
    points=20,
    needs=("accuracy_ceiling", "accuracy"),
    draw=draw_accuracies,
    explain=explain_accuracies,
    grade=grade_accuracies,
)
