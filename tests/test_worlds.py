"""Stories and what follows from them, against all the worlds that a story leaves possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from textgym.tasks import get
from textgym.worlds import CLAIMS, LABELS, Cast, Story, claim_holder, claim_place, claim_presence, label_of, tell

STRANGER = "stranger"  # whom no story mentions


@dataclass
class World:
    """One complete state of affairs: the room of each person, and the room or holder of each thing."""

    rooms: dict[str, str]
    things: dict[str, str]

    def happens(self, sentence: str) -> bool:
        """Lets it happen; False if it cannot."""
        person, verb, *_, what = sentence.split()
        if verb == "went":
            self.rooms[person] = what
        elif verb == "took":
            if self.things[what] != self.rooms[person]:
                return False
            self.things[what] = person
        else:
            if self.things[what] != person:
                return False
            self.things[what] = self.rooms[person]
        return True

    def says(self, claim: str) -> bool:
        """Whether a statement is true here."""
        words = claim.replace("the ", "").split()
        subject, negated, last = words[0], "not" in words, words[-1]
        if "has" in words:
            holder = self.things[last]
            return holder not in self.rooms if subject == "nobody" else holder == subject
        if "with" in words:
            return (self.rooms[subject] == self.rooms[last]) != negated
        if subject in ("somebody", "nobody"):
            return (last in self.rooms.values()) == (subject == "somebody")
        return (self.place(subject) == last) != negated

    def place(self, name: str) -> str:
        """The room of a person or thing."""
        if name in self.rooms:
            return self.rooms[name]
        return self.rooms.get(self.things[name], self.things[name])


def possible_worlds(story: Story) -> Iterator[World]:
    """The ends of all beginnings in which the story can happen."""
    people, rooms, things = (*story.cast.persons, STRANGER), story.cast.rooms, story.cast.objects
    for where in product(rooms, repeat=len(people)):
        for having in product((*rooms, *people), repeat=len(things)):
            world = World(dict(zip(people, where, strict=True)), dict(zip(things, having, strict=True)))
            if all(world.happens(sentence) for sentence in story.sentences):
                yield world


@pytest.mark.parametrize("seed", range(12))
def test_labels_say_what_holds_in_all_possible_worlds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    story = tell(Cast(people=2, places=3, things=2), int(rng.integers(2, 6)), rng)
    worlds = list(possible_worlds(story))
    assert worlds, f"nothing like this can happen: {story.text}"
    for kind, claim in CLAIMS.items():
        for is_negated in (False, True) * 6:
            text, label = claim(story, rng, is_negated)
            truths = {world.says(text) for world in worlds}
            assert label == label_of(truths.pop() if len(truths) == 1 else None), (kind, text, story.text)


@pytest.mark.parametrize("seed", range(8))
def test_what_is_known_is_so_in_all_possible_worlds(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    story = tell(Cast(people=2, places=2, things=2), 6, rng)
    worlds = list(possible_worlds(story))
    for name in (*story.cast.persons, *story.cast.objects):
        known = story.place_of(name)
        assert known is None or {world.place(name) for world in worlds} == {known}
    for thing, holder in story.holders.items():
        lies_about = [world.things[thing] in story.cast.rooms for world in worlds]
        held_by = {world.things[thing] for world in worlds}
        assert all(lies_about) if holder is None else held_by == {holder}


def test_a_story_by_hand() -> None:
    story = Story(Cast(2, 2, 1))
    story.take("mary", "ball")
    story.go("mary", "garden")
    assert story.text == "mary took the ball . mary went to the garden ."
    assert (story.place_of("ball"), story.place_of("tom"), story.held_by("mary")) == ("garden", None, ["ball"])
    story.drop("mary", "ball")
    story.go("mary", "kitchen")
    assert (story.place_of("ball"), story.holders, story.people_in("kitchen")) == ("garden", {"ball": None}, ["mary"])
    assert not story.may_take("mary", "ball")
    assert not story.may_take("tom", "ball"), "the story does not tell where Tom is"


def test_things_dropped_nowhere_in_particular_are_not_picked_up_again() -> None:
    story = Story(Cast(2, 2, 1))
    story.drop("mary", "ball")
    assert not story.may_take("tom", "ball"), "or else Tom would be known to be with Mary"


def test_claims_of_each_label_turn_up() -> None:
    rng = np.random.default_rng(0)
    story = tell(Cast(3, 3, 3), 5, rng)
    for claim in (claim_place, claim_holder):
        assert {claim(story, rng)[1] for _ in range(200)} == set(LABELS)
    assert {claim_presence(story, rng)[1] for _ in range(100)} == {"entailment", "neutral"}
    assert {claim_presence(story, rng, True)[1] for _ in range(100)} == {"contradiction", "neutral"}


def test_stories_are_told_again_by_the_same_seed() -> None:
    cast = Cast(3, 3, 3)
    texts = [tell(cast, 6, np.random.default_rng(seed)).text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].count(" .") == 6
    assert set(texts[0].split()) <= set(cast.words)


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_the_labels_of_entail_are_about_equally_frequent(level: str) -> None:
    labels = Counter(label for (text,) in get("Entail", level).prompts.references for label in text.split())
    assert set(labels) == set(LABELS)
    assert max(labels.values()) <= 0.4 * sum(labels.values())
