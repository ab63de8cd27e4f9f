"""Nesting: brackets that close one another, as a grammar, and as a reward for texts that close what a prompt opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.constraints import Grammar
from textgym.episodes import EpisodeBatch
from textgym.errors import TaskError

Stack = tuple[int, ...]
State = tuple[int, Stack, Stack] | float

PAIRS = ("()", "[]", "{}", "<>")
END, GROUND = len(PAIRS) + 1, 1  # the kind that ends of texts close, and its place in a stack
MOST_STATES = 4096  # of the machine that reads texts at short levels


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
class Machine:
    """Reads texts by one look into a table for each token.

    Attributes:
        starts: ``(N,)`` the state before the text, for each prompt; states are multiples of V + 1.
        steps: ``(S * (V + 1),)`` the next state, at the sum of state and id.
        scores: ``(S * (V + 1),)`` what a text earns that ends in a state.
    """

    starts: NDArray[np.int64]
    steps: NDArray[np.int64]
    scores: NDArray[np.float64]

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores ``(B,)`` texts."""
        states = self.starts.take(batch.prompt_indices)
        for column in batch.completion_ids.T.astype(np.int64, order="C"):  # a sum of two types takes twice as long
            column += states
            states = self.steps.take(column)
        return self.scores.take(states)


def build_machine(begun: list[Stack], kinds: list[tuple[int, int]], *, deepest: int) -> Machine | None:
    """The machine that reads as :class:`Balance` says, or None if it has too many states.

    A state is the number of brackets that the prompt leaves open, those of them that are open still, and those that
    the text has opened itself; or what a text earns in which nothing counts any more.

    Args:
        begun: What each prompt leaves open, outermost first.
        kinds: The kinds that each id opens and closes, 0 or less for none.
        deepest: Most brackets of its own that a text can open and close again, and one of the prompt's then.
    """
    starts: list[State] = [(len(stack), stack, ()) for stack in begun]
    places = {state: place for place, state in enumerate(dict.fromkeys(starts))}
    steps: list[list[int]] = []
    states = list(places)
    for state in states:  # grows while it is read
        row = []
        for opened, closed in kinds:
            target = _next_state(state, opened, closed, deepest)
            if places.setdefault(target, len(places)) == len(states):
                states.append(target)
            row.append(places[target])
        steps.append(row)
        if len(states) > MOST_STATES:
            return None
    size = len(kinds)
    scores = np.repeat([_earned(state) for state in states], size)
    return Machine(np.array([places[state] for state in starts]) * size, np.array(steps).reshape(-1) * size, scores)


def _next_state(state: State, opened: int, closed: int, deepest: int) -> State:
    if isinstance(state, float):
        return state
    count, left, own = state
    if opened and len(own) < deepest:
        return count, left, (*own, opened)
    if opened or closed != (END, *left, *own)[-1]:
        return _earned(state)
    if closed == END:
        return 1.0
    return (count, left, own[:-1]) if own else (count, left[:-1], own)


def _earned(state: State) -> float:
    return state if isinstance(state, float) else (state[0] - len(state[1])) / (state[0] + 1)


@dataclass(frozen=True)
class Balance:
    """The share of the prompt's open brackets, and of the end, that a text gets right.

    Reading stops at a bracket that closes another kind than the last one open, or nothing at all, and at any other
    token. Of a prompt with n brackets open, the score is the number of those that are closed by then, plus 1 where all
    is closed and the text ends, divided by n + 1. Brackets that the text itself opens earn nothing.
    """

    range = (0.0, 1.0)
    total = True
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores ``(B,)`` texts."""
        machine = None if batch.prompts.is_streamed else self._machine(batch)
        return self._read(batch.local()) if machine is None else machine(batch)

    def _read(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Reads all texts at once, column by column, each with a stack of its own."""
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
            self._cache.update(tables=(opens, closes, stacks, depths), prompts=batch.prompts, machines={})
        tables: tuple[NDArray[np.int64], ...] = self._cache["tables"]
        return tables

    def _machine(self, batch: EpisodeBatch) -> Machine | None:
        """The same reading as a finite machine, which is five times as fast, where it has few states."""
        width = batch.completion_ids.shape[1]
        if self._cache.get("prompts") is not batch.prompts or width not in self._cache["machines"]:
            opens, closes, stacks, _ = self._tables(batch)
            machines: dict[int, Machine | None] = self._cache["machines"]
            kinds = list(zip(opens.tolist(), closes.tolist(), strict=True))
            begun = [tuple(kind for kind in row[GROUND + 1 :] if kind) for row in stacks.tolist()]
            machines[width] = build_machine(begun, kinds, deepest=(width - 1) // 2)
        machine: Machine | None = self._cache["machines"][width]
        return machine

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
