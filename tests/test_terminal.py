"""Judging at the terminal."""

from __future__ import annotations

import pytest

from textgym.feedback.gathering import Gatherer
from textgym.feedback.pairs import Pair
from textgym.feedback.terminal import HELP, TerminalGatherer

PAIRS = [
    Pair(id=f"p{number}", prompt="praise", first=f"good {number}", second="", first_ids=(number,), second_ids=(9,))
    for number in range(4)
]


class Person:
    """Types these answers, then leaves."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.said = iter(answers), list[str]()
        self.now = 0.0

    def ask(self, question: str) -> str:
        self.now += 2.5
        try:
            return next(self.answers)
        except StopIteration:
            raise EOFError from None

    def gatherer(self) -> TerminalGatherer:
        return TerminalGatherer(self.ask, self.said.append, name="ann", clock=lambda: self.now)


def test_every_key_is_a_choice_and_the_better_text_is_the_one_that_was_shown() -> None:
    person = Person("1", "2", "t", "b")
    gatherer: Gatherer = person.gatherer()
    found = gatherer.gather(PAIRS)
    assert [item.choice for item in found] == ["left", "right", "tie", "both_bad"]
    assert gatherer.pending == 0
    for pair, item, shown in zip(PAIRS, found, person.said[1::2], strict=True):
        assert (item.pair, item.annotator, item.seconds) == (pair.id, "ann", 2.5)
        assert {item.left, item.right} == {pair.first, pair.second}
        assert item.swapped == (item.left == pair.second)
        assert (item.left_ids == pair.first_ids) is not item.swapped
        assert shown.index(f"1  {item.left or '(empty)'}") < shown.index(f"2  {item.right or '(empty)'}")


def test_both_sides_come() -> None:
    many = [Pair(id=str(number), prompt="p", first="a", second="b") for number in range(200)]
    found = Person(*["s"] * 200).gatherer().gather(many)
    assert 70 < sum(item.swapped for item in found) < 130


def test_an_undone_answer_is_asked_again() -> None:
    found = Person("1", "t", "u", "u", "2", "s", "s", "s").gatherer().gather(PAIRS)
    assert [(item.pair, item.choice) for item in found] == [
        ("p0", "right"),
        ("p1", "skip"),
        ("p2", "skip"),
        ("p3", "skip"),
    ]


@pytest.mark.parametrize("end", [["q"], []])
def test_who_stops_keeps_what_was_judged_and_may_go_on(end: list[str]) -> None:
    person = Person("1", "what?", "1", *end)
    gatherer = person.gatherer()
    assert [item.pair for item in gatherer.gather(PAIRS)] == ["p0", "p1"]
    assert HELP in person.said
    assert gatherer.pending == 0
    person.answers = iter(["t", "t"])
    assert [item.pair for item in gatherer.gather([])] == ["p2", "p3"]


def test_an_interruption_loses_nothing() -> None:
    said = iter(["1", "t", KeyboardInterrupt()])

    def ask(_: str) -> str:
        answer = next(said)
        if isinstance(answer, KeyboardInterrupt):
            raise answer
        return answer

    gatherer = TerminalGatherer(ask, lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        gatherer.gather(PAIRS)
    assert [(item.pair, item.choice) for item in gatherer.poll()] == [("p0", "left"), ("p1", "tie")]
    assert (gatherer.poll(), gatherer.pending) == ([], 0)


def test_an_undo_before_the_first_answer_changes_nothing() -> None:
    assert [item.choice for item in Person("u", "1", "q").gatherer().gather(PAIRS)] == ["left"]
