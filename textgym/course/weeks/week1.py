"""Week 1: text as a decision process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from textgym.course.assignment import Assignment, Finding, Part, near, shown
from textgym.course.models import Model, State, model_of
from textgym.course.problems import Problem, draw_problem
from textgym.course.sandbox import Student
from textgym.course.wire import function
from textgym.exact import TreeSolution, solve
from textgym.exact.tree import average

TEMPLATE = '''"""Week 1: text as a decision process."""

from __future__ import annotations

from collections.abc import Callable

from textgym.course.problems import Problem

State = tuple[int, ...]  # the ids written so far


def episode_return(rewards: list[float], gamma: float) -> float:
    """The discounted return of an episode: r_0 + gamma r_1 + gamma^2 r_2 + ..."""
    raise NotImplementedError


def legal_actions(problem: Problem, state: State) -> list[int]:
    """The ids that may be written next, smallest first; none after the end. The rules stand in help(Problem)."""
    raise NotImplementedError


def transition(problem: Problem, state: State, action: int) -> tuple[State, float, bool]:
    """What a legal action does: the next state, the reward, and whether the text has ended."""
    raise NotImplementedError


def uniform_return(
    legal: Callable[[State], list[int]], step: Callable[[State, int], tuple[State, float, bool]], gamma: float
) -> float:
    """The expected discounted return, from the empty text on, of writing each legal id with the same probability."""
    raise NotImplementedError
'''


@dataclass(frozen=True)
class Episodes:
    """Rewards of some episodes, and a discount."""

    rewards: tuple[tuple[float, ...], ...]
    gamma: float


def draw_episodes(rng: np.random.Generator) -> Episodes:
    """Two episodes: one paid at its end, one paid all along."""
    late = (0.0,) * int(rng.integers(2, 5)) + (round(float(rng.uniform(0.5, 2.0)), 2),)
    dense = tuple(round(float(reward), 2) for reward in rng.uniform(0.1, 1.0, int(rng.integers(4, 7))))
    return Episodes((late, dense), round(float(rng.uniform(0.5, 0.9)), 2))


def explain_returns(variant: Episodes) -> str:
    """The words of ``--explain``."""
    return (
        "episode_return(rewards, gamma): the discounted return of an episode. The first reward is not discounted. "
        f"You are asked with gamma {variant.gamma}, with gamma 1, and for an episode without any reward."
    )


def grade_returns(variant: Episodes, student: Student) -> Iterator[Finding]:
    """Discounting, no discounting, and the empty episode."""
    for points, gamma in ((10, variant.gamma), (5, 1.0)):
        for rewards in variant.rewards:
            came = student.call("episode_return", list(rewards), gamma)
            right = sum(gamma**time * reward for time, reward in enumerate(rewards))
            if not near(came, right):
                break
        yield Finding(
            points,
            near(came, right),
            f"the return of {shown(list(rewards))} with gamma {gamma:g}",
            f"{shown(came)} came, {shown(right)} is right",
            "The reward of step t counts gamma to the power t, and the first step is step 0.",
        )
    came = student.call("episode_return", [], variant.gamma)
    look = "A sum of nothing is 0."
    yield Finding(5, near(came, 0.0), "the return of no reward at all", f"{shown(came)} came", look)


def draw_rules(rng: np.random.Generator) -> Problem:
    """A problem in which every rule matters."""
    return draw_problem(rng, adjectives=int(rng.integers(2, 4)), budget=4, shortest=2, repeats=False)


def describe(problem: Problem) -> str:
    """A problem's words and rules, in sentences."""
    repeats = "may" if problem.repeats else "may not"
    return (
        f"The words are {', '.join(problem.words)}. A text has at most {problem.budget} tokens, and at least "
        f"{problem.shortest} {'word' if problem.shortest == 1 else 'words'} before the end id; it does not begin with "
        f"{problem.words[problem.booster]!r}; a word {repeats} stand right after itself."
    )


def explain_legal(variant: Problem) -> str:
    """The words of ``--explain``."""
    return (
        "legal_actions(problem, state): the ids that may be written in a state, the smallest first. "
        f"{describe(variant)} You are asked at every state of this problem, and at texts that have ended."
    )


