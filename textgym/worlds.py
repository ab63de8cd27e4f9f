"""Small worlds: people who walk between rooms and carry things, told in stories, and what follows from a story.

A story tells only what happens. Where somebody was before is not known, so that a statement may follow from a story,
be contradicted by it, or neither.

Example:
    >>> story = tell(Cast(people=2, places=2, things=2), 3, np.random.default_rng(1))
    >>> story.text
    'mary dropped the key . mary dropped the ball . mary went to the kitchen .'
    >>> story.holders, story.places
    ({'key': None, 'ball': None}, {'mary': 'kitchen'})
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from textgym.episodes import Prompt

PEOPLE = ("mary", "tom", "anna", "paul", "lucy", "sam")
PLACES = ("kitchen", "garden", "office", "attic", "cellar", "hall")
THINGS = ("ball", "key", "book", "lamp", "cup", "coat")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")
LABELS = ("entailment", "neutral", "contradiction")
VERBS = ("went", "to", "took", "dropped", "the", ".")

T = TypeVar("T")


def one_of(things: Sequence[T], rng: np.random.Generator) -> T:
    """One of the things, each as likely as the others."""
    return things[int(rng.integers(len(things)))]


@dataclass(frozen=True)
class Cast:
    """How large a world is.

    Attributes:
        people: Number of people.
        places: Number of rooms.
        things: Number of things to carry.
    """

    people: int
    places: int
    things: int

    @property
    def persons(self) -> tuple[str, ...]:
        """The names of the people."""
        return PEOPLE[: self.people]

    @property
    def rooms(self) -> tuple[str, ...]:
        """The names of the rooms."""
        return PLACES[: self.places]

    @property
    def objects(self) -> tuple[str, ...]:
        """The names of the things."""
        return THINGS[: self.things]

    @property
    def words(self) -> tuple[str, ...]:
        """All words that a story of this world may have."""
        return (*VERBS, *self.persons, *self.rooms, *self.objects)


@dataclass
class Story:
    """What was told, and what is known at its end.

    Attributes:
        cast: The world.
        sentences: What happened, each without its full stop.
        places: Person -> room, where known; things that lie about have one, too.
        holders: Thing -> who has it, or None for nobody; things of which nothing is known are missing.
    """

    cast: Cast
    sentences: list[str] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    holders: dict[str, str | None] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The story as one line."""
        return "".join(f"{sentence} . " for sentence in self.sentences).strip()

    def place_of(self, name: str) -> str | None:
        """The room of a person or thing, or None where the story does not tell."""
        holder = self.holders.get(name)
        return self.places.get(name if holder is None else holder)

    def held_by(self, person: str) -> list[str]:
        """The things that this person is known to have, in the order of their names in :data:`THINGS`."""
        return [thing for thing in self.cast.objects if self.holders.get(thing) == person]

    def people_in(self, room: str) -> list[str]:
        """The people who are known to be in this room, in the order of :data:`PEOPLE`."""
        return [person for person in self.cast.persons if self.places.get(person) == room]

    def go(self, person: str, room: str) -> None:
        """The person walks there, whatever they carry with them."""
        self.sentences.append(f"{person} went to the {room}")
        self.places[person] = room

    def take(self, person: str, thing: str) -> None:
        """The person picks up a thing."""
        self.sentences.append(f"{person} took the {thing}")
        self.holders[thing] = person
        self.places.pop(thing, None)

    def drop(self, person: str, thing: str) -> None:
        """The person leaves a thing behind."""
        self.sentences.append(f"{person} dropped the {thing}")
        self.holders[thing] = None
        if person in self.places:
            self.places[thing] = self.places[person]

    def may_take(self, person: str, thing: str) -> bool:
        """Whether the thing is new to the story, or lies where the person is known to be.

        Otherwise a reader could conclude more than is kept here: where the person is, or who is with whom.
        """
        if thing not in self.holders:
            return True
        return self.holders[thing] is None and self.places.get(person) == self.places.get(thing, "nowhere")


