"""A small grammar of reviews: which word may follow which, what a sentence says, and how people write.

A review is an elliptic sentence about the prompt's subject ("was really great and funny"). Each word has a
kind; the kind of the last word is the state of a finite automaton (:data:`FOLLOWS`). A separate
register holds the number of the clause's subject, with which its verb has to agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from textgym.errors import TaskError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FOLLOWS: Mapping[str, Mapping[str, float]] = {
    "start": {"verb": 6, "the": 2, "pronoun": 2, "end": 0},
    "the": {"noun": 1},
    "noun": {"verb": 1},
    "pronoun": {"verb": 1},
    "verb": {"not": 1.5, "booster": 2, "degree": 2, "adjective": 4.5},
    "not": {"booster": 1, "degree": 1, "adjective": 4},
    "booster": {"degree": 2, "adjective": 5},
    "degree": {"adjective": 1},
    "adjective": {"and": 4, "adverb": 1, "end": 5},
    "and": {"not": 1, "booster": 2, "degree": 2, "adjective": 5, "the": 1.5, "pronoun": 0.5},
    "adverb": {"end": 1},
    "end": {"end": 1},
    "other": {},
}
"""What may follow what, and how often people write it. "other" is any word outside the grammar."""

KINDS = tuple(FOLLOWS)
MODIFIERS = ("not", "booster", "degree")
CONTENT = ("adjective", "booster", "degree", "noun", "adverb")
_MAY_FOLLOW = np.array([[after in FOLLOWS[before] for after in KINDS] for before in KINDS])
_START, _END, _OTHER = KINDS.index("start"), KINDS.index("end"), KINDS.index("other")


@dataclass(frozen=True)
class Word:
    """A word of the grammar.

    Attributes:
        text: The word.
        kind: One of :data:`KINDS`.
        value: The sentiment of an adjective, the factor of a modifier.
        plural: The number of a verb, noun or pronoun; None for words without number.
    """

    text: str
    kind: str
    value: float = 0.0
    plural: bool | None = None


def read_words(listing: Mapping[str, str]) -> tuple[Word, ...]:
    """Reads a vocabulary from strings, one for each kind, with ``=value`` where words have one.

    Example:
        >>> read_words({"plural verb": "were", "adjective": "great=1 dull=-0.8"})[0]
        Word(text='were', kind='verb', value=0.0, plural=True)
    """
    words = []
    for heading, entries in listing.items():
        *number, kind = heading.split()
        plural = {"singular": False, "plural": True}[number[0]] if number else None
        for entry in entries.split():
            text, _, value = entry.partition("=")
            words.append(Word(text, kind, float(value or 0), plural))
    return tuple(words)


@dataclass(frozen=True)
class Analysis:
    """What a batch of texts says, and what is wrong with it; each ``(B,)``.

    Attributes:
        sentiment: Sum over the adjectives of their value times the modifiers before them.
        silent: Whether the text has no adjective, so that it says nothing.
        order_errors: Pairs of neighbours (beginning and end included) that the grammar does not allow.
        agreement_errors: Verbs and pronouns of the wrong number.
        repetitions: Content words that stood in the text before.
    """

    sentiment: Floats
    silent: NDArray[np.bool_]
    order_errors: Integers
    agreement_errors: Integers
    repetitions: Integers


@dataclass(frozen=True)
class Grammar:
    """The words of one level as ids ``0 .. len(words) - 1`` of a vocabulary.

    Attributes:
        words: The writable words, in id order.
        vocab_size: Size of the vocabulary, whose last two ids are end and unknown.
    """

    words: tuple[Word, ...]
    vocab_size: int

    def analyse(self, ids: NDArray[np.int32], plural: NDArray[np.bool_]) -> Analysis:
        """Reads texts from left to right with table look-ups, all rows at once.

        A text ends where its ids end, whether or not it has an end id, so prefixes are read as they stand.

        Args:
            ids: ``(B, T)`` completions, padded with ``vocab_size``.
            plural: ``(B,)`` whether the prompt's subject is plural.
        """
        count = len(ids)
        columns = np.ascontiguousarray(ids.T)
        sentiment, pending = np.zeros(count), np.ones(count)
        order, agreement, repetitions = np.zeros((3, count), dtype=np.int64)
        silent = np.ones(count, dtype=bool)
        subject = asked = plural.astype(np.int8)
        before = np.full(count, _START)
        for position, column in enumerate(columns):
            kind, number = self._kinds[column], self._numbers[column]
            order += ~_MAY_FOLLOW[before, kind]
            sentiment += self._polarities[column] * pending
            silent &= self._polarities[column] == 0.0
            pending = np.where(self._modifies[column], pending * self._factors[column], 1.0)
            expected = np.where(self._is_pronoun[column], asked, subject)
            agreement += self._agrees[column] & (number != expected)
            subject = np.where(self._sets_number[column], number, subject)
            seen = (columns[:position] == column).any(axis=0)
            repetitions += seen & self._is_content[column]
            before = kind
        order += ~_MAY_FOLLOW[before, _END]
        return Analysis(sentiment, silent, order, agreement, repetitions)

    def demonstrate(self, budget: int, sign: float, plural: bool, rng: np.random.Generator) -> list[str]:
        """Writes a typical review: mostly as wished, mostly grammatical, never longer than ``budget`` words.

        Args:
            budget: Most words.
            sign: +1 where the prompt wishes praise, -1 where it wishes the contrary.
            plural: Whether the prompt's subject is plural.
            rng: The source of all chance.
        """
        chance = _uniform_numbers(rng)
        kinds = self._sentence(chance)
        while len(kinds) > budget:
            kinds = self._sentence(chance)
        mood = sign if next(chance) < 0.65 else -sign
        words = self._fill(kinds, mood, plural, chance)
        return self._slip(words, chance)[:budget] if next(chance) < 0.2 else words

    def _sentence(self, chance: Iterator[float]) -> list[str]:
        kinds: list[str] = []
        kind = "start"
        while True:
            kind = _draw(self._steps[kind], next(chance))
            if kind == "end":
                return kinds
            kinds.append(kind)

    def _fill(self, kinds: list[str], mood: float, plural: bool, chance: Iterator[float]) -> list[str]:
        words: list[str] = []
        subject, negated = plural, False
        for kind in kinds:
            if kind == "pronoun":
                subject = plural
            key = (kind, subject if kind in ("verb", "pronoun") else None)
            if kind == "adjective":
                keeps_mood = next(chance) < 0.85
                key = (kind, (mood > 0) ^ negated ^ (not keeps_mood))
            choices = [word for word in self._by_key[key] if word.text not in words or kind not in CONTENT]
            word = (choices or self._by_key[key])[int(next(chance) * len(choices or self._by_key[key]))]
            subject = bool(word.plural) if kind == "noun" else subject
            negated = kind == "not" or (negated and kind in MODIFIERS)
            words.append(word.text)
        return words

    def _slip(self, words: list[str], chance: Iterator[float]) -> list[str]:
        """One mistake: a word left out, doubled, changed for any other, or two words swapped."""
        place, what = int(next(chance) * len(words)), next(chance)
        other = self.words[int(next(chance) * len(self.words))].text
        middle = [] if what < 0.25 else [words[place]] * 2 if what < 0.5 else [other] if what < 0.75 else None
        if middle is None:
            return [*words[:place], *reversed(words[place : place + 2]), *words[place + 2 :]]
        return [*words[:place], *middle, *words[place + 1 :]]

    @cached_property
    def _steps(self) -> dict[str, list[tuple[str, float]]]:
        """Kind -> kinds that may follow and exist at this level, with cumulated probabilities."""
        present = {word.kind for word in self.words} | {"end"}
        steps = {}
        for kind, weights in FOLLOWS.items():
            known = {after: weight for after, weight in weights.items() if after in present}
            total, running = sum(known.values()), 0.0
            steps[kind] = [(after, (running := running + weight) / total) for after, weight in known.items() if weight]
        return steps

    @cached_property
    def _by_key(self) -> dict[tuple[str, bool | None], list[Word]]:
        """Words by kind and by what selects among them: number, or for adjectives whether they praise."""
        groups: dict[tuple[str, bool | None], list[Word]] = {}
        for word in self.words:
            numbered = word.kind in ("verb", "pronoun")
            numbers = (False, True) if numbered and word.plural is None else (word.plural if numbered else None,)
            for key in (word.value > 0,) if word.kind == "adjective" else numbers:
                groups.setdefault((word.kind, key), []).append(word)
        return groups

    def _table(self, values: list[float]) -> Floats:
        """A look-up table over all ids and the padding."""
        if len(self.words) > self.vocab_size - 2:
            raise TaskError(f"{len(self.words)} words do not fit into a vocabulary of {self.vocab_size} ids")
        return np.array(values + [0.0] * (self.vocab_size + 1 - len(values)))

    @cached_property
    def _kinds(self) -> Integers:
        kinds = np.full(self.vocab_size + 1, _OTHER)
        kinds[: len(self.words)] = [KINDS.index(word.kind) for word in self.words]
        kinds[[self.vocab_size - 2, self.vocab_size]] = _END  # the end id and the padding, not <unk> between them
        return kinds

    @cached_property
    def _polarities(self) -> Floats:
        return self._table([word.value if word.kind == "adjective" else 0.0 for word in self.words])

    @cached_property
    def _factors(self) -> Floats:
        return self._table([word.value if word.kind in MODIFIERS else 0.0 for word in self.words])

    @cached_property
    def _numbers(self) -> NDArray[np.int8]:
        return self._table([float(bool(word.plural)) for word in self.words]).astype(np.int8)

    def _flags(self, *kinds: str, numbered: bool = False) -> NDArray[np.bool_]:
        return (
            self._table([word.kind in kinds and (word.plural is not None or not numbered) for word in self.words]) > 0
        )

    @cached_property
    def _modifies(self) -> NDArray[np.bool_]:
        return self._flags(*MODIFIERS)

    @cached_property
    def _is_pronoun(self) -> NDArray[np.bool_]:
        return self._flags("pronoun")

    @cached_property
    def _agrees(self) -> NDArray[np.bool_]:
        return self._flags("verb", "pronoun", numbered=True)

    @cached_property
    def _sets_number(self) -> NDArray[np.bool_]:
        return self._flags("noun", "pronoun", numbered=True)

    @cached_property
    def _is_content(self) -> NDArray[np.bool_]:
        return self._flags(*CONTENT)


def _uniform_numbers(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(32).tolist()  # in blocks: one call for one number costs more than the text


def _draw(choices: list[tuple[str, float]], number: float) -> str:
    return next((name for name, bound in choices if number < bound), choices[-1][0])