def grade_legal(variant: Problem, student: Student) -> Iterator[Finding]:
    """The mask at every state, by the rule that is at stake."""
    model = model_of(variant)
    states = list(model.states())
    after = [(*state, action) for state in states for action in model.legal(state)]
    over = [state for state in after if model.is_over(state)]
    booster = f"{variant.words[variant.booster]!r} may not be the first word, and there is no empty text."
    middle = "Look at the least number of words, at repetition, and at the words that only prompts may use."
    end = "Nothing may be written after the end id, or after the last token."
    for points, what, asked, look in (
        (8, "for the first word", [()], booster),
        (12, "after one word or more", [state for state in states if state], middle),
        (5, "after the end of a text", over[:: len(over) // 40], end),
    ):
        yield _compare_legal(variant, student, points, f"the legal ids {what}", asked, look)


def _compare_legal(
    problem: Problem, student: Student, points: int, what: str, states: Sequence[State], look: str
) -> Finding:
    model = model_of(problem)
    for state in states:
        came, right = student.call("legal_actions", problem, state), model.legal(state)
        if not (isinstance(came, list | tuple | np.ndarray) and [*came] == right):
            return Finding(points, False, what, f"for {state} the answer was {shown(came)}, but {right} is right", look)
    return Finding(points, True, what)


def explain_transition(variant: Problem) -> str:
    """The words of ``--explain``."""
    return (
        "transition(problem, state, action): the next state (a tuple), the reward, and whether the text has ended. "
        "The reward is 0 until the text ends; then it is problem.score(problem.text(ids)). "
        f"{describe(variant)} You are asked at every state, for every legal action."
    )


def grade_transition(variant: Problem, student: Student) -> Iterator[Finding]:
    """Next states, ends and rewards, each over all states and actions."""
    model = model_of(variant)
    pairs = [(state, action) for state in model.states() for action in model.legal(state)]
    found = [(state, action, _triple(student.call("transition", variant, state, action))) for state, action in pairs]
    for points, place, what, look in (
        (5, 0, "the next state", "It is the old one with the action at its end, as a tuple."),
        (
            8,
            2,
            "whether the text has ended",
            "A text ends with the end id, and with its last token, whichever that is.",
        ),
        (12, 1, "the reward", "Nothing is paid on the way; the step that ends the text pays its score."),
    ):
        wrong = None
        for state, action, came in found:
            right = model.step(state, action)[place]
            if not (near(came[place], right) if place == 1 else came[place] == right):
                wrong = f"for {state} and {action} the answer was {shown(came[place])}, but {shown(right)} is right"
                break
        yield Finding(points, wrong is None, f"{what} of every step", wrong or "", look)


def _triple(came: Any) -> tuple[Any, Any, Any]:
    """Next state, reward and end, as far as three things came."""
    if not isinstance(came, tuple | list) or len(came) != 3:
        return came, None, None
    state = tuple(came[0]) if isinstance(came[0], list | np.ndarray) else came[0]
    return state, came[1], came[2]


@dataclass(frozen=True)
class Discounted:
    """A problem and a discount."""

    problem: Problem
    gamma: float


def draw_discounted(rng: np.random.Generator) -> Discounted:
    """A problem with texts of different lengths, so that the discount matters."""
    return Discounted(draw_problem(rng, budget=3), round(float(rng.uniform(0.5, 0.9)), 2))


def explain_uniform(variant: Discounted) -> str:
    """The words of ``--explain``."""
    return (
        "uniform_return(legal, step, gamma): the expected discounted return of the policy that writes each legal id "
        "with the same probability, from the empty text () on. Exactly, not by sampling. legal(state) and "
        "step(state, action) are like your own functions, but right. "
        f"You are asked with gamma 1, with gamma {variant.gamma}, and for a prompt that turns the score round."
    )


def grade_uniform(variant: Discounted, student: Student) -> Iterator[Finding]:
    """The exact expected return, with and without a discount, and for another prompt."""
    praise = variant.problem
    pan = replace(praise, prompts=(praise.prompts[0].replace("praise", "pan"),))
    sampled = "Average over the legal ids of each state, from the longest texts back to the empty one; do not sample."
    late = "The reward of the step number t counts gamma to the power t: discount the value of the next state once."
    other = "The answer has to be worked out anew for every problem."
    for points, problem, gamma, look in (
        (15, praise, 1.0, sampled),
        (10, praise, variant.gamma, late),
        (5, pan, 1.0, other),
    ):
        model = model_of(problem)
        game = model.served().methods
        came = student.call("uniform_return", function(game["legal"]), function(game["step"]), gamma)
        right = _uniform(model, gamma)
        asked = f"the expected return of the uniform policy for {problem.prompts[0]!r} with gamma {gamma:g}"
        yield Finding(points, near(came, right), asked, f"{shown(came)} came, {shown(right)} is right", look)


def _uniform(model: Model, gamma: float) -> float:
    solution = solve(model.task(), engine="tree")
    assert isinstance(solution, TreeSolution)
    values, _ = solution.tree.back_up(gamma, average)
    return float(values[0][0, 0])


WEEK = Assignment(
    name="week1",
    title="Text as a decision process",
    goal="Say what states, actions, rewards and returns are when an agent writes a text, one word at a time.",
    parts=(
        Part(
            name="returns",
            points=20,
            needs=("episode_return",),
            draw=draw_episodes,
            explain=explain_returns,
            grade=grade_returns,
        ),
        Part(
            name="legal actions",
            points=25,
            needs=("legal_actions",),
            draw=draw_rules,
            explain=explain_legal,
            grade=grade_legal,
        ),
        Part(
            name="transitions",
            points=25,
            needs=("transition",),
            draw=draw_rules,
            explain=explain_transition,
            grade=grade_transition,
        ),
        Part(
            name="uniform policy",
            points=30,
            needs=("uniform_return",),
            draw=draw_discounted,
            explain=explain_uniform,
            grade=grade_uniform,
        ),
    ),
    template=TEMPLATE,
)
