"""Constraints: rules on which ids an agent may write next. They compose by logical and.

A constraint is called with the completions so far and returns a mask. One whose mask depends on
nothing but the vocabulary says ``static = True`` and is asked once. Together they have to leave every
text that goes on something to write: where they forbid all ids, the end included, the environment
raises a :class:`~textgym.errors.TaskError` that names the prompt and the text so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from textgym.errors import TaskError, suggestion
from textgym.tokenizers import Tokenizer

Mask = NDArray[np.bool_]
States = NDArray[np.int64]


class Constraint(Protocol):
    """A rule on the next token."""

    @property
    def static(self) -> bool:
        """Whether the mask is the same for every text."""
        ...

    def __call__(self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> Mask:
        """Returns ``(B, V)``, True where an id may come next.

        Args:
            tokenizer: The vocabulary.
            completions: ``(B, T)`` ids so far, padded with V.
            lengths: ``(B,)`` number of ids so far.
        """
        ...


@dataclass(frozen=True)
class Lexicon:
    """Only these tokens, and the end of the text, may be written.

    Attributes:
        words: The tokens as the tokenizer spells them.
    """

    words: tuple[str, ...]
    static: ClassVar[bool] = True

    def __call__(self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> Mask:
        """The same row for every text."""
        ids = {token: index for index, token in enumerate(tokenizer.tokens)}
        row = np.zeros(tokenizer.vocab_size, dtype=bool)
        for word in self.words:
            if word not in ids:
                raise TaskError(f"the lexicon's word {word!r} is not in the vocabulary.{suggestion(word, ids)}")
            row[ids[word]] = True
        row[list(tokenizer.eos_ids)] = True
        return np.repeat(row[None], len(completions), axis=0)


@dataclass(frozen=True)
class MinLength:
    """The text may not end before it has ``tokens`` tokens."""

    tokens: int
    static: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.tokens < 0:
            raise TaskError(f"MinLength({self.tokens}): expected 0 tokens or more")

    def __call__(self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> Mask:
        """Forbids the end ids in short texts."""
        mask = np.ones((len(completions), tokenizer.vocab_size), dtype=bool)
        mask[np.ix_(lengths < self.tokens, np.array(tokenizer.eos_ids))] = False
        return mask


@dataclass(frozen=True)
class NoRepeat:
    """No n-gram may stand twice in one text; the end of a text or turn is no part of any.

    Attributes:
        n: Length of the n-grams; 1 means that no token is written twice.
    """

    n: int = 1
    static: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.n < 1:
            raise TaskError(f"NoRepeat({self.n}): expected an n-gram of at least 1 token")

    def __call__(self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> Mask:
        """Forbids every id that would end an n-gram which the text has already."""
        count, width = completions.shape
        rows, last = np.arange(count), completions[:, self.n - 1 :]  # the last token of each n-gram
        mask = np.ones((count, tokenizer.vocab_size + 1), dtype=bool)
        again = np.repeat((lengths >= self.n)[:, None], last.shape[1], axis=1)
        for back in range(1, self.n) if last.size else ():  # the tokens before it against those before the next one
            before = completions[rows, lengths - back][:, None]
            again &= (completions[:, self.n - 1 - back : width - back] == before) & ~np.isin(before, tokenizer.eos_ids)
        mask[rows[:, None], np.where(again, last, tokenizer.vocab_size)] = False
        mask[:, list(tokenizer.eos_ids)] = True
        return mask[:, :-1]


@dataclass(frozen=True)
class Grammar:
    """A finite automaton reads the text; what has no rule in its state may not be written.

    The ends of turns in a conversation lead back to ``start``. Tokens in no rule, such as a partner's own words, are
    never legal and change nothing where they stand. After a token that its state forbids, nothing is legal.

    Attributes:
        start: State of the empty text.
        rules: State -> token, as the tokenizer spells it -> next state.
        ends: States in which the text may end.

    Raises:
        TaskError: for a state without rules that is not among ``ends``, or a token outside the vocabulary.

    Example:
        >>> from textgym.tokenizers import WordTokenizer
        >>> rules = {"noun": {"dogs": "verb", "cats": "verb"}, "verb": {"sleep": "over"}}
        >>> verse = Grammar("noun", rules, ends=("over",))
        >>> tokenizer = WordTokenizer(["dogs", "cats", "sleep"])
        >>> mask = verse(tokenizer, np.array([[1, 5]], dtype=np.int32), np.array([1]))
        >>> [token for token, legal in zip(tokenizer.tokens, mask[0], strict=True) if legal]
        ['sleep']
    """

    start: str
    rules: Mapping[str, Mapping[str, str]] = field(hash=False)
    ends: tuple[str, ...]
    static: ClassVar[bool] = False
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = {*self.rules, *self.ends}
        targets = [state for rule in self.rules.values() for state in rule.values()]
        for state in (self.start, *targets):
            if state not in known:
                raise TaskError(f"the grammar leads to the state {state!r}, which has no rules and is not in ends")
        for state in self.ends:
            if state not in (self.start, *self.rules, *targets):
                hint = suggestion(state, [*self.rules, *targets])
                raise TaskError(f"the grammar's end {state!r} is a state that nothing leads to and has no rules.{hint}")

    def __call__(self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> Mask:
        """The row of the state that each text has led to."""
        return self.legal(tokenizer, self.read(tokenizer, completions, lengths))

    def read(self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> States:
        """The number ``(B,)`` of the state that each text ``(B, T)`` has led to, 0 for the empty text."""
        states = np.zeros(len(completions), dtype=np.int64)
        for column in completions[:, : lengths.max(initial=0)].T:
            states = self.follow(tokenizer, states, column)
        return states

    def follow(self, tokenizer: Tokenizer, states: States, ids: NDArray[np.int32]) -> States:
        """The states ``(B,)`` that one more token each leads to; the padding leaves every state as it is."""
        steps, _ = self._tables(tokenizer)
        return steps.take(states * (tokenizer.vocab_size + 1) + ids)

    def legal(self, tokenizer: Tokenizer, states: States) -> Mask:
        """``(B, V)`` what may come next in these states."""
        _, legal = self._tables(tokenizer)
        return legal.take(states, axis=0)

    def count_states(self, tokenizer: Tokenizer) -> int:
        """S, the number of states; the last is that of texts that have left the grammar, which nothing leads out of."""
        return len(self._tables(tokenizer)[1])

    def _tables(self, tokenizer: Tokenizer) -> tuple[NDArray[np.int64], Mask]:
        """The next state, of state s and id i at ``s * (V + 1) + i``; and ``(S, V)`` what is legal."""
        if self._cache.get("tokenizer") is not tokenizer:
            self._cache.update(zip(("steps", "legal"), self._build(tokenizer), strict=True))
            self._cache["tokenizer"] = tokenizer
        return self._cache["steps"], self._cache["legal"]

    def _build(self, tokenizer: Tokenizer) -> tuple[NDArray[np.int64], Mask]:
        states = {state: row for row, state in enumerate(dict.fromkeys((self.start, *self.rules, *self.ends)))}
        ids = {token: index for index, token in enumerate(tokenizer.tokens)}
        steps = np.repeat(np.arange(len(states) + 1)[:, None], tokenizer.vocab_size + 1, axis=1)  # the last is dead
        legal = np.zeros((len(states) + 1, tokenizer.vocab_size), dtype=bool)
        steps[:-1, [_find(token, ids) for rule in self.rules.values() for token in rule]] = len(states)
        for state, rule in self.rules.items():
            for token, target in rule.items():
                steps[states[state], ids[token]], legal[states[state], ids[token]] = states[target], True
        ends = np.array(tokenizer.eos_ids)
        legal[np.ix_(np.array([states[state] for state in self.ends], dtype=np.int64), ends)] = True
        steps[:, ends] = 0
        return steps.reshape(-1), legal

    def __getstate__(self) -> dict[str, Any]:
        return {"start": self.start, "rules": self.rules, "ends": self.ends, "_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Grammar:
        return self


def _find(token: str, ids: Mapping[str, int]) -> int:
    if token not in ids:
        raise TaskError(f"the grammar's token {token!r} is not in the vocabulary.{suggestion(token, ids)}")
    return ids[token]
