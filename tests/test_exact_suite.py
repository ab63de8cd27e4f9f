"""Exact values of the suite's conversations with chance in them: Chain, and a small Dialogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from talking import play_best, solved
from toys import constant

from textgym.customers import Booking, Customer, Level, WellFormed, make_stop
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import SolveError, TooLargeError
from textgym.exact import solve
from textgym.task import Task
from textgym.tasks import get
from textgym.tasks.chain import adding_value, best_value


@pytest.mark.parametrize(("level", "split"), [("easy", "train"), ("easy", "all"), ("medium", "test")])
def test_chain_is_worth_what_its_own_reckoning_says(level: str, split: str) -> None:
    solution = solve("TextGen/Chain-v0", level=level, split=split)
    facts = get("Chain", level).returns(split)
    assert solution.optimal_return == pytest.approx(facts.best, abs=1e-9)
    assert solution.random_return == pytest.approx(facts.random, abs=1e-9)  # type: ignore[union-attr]


@pytest.mark.parametrize("row", [3, 179])
def test_one_chain_of_the_hard_level(row: int) -> None:
    task = get("Chain", "hard")
    solution = solved(task, prompt=row)
    material, start, piece = task.prompts.prompts[row].metadata["state"]
    numbers = {"risk": float(task.settings.risks[material]), "top": task.settings.links}
    assert solution.value() == pytest.approx(best_value(start, 29, **numbers), abs=1e-9)
    fitting = task.tokenizer.encode(task.settings.pieces[piece])[0]
    assert solution.q()[fitting] == pytest.approx(adding_value(start, 29, **numbers), abs=1e-9)


def test_chain_in_the_middle() -> None:
    task = get("Chain")
    row = task.prompts.texts.index("rope 1 links ring")
    solution = solved(task, prompt=row)
    words = task.tokenizer.encode
    after = words("ring 2 hook bar 2 hook")  # a link was added, then a piece did not fit
    assert solution.value(after) == pytest.approx(best_value(2, 5, risk=0.3, top=4), abs=1e-12)
    assert solution.q(after)[words("hook")[0]] == pytest.approx(adding_value(2, 5, risk=0.3, top=4), abs=1e-12)
    assert solution.q(after)[words("keep")[0]] == 0.5
    assert not solution.legal(after)[words("kept")[0]]
    for wrong in ("ring 3 hook", "ring 2 hook keep kept"):
        with pytest.raises(SolveError, match="has ended, or is none"):
            solution.value(words(wrong))


def test_a_smith_states_the_chance_that_there_is() -> None:
    task, count = get("Chain"), 4000
    rows = [task.prompts.texts.index(text) for text in ("glass 2 links hook", "brass 2 links hook")]
    for row, word in product(rows, ("hook", "bar")):
        said = [task.tokenizer.encode(word)] * count
        keys = np.arange(count, dtype=np.uint64)
        batch = EpisodeBatch.from_ids(task.prompts, task.tokenizer, [row] * count, said, max_new_tokens=8, keys=keys)
        partner: Any = task.partner
        happened = [tuple(reply) for reply in partner(batch).tolist()]
        stated: dict[tuple[int, ...], float] = {}
        for chance, reply in partner.outcomes(batch.take([0])):
            stated[tuple(reply[0])] = stated.get(tuple(reply[0]), 0.0) + float(chance[0])
        assert set(happened) <= {reply for reply, chance in stated.items() if chance > 0}
        for reply, chance in stated.items():
            error = 4 * np.sqrt(chance * (1 - chance) / count)
            assert happened.count(reply) / count == pytest.approx(chance, abs=error + 1e-12)


def dialogue(turns: int) -> tuple[Task, Level]:
    level = Level("small", parts=2, values=2, known=0, turns=turns, changes=True)
    prompts = tuple(Prompt("please", metadata={"wish": wish}) for wish in product(range(2), repeat=2))
    changes: dict[str, Any] = {
        "levels": {"small": level},
        "level": "small",
        "make_prompts": constant(prompts),
        "make_partner": Customer,
        "make_reward": Booking,
        "make_constraints": constant((WellFormed(level),)),
        "make_success": None,
        "make_facts": None,
        "make_stop": make_stop,
    }
    return replace(get("Dialogue"), **changes), level


def serve(turn: int, behind: list[Any]) -> float:
    """What is best at this turn, times the number of wishes and changes that may stand behind what was heard."""
    now = [tuple(v ^ (p == part and turn > when) for p, v in enumerate(wish)) for wish, part, when in behind]
    best = (1 - 0.05 * (turn - 1)) * max(map(now.count, now))  # booking what is likeliest
    guesses = product(range(2), repeat=2) if turn < 3 else ()
    questions: list[Callable[[Any], Any]] = [
        lambda wish: wish[0],
        lambda wish: wish[1],
        *(lambda wish, g=guess: next((p for p in range(2) if g[p] != wish[p]), None) for guess in guesses),
    ]
    for ask in questions if turn < 3 else ():
        heard = [ask(wish) for wish in now]
        parts = [[b for b, h in zip(behind, heard, strict=True) if h == reply] for reply in set(heard)]
        best = max(best, sum(serve(turn + 1, part) for part in parts))
    return best


def test_a_customer_who_changes_their_mind() -> None:
    task, level = dialogue(3)
    cases = Customer(level).cases()
    assert len(cases) == 4  # either part, at the first turn or the second
    assert sum(chance for chance, _ in cases) == pytest.approx(1.0)
    solution = solved(task)
    behind = list(product(product(range(2), repeat=2), range(2), range(2)))  # wish, part that changes, turns before
    assert solution.optimal_return == pytest.approx(serve(1, behind) / len(behind), abs=1e-12)
    paid = play_best(task, solution, 1500)
    assert paid.mean() == pytest.approx(solution.optimal_return, abs=4 * paid.std() / np.sqrt(1500))


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(TooLargeError, match=r"fewer turns, a smaller vocabulary, fewer prompts \(prompt=\)"):
        solve("TextGen/Dialogue-v0", level="hard", max_seconds=1)
    with pytest.raises(TooLargeError, match="about .* tokens"):
        solve("TextGen/Chain-v0", level="hard", max_seconds=1)
