"""Week 3: Q-learning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from textgym.course.assignment import Assignment, Finding, Part, shown
from textgym.course.problems import Problem, draw_problem
from textgym.course.sandbox import SandboxLimits, Student
from textgym.course.weeks.week_training import train
from textgym.errors import TextGymError

TEMPLATE = '''"""Week 3: Q-learning.

The environment that learn() gets is like one of Gymnasium's: env.reset() -> (observation, info), env.step(action) ->
(observation, reward, terminated, truncated, info), info["action_mask"] and env.num_actions. Observations are arrays of
token ids, first the prompt's; observation.tobytes() is a key of a table. Nothing in it is random but the prompt.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Learner:
    """A table of Q values."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def learn(self, env: Any, steps: int) -> None:
        """Learns from at most this many steps; return in time, since one more raises."""
        raise NotImplementedError

    def act(self, observation: np.ndarray, action_mask: np.ndarray) -> int:
        """The best legal id as far as it is known, the same when asked again; a legal one for unknown observations."""
        raise NotImplementedError

    def value(self, observation: np.ndarray, action: int) -> float:
        """Q(observation, action) as far as it is known, undiscounted; 0 for what was never tried."""
        raise NotImplementedError
'''

STEPS = 10_000  # enough for plain epsilon-greedy, whose epsilon falls in a straight line, with any luck
FEW_STEPS = 400
MOST_REGRET = 0.03
MOST_ERROR = 0.05


@dataclass(frozen=True)
class Training:
    """Problems to learn, and the seeds of learner and environment."""

    problems: tuple[Problem, ...]
    seed: int


def draw_three(rng: np.random.Generator) -> Training:
    """Three problems."""
    return Training(tuple(_problem(rng) for _ in range(3)), int(rng.integers(1000)))


def draw_one(rng: np.random.Generator) -> Training:
    """One problem."""
    return Training((_problem(rng),), int(rng.integers(1000)))


def _problem(rng: np.random.Generator) -> Problem:
    return draw_problem(rng, adjectives=2, prompts=2)


def _texts(*problems: Problem) -> str:
    words = "; ".join(", ".join(problem.words) for problem in problems)
    return f"The words of your problem{'s' * (len(problems) > 1)}: {words}."


def explain_regret(variant: Training) -> str:
    """The words of ``--explain``."""
    return (
        f"Learner(seed).learn(env, {STEPS}) on three problems with two prompts each, then act(observation, "
        "action_mask) at every prefix of both prompts. The exact regret of that policy, as a share of what lies "
        f"between random play and the best, has to be at most {MOST_REGRET:g}, for each. {_texts(*variant.problems)}"
    )


def grade_regret(variant: Training, student: Student) -> Iterator[Finding]:
    """The exact regret of the learned policy on three problems."""
    look = "Compare your update with the textbook's, and see which prefixes were never tried."
    for points, problem in zip((14, 13, 13), variant.problems, strict=True):
        trained = train(problem, variant.seed, student, STEPS)
        name = (
            f"the regret of your greedy policy for {' and '.join(map(repr, problem.prompts))} ({problem.words[0]} ...)"
        )
        try:
            value = trained.solution.policy_value(trained.act)
        except TextGymError as error:
            yield Finding(points, False, name, f"it could not be worked out: {error}", "act returns one legal id.")
            continue
        share = value.regret / trained.range
        yield Finding(points, share <= MOST_REGRET, name, f"{share:.3f} of the range came", look)


def explain_values(variant: Training) -> str:
    """The words of ``--explain``."""
    return (
        f"value(observation, action) after learn(env, {STEPS}): compared with the undiscounted Q*, as a share of what "
        f"lies between random play and the best. The mean error over the steps that you took may be {MOST_ERROR:g}, "
        "and so may the error of the largest value before the first word, for each prompt. "
        f"{_texts(variant.problems[0])}"
    )


def grade_values(variant: Training, student: Student) -> Iterator[Finding]:
    """The learned values against Q*."""
    trained = train(variant.problems[0], variant.seed, student, STEPS)
    mean, first = trained.q_errors()
    for points, name, error, look in (
        (
            15,
            "the mean error of your values over the steps taken",
            mean,
            "Q moves towards r + max Q(s', .), by alpha times what is MISSING.",
        ),
        (
            10,
            "the error of the best value before the first word",
            first,
            "What is paid at the end has to travel back to the beginning.",
        ),
    ):
        passed = bool(error <= MOST_ERROR)
        yield Finding(points, passed, name, f"{shown(error)} of the range came, at most {MOST_ERROR:g} is right", look)


def explain_exploration(variant: Training) -> str:
    """The words of ``--explain``."""
    return (
        f"What learn(env, {STEPS}) does in the environment: every legal first word has to be tried 5 times for "
        "each prompt, and the last fifth of the texts has to earn more than the first fifth, by a quarter of what "
        f"lies between random play and the best. {_texts(variant.problems[0])}"
    )


def grade_exploration(variant: Training, student: Student) -> Iterator[Finding]:
    """Whether everything was tried, and whether what was learned was used."""
    trained = train(variant.problems[0], variant.seed, student, STEPS)
    firsts: dict[bytes, dict[int, int]] = {}
    for step in trained.env.steps:
        if step.first and step.legal:
            row = firsts.setdefault(step.state, {})
            row[step.action] = row.get(step.action, 0) + 1
    legal = int(trained.solution.tree.levels[0].legal.sum())
    least = min((min([*row.values(), 0] if len(row) < legal else row.values()) for row in firsts.values()), default=0)
    seen_all = len(firsts) == len(variant.problems[0].prompts)
    look = "An argmax alone tries what looked good first and nothing else: write a random id now and then."
    sentence = f"the least tried one was tried {least} times"
    yield Finding(8, seen_all and least >= 5, "trying every first word", sentence, look)
    returns = np.array(trained.env.returns)
    fifth = len(returns) // 5
    gain = (returns[-fifth:].mean() - returns[:fifth].mean()) / trained.range if fifth else 0.0
    look = "Let epsilon fall: late texts should use what was learned."
    yield Finding(7, bool(gain >= 0.25), "earning more in the end", f"a gain of {gain:.2f} of the range came", look)


def explain_conduct(variant: Training) -> str:
    """The words of ``--explain``."""
    return (
        f"Good conduct, with learn(env, {FEW_STEPS}): no step beyond the budget, no illegal id, the same steps from "
        f"the same seed in a new process, and other steps from another seed. {_texts(variant.problems[0])}"
    )


def grade_conduct(variant: Training, student: Student) -> Iterator[Finding]:
    """Budget, mask, seeds."""
    problem, seed = variant.problems[0], variant.seed
    first = train(problem, seed, student, FEW_STEPS).env
    sentence = f"{first.refused} more were asked for"
    yield Finding(5, first.refused == 0, f"at most {FEW_STEPS} steps", sentence, "Count steps, not episodes.")
    illegal = sum(not step.legal for step in first.steps)
    look = "An argmax over all ids, and a random choice among all ids, have to look at the mask, too."
    yield Finding(5, illegal == 0, "only legal ids while learning", f"{illegal} were illegal", look)
    student.restart()
    again = train(problem, seed, student, FEW_STEPS).env
    look = "Draw all random numbers from a generator made of the seed."
    same = again.trace() == first.trace()
    yield Finding(5, same, "the same steps from the same seed", "they differ in a new process", look)
    other = train(problem, seed, student, FEW_STEPS, learner_seed=seed + 1).env
    differs = other.trace() != first.trace()
    yield Finding(5, differs, "other steps from another seed", "the same ones came", "The seed has to be used.")


WEEK = Assignment(
    name="week3",
    title="Q-learning",
    goal="Learn a table of values from steps alone, and see how near it comes to the truth.",
    parts=(
        Part(
            name="regret",
            points=40,
            needs=("Learner",),
            draw=draw_three,
            explain=explain_regret,
            grade=grade_regret,
        ),
        Part(
            name="values",
            points=25,
            needs=("Learner",),
            draw=draw_three,
            stream="regret",
            explain=explain_values,
            grade=grade_values,
        ),
        Part(
            name="exploration",
            points=15,
            needs=("Learner",),
            draw=draw_three,
            stream="regret",
            explain=explain_exploration,
            grade=grade_exploration,
        ),
        Part(
            name="conduct",
            points=20,
            needs=("Learner",),
            draw=draw_one,
            explain=explain_conduct,
            grade=grade_conduct,
        ),
    ),
    template=TEMPLATE,
    limits=SandboxLimits(seconds=20.0),
)
