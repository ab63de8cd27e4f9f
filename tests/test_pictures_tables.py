"""Heat maps of Q-tables read back from their SVG and compared with the table and with Q*."""

from __future__ import annotations

import re

import numpy as np
import pytest
from reading_svg import INK, SVG, cells, parse, row_of, texts
from toys import A, Success, toy

import textgym
from textgym.agents.q_learning import QLearning
from textgym.exact import TreeSolution, solve
from textgym.pictures import q_table


def test_a_table_stands_beside_the_truth(tiny: TreeSolution, learner: QLearning) -> None:
    shown = cells(q_table(learner, tiny))
    legal = np.flatnonzero(tiny.legal())
    for index in legal.tolist():
        word = tiny.task.tokenizer.tokens[index]
        assert float(shown[word, "Q*"][0]) == pytest.approx(tiny.q()[index], abs=0.006)
        assert float(shown[word, "learned"][0]) == pytest.approx(learner.q[0, index], abs=0.006)
    assert len(shown) == 2 * 16 * 7


def test_each_prompt_has_its_own_rows() -> None:
    task = toy(budget=2)
    agent = QLearning(seed=0)
    agent.learn(textgym.EnvFactory("TextGen-v0", {"task": task}), 2000)
    solution = solve(task)
    for text, prompt in solution.index.names.items():
        shown = cells(q_table(agent, solution, prompt=text))
        row = row_of(agent, solution, [], prompt)
        assert float(shown["a", "learned"][0]) == pytest.approx(agent.q[row, A], abs=0.01)
        assert float(shown["a", "Q*"][0]) == pytest.approx(solution.q((), text)[A], abs=0.01)


def test_greedy_choices_are_framed_on_both_sides(tiny: TreeSolution, learner: QLearning) -> None:
    picture = q_table(learner, tiny)
    framed = [key for key, (_, frame) in cells(picture).items() if frame == INK]
    assert len(framed) == 2 * 16, "one in each line, on each side"
    assert ("was", "Q*") in framed
    assert ("was great", "Q*") in framed
    legal = np.flatnonzero(tiny.legal())
    best = legal[learner.q[0, legal].argmax()]
    assert (tiny.task.tokenizer.tokens[best], "learned") in framed


def test_lines_with_a_worse_choice_are_marked(tiny: TreeSolution) -> None:
    truth = [level.copy() for level in tiny.q_values]
    assert "≠" not in q_table(truth, tiny)
    truth[0][0, 0, 3] = 9.0
    assert texts(q_table(truth, tiny)).count("≠") == 2, "the line and the legend"


def test_another_best_choice_is_not_marked() -> None:
    solution = solve(toy(reward=Success(), budget=2), prompt=0)
    table = {(): solution.q()}
    assert solution.q()[A] == solution.q()[A + 1] == 1.0, "an a now or later"
    table[()][A + 1] = 2.0
    assert "≠" not in q_table(table, solution)


def test_what_was_never_tried_is_crossed_out(tiny: TreeSolution, learner: QLearning) -> None:
    shown = cells(q_table(learner, tiny))
    empty = [text for (text, side), (number, _) in shown.items() if side == "learned" and not number]
    tokens_of = {word: index for index, word in enumerate(tiny.task.tokenizer.tokens)}
    for (text, side), (number, _) in shown.items():
        *before, last = (tokens_of[word] for word in text.split(" "))
        if side == "learned":
            row = row_of(learner, tiny, before)
            assert bool(number) == (row is not None and learner.visits[row, last] > 0)
    assert empty
    assert "nothing learned" in q_table(learner, tiny)


def test_the_largest_errors_are_listed(tiny: TreeSolution) -> None:
    table = {(): tiny.q() + 0.125, "was": tiny.q("was"), "was great": tiny.q("was great") - 0.5}
    table["was"][4] += 7.0
    shown = texts(q_table(table, tiny, errors=2))
    where = shown.index("21 values known: mean error 0.542, largest error 7")
    assert shown[where + 6 : where + 10] == ["was bad", "+6.838", "-0.162", "+7.000"]
    assert shown[where + 11].startswith("was great ")
    assert shown[where + 14] == "-0.500"
    assert {text.split(" ")[:-1] == [] or text.startswith("was ") for text, _ in cells(q_table(table, tiny))} == {True}
    assert len(q_table(table, tiny, errors=0)) < len(q_table(table, tiny, errors=2))


def test_the_most_visited_prefixes_come_first(tiny: TreeSolution, learner: QLearning) -> None:
    shown = texts(q_table(learner, tiny, rows=9, errors=0))
    counts = [int(text.replace(",", "")) for text in shown if re.fullmatch(r"[\d,]+", text)]
    assert counts == sorted(learner.visits.sum(axis=1), reverse=True)[:9]


def test_too_many_tokens_go_into_two_maps_and_the_best_stay(easy: TreeSolution) -> None:
    table = [level.copy() for level in easy.q_values]
    last = int(np.flatnonzero(easy.legal())[-2])
    table[0][0, 0, easy.tree.column_of[last]] = 50.0
    picture = q_table(table, easy, rows=4, width=600)
    shown = cells(picture)
    framed = [key for key, (_, frame) in shown.items() if frame == INK]
    assert len(framed) == 2 * 4, "no greedy choice is left out"
    left_out = [text for text in texts(picture) if "do not fit" in text]
    columns = len(shown) // (2 * 4)
    boxes = [box.attrib for box in parse(picture).iter(f"{SVG}rect")]
    assert max(float(box["x"]) + float(box["width"]) for box in boxes) <= 600
    assert left_out == [f"{16 - columns} tokens do not fit and are left out"]
    assert (easy.task.tokenizer.tokens[last], "learned") in framed
