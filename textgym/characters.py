"""The grammar of reviews where a token is a character: words are read from characters first.

Chinese writes no spaces. Here no word is the beginning of another, so a text can be cut into words in one way only,
from left to right; characters that complete no word count as one unknown word for each attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from textgym.errors import TaskError
from textgym.grammars import Analysis, Grammar, Word

Ids = NDArray[np.int32]
Table = NDArray[np.int64]

WORDS = {
    "singular verb": "拍得",
    "plural verb": "演得",
    "not": "不=-0.7",
    "degree": "很=1.2 极=1.4 较=0.6",
    "adjective": "精彩=1.2 感人=0.8 有趣=0.6 好=0.5 糟糕=-1.2 乏味=-0.8 无聊=-0.6 差=-0.5",
    "and": "又",
}
"""The words of the Chinese level. Films are shot (拍得), people act (演得): the verb has to fit the subject."""
WISHES = {"夸": 1.0, "贬": -1.0, "荐": 1.0, "批": -1.0}
SUBJECTS = ("电影", "演员", "短片", "主角")
PEOPLE = ("演员", "主角")
"""The subjects that ask for the "plural" verb."""

_NOTHING = -1


def list_characters(words: tuple[Word, ...]) -> tuple[str, ...]:
    """The characters of some words, each once."""
    return tuple(dict.fromkeys(character for word in words for character in word.text))


def list_kinds(words: tuple[Word, ...], *, characters: bool) -> list[str]:
    """The kind of each writable token; a character is a kind of its own."""
    return [*list_characters(words)] if characters else [word.kind for word in words]


@dataclass(frozen=True)
class CharacterGrammar:
    """A grammar over words that are spelled in characters, as ids ``0, 1, ...`` of a vocabulary of characters.

    Attributes:
        words: The words, none of which is the beginning of another.
        vocab_size: Size of the vocabulary, whose first ids are the words' characters, and whose last two are end and
            unknown.

    Raises:
        TaskError: if a word is the beginning of another.

    Example:
        >>> grammar = CharacterGrammar((Word("好", "adjective", 0.5), Word("糟糕", "adjective", -1.2)), vocab_size=5)
        >>> grammar.read(np.array([[0, 1, 2, 3]], dtype=np.int32)).tolist()
        [[0, 1, 4, 4]]
    """

    words: tuple[Word, ...]
    vocab_size: int

    def __post_init__(self) -> None:
        texts = sorted(word.text for word in self.words)
        for one, other in pairwise(texts):
            if other.startswith(one):
                raise TaskError(
                    f"the word {one!r} is the beginning of {other!r}, so that a text could be cut in two ways"
                )

    def analyse(self, ids: Ids, plural: NDArray[np.bool_]) -> Analysis:
        """What texts of characters ``(B, T)`` say; see :meth:`textgym.grammars.Grammar.analyse`."""
        return self.grammar.analyse(self.read(ids), plural)

    def demonstrate(self, budget: int, sign: float, plural: bool, rng: np.random.Generator) -> list[str]:
        """The characters of a typical review, at most ``budget``."""
        return [*"".join(self.grammar.demonstrate(budget * 5 // 8, sign, plural, rng))][:budget]

    def read(self, ids: Ids) -> Ids:
        """``(B, T)`` the words of texts of characters as ids of :attr:`grammar`, the unknown word among them."""
        follows, first, second = self._tables
        words = np.full((len(ids), ids.shape[1] + 1), self.grammar.vocab_size, dtype=np.int32)
        count, state = np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids), dtype=np.int64)
        padding = np.full((1, len(ids)), self.vocab_size)  # what is left unfinished at the end of the text
        for column in np.concatenate([np.ascontiguousarray(ids.T), padding]):
            for table in (first, second):
                found = table[state, column]
                rows = np.flatnonzero(found != _NOTHING)
                words[rows, count[rows]] = found[rows]
                count[rows] += 1
            state = follows[state, column]
        return words[:, :-1]

    @cached_property
    def grammar(self) -> Grammar:
        """The grammar over the words."""
        return Grammar(self.words, len(self.words) + 2)

    @cached_property
    def _tables(self) -> tuple[Table, Table, Table]:
        """``(S, V + 1)`` by the beginning of a word and a character: the next such state, and up to two words found."""
        texts = [word.text for word in self.words]
        starts = list(dict.fromkeys(["", *(text[:end] for text in texts for end in range(1, len(text)))]))
        unknown, shape = len(texts) + 1, (len(starts), self.vocab_size + 1)
        follows, (first, second) = np.zeros(shape, dtype=np.int64), np.full((2, *shape), _NOTHING)
        for state, start in enumerate(starts):
            first[state] = unknown if start else _NOTHING  # by default the attempt fails ...
            for index, character in enumerate(["", *list_characters(self.words)], start=-1):
                text = start + character
                if not character:
                    second[state, : self.vocab_size] = unknown
                elif text in texts:
                    first[state, index], second[state, index] = texts.index(text), _NOTHING
                elif text in starts:
                    first[state, index], second[state, index] = _NOTHING, _NOTHING
                    follows[state, index] = starts.index(text)
                elif character in texts:  # ... and the character begins another
                    second[state, index] = texts.index(character)
                elif character in starts:
                    second[state, index], follows[state, index] = _NOTHING, starts.index(character)
            second[state, [self.vocab_size - 2, self.vocab_size]] = _NOTHING  # the end is no word
        return follows, first, second
