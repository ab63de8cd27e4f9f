"""Nesting: brackets that close one another, as a grammar, and as a reward for texts that close what a prompt opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.constraints import Grammar
from textgym.episodes import EpisodeBatch
from textgym.errors import TaskError

PAIRS = ("()", "[]", "{}", "<>")
END, GROUND = len(PAIRS) + 1, 1  # the kind that ends of texts close, and its place in a stack


def nest(pairs: tuple[str, ...], depth: int) -> Grammar:
    """The grammar of balanced brackets; a closing bracket that closes nothing in the text is free.

    Where a prompt has opened brackets, a text may close them in any order: the mask sees only what the agent wrote,
    and reads no prompt. The states are the brackets that are open, outermost first.

    Args:
        pairs: An opening and a closing bracket each, as in ``("()", "[]")``.
        depth: Most brackets that may be open at once.

    Example:
        >>> grammar = nest(("()", "[]"), depth=2)
        >>> grammar.rules["(["]
        {']': '('}
        >>> grammar.rules["("]
        {'(': '((', '[': '([', ')': ''}
    """
    closing = {pair[0]: pair[1] for pair in pairs}
    states = [""]
    for state in states:  # grows while it is read
        states += [state + opened for opened in closing] if len(state) < depth else []
    rules = {}
    for state in states:
        rules[state] = {opened: state + opened for opened in closing} if len(state) < depth else {}
        rules[state] |= {closing[state[-1]]: state[:-1]} if state else dict.fromkeys(closing.values(), "")
    return Grammar("", rules, ends=("",))


def find_open(text: str) -> str:
    """The brackets that a text leaves open, outermost first.

    Raises:
        TaskError: for a text that is not the beginning of a balanced one.

    Example:
        >>> find_open("([]{")
        '({'
    """
    closing = {pair[1]: pair[0] for pair in PAIRS}
    stack = ""
    for bracket in text:
        if closing.get(bracket, bracket) not in closing.values() or closing.get(bracket, stack[-1:]) != stack[-1:]:
            raise TaskError(f"{text!r} is not the beginning of a balanced row of the brackets {' '.join(PAIRS)}")
        stack = stack[:-1] if bracket in closing else stack + bracket
    return stack


def close(text: str) -> str:
    """The shortest text that balances this one.

    Example:
        >>> close("([]{")
        '})'
    """
    closing = {pair[0]: pair[1] for pair in PAIRS}
    return "".join(closing[opened] for opened in reversed(find_open(text)))


@dataclass(frozen=True)
class Balance:
    """The share of the prompt's open brackets, and of the end, that a text gets right.

    Reading stops at a bracket that closes another kind than the last one open, or nothing at all, and at any other
    token. Of a prompt with n brackets open, the score is the number of those that are closed by then, plus 1 where all
    is closed and the text ends, divided by n + 1. Brackets that the text itself opens earn nothing.
    """

    range = (0.0, 1.0)
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores ``(B,)`` texts."""
        opens, closes, stacks, depths = self._tables(batch)
        begun = depths.take(batch.prompt_indices)
        columns = np.ascontiguousarray(batch.completion_ids.T)
        stack = np.zeros((len(batch), stacks.shape[1] + len(columns)), dtype=np.int64)
        stack[:, : stacks.shape[1]] = stacks.take(batch.prompt_indices, axis=0)
        flat, bottom = stack.reshape(-1), np.arange(len(batch)) * stack.shape[1] + GROUND
        reading, top = np.arange(len(batch)), bottom + begun
        lowest = top.copy()
        for column in columns:
            ids = column.take(reading)
            opened = opens.take(ids)
            right = ((opened > 0) | (closes.take(ids) == flat.take(top))).nonzero()[0]
            if not right.size:
                break
            reading, opened, top = reading.take(right), opened.take(right), top.take(right)
            flat[top + 1] = opened  # above the top, so that it is nothing unless it becomes the top
            top += np.where(opened > 0, 1, -1)
            lowest[reading] = np.minimum(lowest.take(reading), top)
        return (begun - lowest + bottom) / (begun + 1)

    def _tables(self, batch: EpisodeBatch) -> tuple[NDArray[np.int64], ...]:
        """The kind ids open and close, ``(V + 1,)`` each; what prompts leave open, ``(N, D)``; how deep, ``(N,)``.

        The end closes the ground on which the brackets stand, and nothing closes what is below it.
        """
        if self._cache.get("prompts") is not batch.prompts:
            kinds = {pair[0]: kind for kind, pair in enumerate(PAIRS, start=1)}
            tokens = (*batch.tokenizer.tokens, "")
            opens = np.array([kinds.get(token, 0) for token in tokens])
            closing = {pair[1]: kind for kind, pair in enumerate(PAIRS, start=1)}
            closes = np.array([closing.get(token, -1) for token in tokens])
            closes[list(batch.tokenizer.eos_ids)] = END
            left = [[kinds[opened] for opened in find_open(text)] for text in batch.prompts.texts]
            stacks = np.zeros((len(left), GROUND + 2 + max(map(len, left))), dtype=np.int64)
            for row, stack in enumerate(left):
                stacks[row, GROUND : GROUND + 1 + len(stack)] = [END, *stack]
            depths = np.array([len(stack) for stack in left])
            self._cache.update(tables=(opens, closes, stacks, depths), prompts=batch.prompts)
        tables: tuple[NDArray[np.int64], ...] = self._cache["tables"]
        return tables

    def __getstate__(self) -> dict[str, Any]:
        return {"_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Balance:
        return self


@dataclass(frozen=True)
class Balanced:
    """1 where prompt and text together are balanced and the text has ended, 0 elsewhere."""

    balance: Balance = field(default_factory=Balance)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """1 for success, else 0."""
        return (self.balance(batch) == 1.0).astype(np.float64)
