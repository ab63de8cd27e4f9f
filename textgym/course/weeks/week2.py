"""Week 2: exact values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgym.course.assignment import Assignment, Finding, Part, near, shown
from textgym.course.models import Model, State, model_of
from textgym.course.problems import Problem, draw_problem
from textgym.course.sandbox import Student
from textgym.course.weeks.week_tables import Table, q_table, solution_of, tree_policy

TEMPLATE = '''"""Week 2: exact values.

A game has game.legal(state) -> ids, game.step(state, action) -> (next state, reward, whether the text has ended),
game.words and game.eos. A state is a tuple of the ids written so far; () is the empty text.
"""

from __future__ import annotations

from typing import Any

State = tuple[int, ...]


def optimal_values(game: Any, gamma: float) -> dict[State, float]:
    """V* of every state in which something can be written."""
    raise NotImplementedError


def action_values(game: Any, gamma: float) -> dict[State, dict[int, float]]:
    """Q* of every state in which something can be written, and of every id that is legal there."""
    raise NotImplementedError


def greedy_text(game: Any, q: dict[State, dict[int, float]]) -> list[int]:
    """The ids that the greedy policy of a table writes, the last one included; of equal values the smallest id."""
    raise NotImplementedError


def regret(game: Any, policy: dict[State, dict[int, float]]) -> float:
    """How much less the policy (state -> id -> probability) earns than the best one, in expectation, undiscounted."""
    raise NotImplementedError


def soft_value(game: Any, temperature: float) -> float:
    """The most that a policy can have of: expected return - temperature * KL(policy || uniform policy), a text."""
    raise NotImplementedError
'''


@dataclass(frozen=True)
class Game:
    """A problem, a number (a discount, or a temperature) and a seed for tables and policies."""

    problem: Problem
    number: float
    seed: int

    @property
    def model(self) -> Model:
        """The problem with its rules."""
        return model_of(self.problem)


def draw_game(rng: np.random.Generator) -> Game:
    """A problem and a discount."""
    return Game(draw_problem(rng), round(float(rng.uniform(0.5, 0.9)), 2), int(rng.integers(1000)))


def draw_soft(rng: np.random.Generator) -> Game:
    """A problem and a temperature."""
    return Game(draw_problem(rng), round(float(rng.uniform(0.4, 1.5)), 2), int(rng.integers(1000)))


def words_of(game: Game) -> str:
    """The words of a game, in a sentence."""
    return f"In yours the words are {', '.join(game.problem.words)}."


def explain_values(variant: Game) -> str:
    """The words of ``--explain``."""
    return (
        "optimal_values(game, gamma): a dict from every state in which something can be written to V*, what the best "
        f"player earns from there on. {words_of(variant)} You are asked with gamma 1 and with gamma {variant.number}."
    )


def grade_values(variant: Game, student: Student) -> Iterator[Finding]:
    """V* at every state."""
    model = variant.model
    for points, gamma, look in (
        (
            15,
            1.0,
            "V*(s) is the largest of r + gamma V*(s') over the legal actions, and nothing follows after the end.",
        ),
        (10, variant.number, "Discount the next state's value, not the reward of the step itself."),
    ):
        solution = solution_of(model, discount=gamma)
        came = student.call("optimal_values", model.served(), gamma)
        wrong = _first_wrong({state: solution.value(state) for state in model.states()}, came)
        yield Finding(points, wrong is None, f"V* at every state with gamma {gamma:g}", wrong or "", look)


def _first_wrong(right: Mapping[Any, float], came: Any) -> str | None:
    """What is wrong with a table, for the first entry in which it differs."""
    if not isinstance(came, Mapping):
        return f"{shown(came)} came, which is no dict"
    for key, value in right.items():
        if key not in came:
            return f"there is no entry for {key}"
        if not near(came[key], value, 1e-5):
            return f"{shown(came[key])} came for {key}, {shown(value)} is right"
    return None


def explain_actions(variant: Game) -> str:
    """The words of ``--explain``."""
    return (
        "action_values(game, gamma): a dict from states to dicts from legal ids to Q*; and greedy_text(game, q): the "
        "ids that the greedy policy of such a table writes from the empty text on, the last one included. "
        f"{words_of(variant)} Q* is asked with gamma {variant.number}, greedy_text with tables of ours."
    )


def grade_actions(variant: Game, student: Student) -> Iterator[Finding]:
    """Q* at every state, only legal ids, and the text of a table."""
    model = variant.model
    right = q_table(model, variant.number)
    came = student.call("action_values", model.served(), variant.number)
    wrong = next((w for state in right if (w := _wrong_row(state, right[state], came))), None)
    look = "Q*(s, a) is r + gamma V*(s'), and r alone where the text ends."
    yield Finding(14, wrong is None, f"Q* of every legal id with gamma {variant.number:g}", wrong or "", look)
    rows = came if isinstance(came, Mapping) else {}
    extra = next((state for state in right if {*_keys(rows.get(state))} - {*right[state]}), None)
    look = "A value for an illegal id is a trap: an argmax may choose it."
    yield Finding(4, extra is None, "no value for illegal ids", f"there are some in the state {extra}", look)
    yield from _grade_texts(model, variant.seed, student)


def _keys(row: Any) -> list[Any]:
    return [*row] if isinstance(row, Mapping) else []


def _wrong_row(state: State, right: Mapping[int, float], came: Any) -> str | None:
    if not isinstance(came, Mapping) or not isinstance(came.get(state), Mapping):
        return f"there is no dict for the state {state}"
    wrong = _first_wrong(right, came[state])
    return wrong and f"in the state {state} {wrong}"


def _grade_texts(model: Model, seed: int, student: Student) -> Iterator[Finding]:
    """The greedy text of a random table, of its opposite, and of a table that does not care."""
    rng = np.random.default_rng(seed)
    table = {state: {action: float(rng.normal()) for action in model.legal(state)} for state in model.states()}
    opposite = {state: {action: -value for action, value in row.items()} for state, row in table.items()}
    equal = {state: dict.fromkeys(reversed(row), 0.0) for state, row in table.items()}
    for points, name, q, look in (
        (
            8,
            "a table and of its opposite",
            (table, opposite),
            "Follow the largest value until the text ends; the last id belongs to it.",
        ),
        (4, "a table of zeros", (equal,), "Of equally good ids the smallest is taken, in whatever order they stand."),
    ):
        came = [student.call("greedy_text", model.served(), one) for one in q]
        right = [_greedy(model, one) for one in q]
        same = [isinstance(a, list | tuple | np.ndarray) and [*a] == b for a, b in zip(came, right, strict=True)]
        sentence = f"{shown([*came])} came, {right} is right"
        yield Finding(points, all(same), f"the greedy text of {name}", sentence, look)


def _greedy(model: Model, q: Table) -> list[int]:
    state: State = ()
    while not model.is_over(state):
        state = (*state, min(q[state], key=lambda action: (-q[state][action], action)))
    return [*state]


def explain_regret(variant: Game) -> str:
    """The words of ``--explain``."""
    return (
        "regret(game, policy): the return of the best policy minus the expected return of this one, a dict from states "
        f"to dicts from legal ids to probabilities. {words_of(variant)} You are asked for the best policy, one that "
        "always does the same, and one that draws its ids."
    )


def grade_regret(variant: Game, student: Student) -> Iterator[Finding]:
    """The regret of three policies."""
    model = variant.model
    solution = solution_of(model)
    rng = np.random.default_rng(variant.seed)
    q = q_table(model, 1.0)
    best = {state: _one_hot(row, max) for state, row in q.items()}
    worst = {state: _one_hot(row, min) for state, row in q.items()}
    drawn = {state: dict(zip(row, rng.dirichlet(np.ones(len(row))).tolist(), strict=True)) for state, row in q.items()}
    for points, name, policy, look in (
        (5, "the best policy", best, "What the best policy earns is V* of the empty text: its regret is 0."),
        (8, "a policy that always does the same", worst, "Regret is what is missing to the best return: not below 0."),
        (
            12,
            "a policy that draws its ids",
            drawn,
            "Average over the ids with their probabilities, state by state.",
        ),
    ):
        right = solution.policy_value(tree_policy(solution, policy)).regret
        came = student.call("regret", model.served(), policy)
        sentence = f"{shown(came)} came, {shown(right)} is right"
        yield Finding(points, near(came, right, 1e-5), f"the regret of {name}", sentence, look)


def _one_hot(row: Mapping[int, float], choose: Any) -> dict[int, float]:
    chosen = choose(row, key=row.__getitem__)
    return {action: float(action == chosen) for action in row}


def explain_soft(variant: Game) -> str:
    """The words of ``--explain``."""
    return (
        "soft_value(game, temperature): the largest value, over all policies, of the expected return minus temperature "
        "times the divergence KL(policy || uniform policy) in nats a text. "
        f"{words_of(variant)} You are asked with the temperature {variant.number} and with a very low one, 0.001."
    )


def grade_soft(variant: Game, student: Student) -> Iterator[Finding]:
    """The soft value at two temperatures."""
    model = variant.model
    mean = "Backwards: temperature times the log of the MEAN of exp(value / temperature) over the legal ids."
    low = "exp of a large number overflows: take the largest value out of the sum before exp, and add it after log."
    for points, temperature, look in ((12, variant.number, mean), (8, 0.001, low)):
        soft = solution_of(model, temperature=temperature).soft
        assert soft is not None
        came = student.call("soft_value", model.served(), temperature)
        sentence = f"{shown(came)} came, {shown(soft.objective)} is right"
        yield Finding(
            points, near(came, soft.objective, 1e-5), f"the soft value at temperature {temperature:g}", sentence, look
        )


WEEK = Assignment(
    name="week2",
    title="Exact values",
    goal="Work out by backward induction what every prefix is worth, and measure policies against it.",
    parts=(
        Part(
            name="optimal values",
            points=25,
            needs=("optimal_values",),
            draw=draw_game,
            explain=explain_values,
            grade=grade_values,
        ),
        Part(
            name="action values",
            points=30,
            needs=("action_values", "greedy_text"),
            draw=draw_game,
            explain=explain_actions,
            grade=grade_actions,
        ),
        Part(
            name="regret",
            points=25,
            needs=("regret",),
            draw=draw_game,
            explain=explain_regret,
            grade=grade_regret,
        ),
        Part(
            name="soft value",
            points=20,
            needs=("soft_value",),
            draw=draw_soft,
            explain=explain_soft,
            grade=grade_soft,
        ),
    ),
    template=TEMPLATE,
)