def tell(cast: Cast, events: int, rng: np.random.Generator) -> Story:
    """Makes a story of so many sentences."""
    story = Story(cast)
    while len(story.sentences) < events:
        person, kind = one_of(cast.persons, rng), float(rng.random())
        thing = one_of(cast.objects, rng) if cast.objects else ""
        room = one_of(cast.rooms, rng)
        if kind < 0.5 or not thing:
            if story.places.get(person) != room:
                story.go(person, room)
        elif kind < 0.8:
            if story.may_take(person, thing):
                story.take(person, thing)
        elif story.holders.get(thing, person) == person:
            story.drop(person, thing)
    return story


# ---- What follows from a story ------------------------------------------------------------------------------------

Claim = tuple[str, str]
"""A statement about a story, and its label."""


def label_of(truth: bool | None) -> str:
    """The label of a statement that is true, false, or neither."""
    return LABELS[1] if truth is None else LABELS[0] if truth else LABELS[2]


def _negated(is_negated: bool, truth: bool | None) -> str:
    return label_of(truth if truth is None else truth != is_negated)


def claim_place(story: Story, rng: np.random.Generator, is_negated: bool = False) -> Claim:
    """``mary is in the garden``, of a person or, where there are things, of a thing."""
    things = story.cast.objects
    about_thing = bool(things) and bool(rng.integers(2))
    name, room = one_of(things if about_thing else story.cast.persons, rng), one_of(story.cast.rooms, rng)
    known = story.place_of(name)
    subject = f"the {name}" if about_thing else name
    text = f"{subject} is {'not ' if is_negated else ''}in the {room}"
    return text, _negated(is_negated, None if known is None else known == room)


def claim_holder(story: Story, rng: np.random.Generator, is_negated: bool = False) -> Claim:
    """``mary has the ball``, or ``nobody has the ball`` for its negation by everybody."""
    person, thing = one_of(story.cast.persons, rng), one_of(story.cast.objects, rng)
    known = story.holders.get(thing)
    if is_negated:
        return f"nobody has the {thing}", label_of(known is None if thing in story.holders else None)
    return f"{person} has the {thing}", label_of(known == person if thing in story.holders else None)


def claim_together(story: Story, rng: np.random.Generator, is_negated: bool = False) -> Claim:
    """``mary is with tom``: both are in the same room."""
    one, other = (str(name) for name in rng.choice(story.cast.persons, size=2, replace=False))
    rooms = story.place_of(one), story.place_of(other)
    truth = None if None in rooms else rooms[0] == rooms[1]
    return f"{one} is {'not ' if is_negated else ''}with {other}", _negated(is_negated, truth)


def claim_presence(story: Story, rng: np.random.Generator, is_negated: bool = False) -> Claim:
    """``somebody is in the hall`` or ``nobody is in the hall``: people whom the story does not mention may be there."""
    room = one_of(story.cast.rooms, rng)
    truth = True if story.people_in(room) else None
    return f"{'nobody' if is_negated else 'somebody'} is in the {room}", _negated(is_negated, truth)


CLAIMS: dict[str, Callable[[Story, np.random.Generator, bool], Claim]] = {
    "place": claim_place,
    "holder": claim_holder,
    "together": claim_together,
    "presence": claim_presence,
}
CLAIM_WORDS = ("is", "not", "in", "has", "with", "somebody", "nobody", "?", ":")


# ---- Demonstrations -----------------------------------------------------------------------------------------------


def guess_labels(labels: Sequence[str], prompt: Prompt, rng: np.random.Generator) -> str:
    """A demonstration: the reference's words, each of them a guess in a third of the cases."""
    words = prompt.references[0].split(" ")
    return " ".join(one_of(labels, rng) if rng.random() < 1 / 3 else word for word in words)
