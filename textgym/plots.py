"""A small world for tales: events that need one state of things and lead to another.

A state is a set of facts about the hero, as the bits of a number: asleep, away from home, has the thing, hurt, in
company, in the dark.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from textgym.errors import TaskError
from textgym.narratives import Narrative

ASLEEP, AWAY, HAS, HURT, JOINED, DARK = (1 << bit for bit in range(6))
STATES = 64


@dataclass(frozen=True)
class Event:
    """What an event needs and does, as sets of facts.

    Attributes:
        needs: Facts that must hold.
        without: Facts that must not hold.
        begins: Facts that hold afterwards.
        ends: Facts that no longer hold afterwards.
    """

    needs: int = 0
    without: int = ASLEEP
    begins: int = 0
    ends: int = 0

    def fits(self, state: int) -> bool:
        """Whether it can happen as things stand."""
        return state & self.needs == self.needs and not state & self.without

    def after(self, state: int) -> int:
        """How things stand afterwards, even if it could not happen."""
        return (state | self.begins) & ~self.ends


EVENTS = {
    "leaves": Event(without=ASLEEP | AWAY, begins=AWAY),
    "returns": Event(needs=AWAY, ends=AWAY),
    "finds": Event(needs=AWAY, without=ASLEEP | HAS, begins=HAS),
    "seeks": Event(needs=AWAY, without=ASLEEP | HAS),
    "wakes": Event(needs=ASLEEP, without=0, ends=ASLEEP),
    "sleeps": Event(begins=ASLEEP),
    "loses": Event(needs=HAS, ends=HAS),
    "rests": Event(),
    "falls": Event(without=ASLEEP | HURT, begins=HURT),
    "heals": Event(needs=HURT, ends=HURT),
    "befriends": Event(needs=AWAY, without=ASLEEP | JOINED, begins=JOINED),
    "parts": Event(needs=JOINED, ends=JOINED),
    "descends": Event(needs=AWAY, without=ASLEEP | DARK, begins=DARK),
    "climbs": Event(needs=DARK, ends=DARK),
    "happily": Event(needs=HAS, without=ASLEEP | AWAY | HURT | DARK),
    "sadly": Event(needs=AWAY, without=ASLEEP | HAS),
}
DEEDS = ("finds", "seeks", "loses")
"""Those that are followed by a thing."""


def count_contradictions(grammar: Narrative, ids: NDArray[np.int32], states: NDArray[np.int64]) -> NDArray[np.int64]:
    """``(B,)`` how many events of ``(B, T)`` texts cannot be as things stand; they then happen all the same.

    Args:
        grammar: Says which ids are events.
        ids: The texts.
        states: ``(B,)`` how things stand at the beginning.
    """
    numbers, (contradicts, after) = _number_events(grammar), _tables()
    found = np.zeros(len(ids), dtype=np.int64)
    for event in np.ascontiguousarray(numbers[ids].T):
        found += contradicts[states, event]
        states = after[states, event]
    return found


@cache
def _number_events(grammar: Narrative) -> NDArray[np.int64]:
    """``(V + 1,)`` the number of the event that each id stands for, -1 (the tables' last column) for none."""
    numbers = np.full(grammar.vocab_size + 1, -1)
    for number, name in enumerate(EVENTS):
        if name in grammar.listing:
            numbers[grammar.listing.index(name)] = number
    return numbers


@cache
def _tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(S, E + 1)`` whether an event contradicts a state, and the next state; the last column is no event."""
    contradicts, after = np.zeros((2, STATES, len(EVENTS) + 1), dtype=np.int64)
    after[:] = np.arange(STATES)[:, None]
    for number, event in enumerate(EVENTS.values()):
        for state in range(STATES):
            contradicts[state, number], after[state, number] = not event.fits(state), event.after(state)
    return contradicts, after


@cache
def plan(known: tuple[str, ...], state: int, ending: str, wanted: int) -> tuple[str, ...]:
    """Different events that lead to an ending without contradiction, one of :data:`DEEDS` among them.

    Args:
        known: The events that may be used.
        state: How things stand at the beginning.
        ending: The event that comes last; it is not part of the answer.
        wanted: The least number of events.

    Raises:
        TaskError: if there are no such events.

    Example:
        >>> plan(("leaves", "returns", "finds"), 0, "happily", 2)
        ('leaves', 'finds', 'returns')
    """
    seen: set[tuple[int, frozenset[str]]] = set()

    def search(now: int, done: tuple[str, ...]) -> tuple[str, ...] | None:
        if len(done) >= wanted and EVENTS[ending].fits(now) and set(done) & set(DEEDS):
            return done
        if (now, frozenset(done)) in seen:
            return None
        seen.add((now, frozenset(done)))
        free = (name for name in known if name not in done and EVENTS[name].fits(now))
        return next(filter(None, (search(EVENTS[name].after(now), (*done, name)) for name in free)), None)

    found = search(state, ())
    if found is None:
        raise TaskError(f"no {wanted} of the events {known} lead to {ending!r} from the state {state}")
    return found
