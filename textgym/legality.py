"""What may be written next: a task's rules on tokens, and the masks that they make of texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from textgym.constraints import Constraint, Grammar, States
from textgym.demands import check_mask
from textgym.episodes import EOS, GOING, ILLEGAL
from textgym.errors import TaskError
from textgym.task import Task
from textgym.tokenizers import Tokenizer

if TYPE_CHECKING:
    from textgym.core import GenerationCore


_NO_ROWS: NDArray[np.int64] = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Rules:
    """A task's rules on the next token.

    Attributes:
        fixed_mask: ``(V,)`` what may be written as far as it does not depend on the text.
        dynamic: The rules that depend on the text.
        codes: ``(V + 1,)`` the stop code of writing each id under the fixed mask; the pad id's last.
    """

    fixed_mask: NDArray[np.bool_]
    dynamic: tuple[Constraint, ...]
    codes: NDArray[np.uint8]


def read_rules(task: Task) -> Rules:
    """Splits a task's rules on the next token into a fixed mask and rules that depend on the text.

    Raises:
        TaskError: if the fixed mask forbids every id, or a rule gives no mask.
    """
    tokenizer = task.tokenizer
    fixed = np.ones(tokenizer.vocab_size, dtype=bool)
    fixed[list(tokenizer.special_ids)] = False
    nothing = np.zeros((1, task.budget), dtype=np.int32), np.zeros(1, dtype=np.int64)
    for constraint in task.constraints:
        mask = check_mask(constraint, constraint(tokenizer, *nothing), (1, tokenizer.vocab_size))
        if constraint.static:
            fixed &= mask[0]
    if not fixed.any():
        raise TaskError(f"{_forbidding(task)} before anything is written; let them allow at least one")
    codes = np.full(tokenizer.vocab_size + 1, ILLEGAL, dtype=np.uint8)
    codes[:-1][fixed] = GOING
    codes[[end for end in tokenizer.eos_ids if fixed[end]]] = EOS
    codes[tokenizer.vocab_size] = GOING  # the pad of rows that sit out a step
    return Rules(fixed, tuple(rule for rule in task.constraints if not rule.static), codes)


def masks_after(
    rules: Rules, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """``(B, V)`` what may be written after texts that are read from their beginning; no row is all False.

    Args:
        rules: A task's.
        tokenizer: The vocabulary.
        completions: ``(B, T)`` ids so far, padded with V.
        lengths: ``(B,)`` number of ids so far.
    """
    masks = np.repeat(rules.fixed_mask[None], len(completions), axis=0)
    _narrow(masks, (rule(tokenizer, completions, lengths) for rule in rules.dynamic), tokenizer)
    return masks


def _narrow(masks: NDArray[np.bool_], parts: Iterable[NDArray[np.bool_]], tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Takes off ``masks`` what a part forbids. Rows that have nothing left get the end; returns which they are."""
    for part in parts:
        masks &= part
    begins = np.arange(0, masks.size, masks.shape[1])
    some = masks.reshape(-1).take(begins + masks.argmax(axis=1))  # four times as fast as any(axis=1)
    if np.count_nonzero(some) == len(some):
        return _NO_ROWS
    stuck = np.flatnonzero(~some)
    masks[stuck, tokenizer.eos_ids[0]] = True
    return stuck


def _forbidding(task: Task) -> str:
    rules = ", ".join(type(rule).__name__ for rule in task.constraints)
    return f"the constraints of {task.name} ({task.level}), {rules}, forbid every id, the end included,"


@dataclass(frozen=True)
class Table:
    """All rules of a task in which one grammar alone depends on the text, looked up by the state of the grammar.

    States are multiples of V + 1 here, so that a state and an id add up to a place.

    Attributes:
        masks: ``(S, V)`` what may be written next; no row is all False.
        codes: ``(S * (V + 1),)`` the stop code of writing id i in state s, at place s + i.
        steps: ``(S * (V + 1),)`` the state that this leads to.
        rows: ``(S * (V + 1),)`` the row of the masks, of state s at place s; a look is faster than to divide.
        stuck: ``(S,)`` states that have nothing to write, in which the mask allows the end.
        is_sound: Whether no text that goes on can get into such a state.
    """

    masks: NDArray[np.bool_]
    codes: NDArray[np.uint8]
    steps: NDArray[np.int64]
    rows: NDArray[np.int64]
    stuck: NDArray[np.bool_]
    is_sound: bool


def tabulate(rules: Rules, tokenizer: Tokenizer) -> Table | None:
    """The table of a task's rules, or None where they are not a single grammar."""
    if len(rules.dynamic) != 1 or not isinstance(rules.dynamic[0], Grammar):
        return None
    grammar, stride = rules.dynamic[0], tokenizer.vocab_size + 1
    states = np.arange(grammar.count_states(tokenizer))
    masks = np.repeat(rules.fixed_mask[None], len(states), axis=0)
    stuck = np.zeros(len(states), dtype=bool)
    stuck[_narrow(masks, [grammar.legal(tokenizer, states)], tokenizer)] = True
    codes = np.repeat(rules.codes[None], len(states), axis=0)
    codes[:, :-1][~masks] = ILLEGAL
    places = np.arange(len(states) * stride)
    rows = places // stride
    steps = grammar.follow(tokenizer, rows, (places % stride).astype(np.int32)) * stride
    is_sound = not stuck[:-1].any()  # the last state is that of the dead
    return Table(masks, codes.reshape(-1), steps, rows, stuck, is_sound)


class Legality:
    """What may be written next in each of B texts.

    A mask is made once for each state of the texts: it tells the agent what is legal, and then judges what the agent
    has chosen. Grammars are not read from the beginning again but followed token by token. Both are derived from the
    texts and no part of the state: :meth:`forget` whenever texts change in another way than by one token.

    Args:
        task: The problem.
        size: B.

    Attributes:
        rules: The task's rules.
    """

    def __init__(self, task: Task, size: int) -> None:
        self.task, self.size, self.rules = task, size, read_rules(task)
        self._grammars = tuple(rule for rule in self.rules.dynamic if isinstance(rule, Grammar))
        self._others = tuple(rule for rule in self.rules.dynamic if not isinstance(rule, Grammar))
        self._table = tabulate(self.rules, task.tokenizer)
        self._begins = np.arange(size, dtype=np.int64) * task.tokenizer.vocab_size
        # Neither is ever changed in place, so that copies of this object may share them.
        self._masks: NDArray[np.bool_] | None = None
        self._states: list[States] | None = None
        self._next: States | None = None  # where the ids lead that were judged last, from one state of the table

    @cached_property
    def _fixed(self) -> NDArray[np.bool_]:
        """``(B, V)`` the fixed mask in each row, built when masks are first asked for: large vocabularies seldom do."""
        return np.repeat(self.rules.fixed_mask[None], self.size, axis=0)

    def forget(self) -> None:
        """The texts have changed; masks are made anew when somebody asks."""
        self._masks = self._states = self._next = None

    def restart(self, rows: NDArray[np.int64]) -> None:
        """The texts in these rows are empty again."""
        self._masks = None
        if self._next is not None:
            self._next[rows] = 0
        elif self._states is not None:
            self._states = [states.copy() for states in self._states]
            for states in self._states:
                states[rows] = 0

    def follow(self, ids: NDArray[np.int32]) -> None:
        """Every text has got one more token; the padding V stands for none."""
        self._masks = None
        if self._next is not None:  # the step that was judged
            self._states, self._next = [self._next], None
        elif self._table is not None:
            self._states = None
        elif self._states is not None:
            pairs = zip(self._grammars, self._states, strict=True)
            self._states = [grammar.follow(self.task.tokenizer, states, ids) for grammar, states in pairs]

    def masks(self, core: GenerationCore) -> NDArray[np.bool_]:
        """``(B, V)`` True where an id may come next; no row is all False. Not to be changed.

        Raises:
            TaskError: if the rules leave a text that goes on nothing to write.
        """
        if not self.rules.dynamic:
            return self._fixed
        if self._table is not None:
            return self._look_up(core, self._table)
        if self._masks is None:
            self._masks = self._make_masks(core)
        return self._masks

    def copy_masks(self, core: GenerationCore) -> NDArray[np.bool_]:
        """:meth:`masks` as an array of the caller's own."""
        masks = self.masks(core)
        return masks if self._table is not None else masks.copy()  # what was looked up is nobody else's

    def judge(self, core: GenerationCore, actions: NDArray[np.int32]) -> NDArray[np.uint8]:
        """The stop codes ``(B,)`` of writing these ids: GOING, EOS or ILLEGAL; the padding V goes on."""
        if self._table is not None:
            if not self._table.is_sound:
                self.masks(core)  # which complains
            (states,) = self._read(core)
            places = states + actions
            self._next = self._table.steps.take(places)
            return self._table.codes.take(places)
        codes = self.rules.codes[actions]
        if self.rules.dynamic:
            legal = self.masks(core).reshape(-1).take(self._begins + actions, mode="clip")  # of the padding: anything
            codes[(legal < (actions < self.task.tokenizer.vocab_size)).nonzero()[0]] = ILLEGAL
        return codes

    def _make_masks(self, core: GenerationCore) -> NDArray[np.bool_]:
        tokenizer, completions, lengths = self.task.tokenizer, core.completions, core.lengths
        masks, pairs = self._fixed.copy(), zip(self._grammars, self._read(core), strict=True)
        parts = [grammar.legal(tokenizer, states) for grammar, states in pairs]
        parts += [rule(tokenizer, completions, lengths) for rule in self._others]
        stuck = _narrow(masks, parts, tokenizer)
        if stuck is not _NO_ROWS:
            self._check_stuck(core, stuck)
        return masks

    def _look_up(self, core: GenerationCore, table: Table) -> NDArray[np.bool_]:
        (states,) = self._read(core)
        rows = table.rows.take(states)
        if not table.is_sound:
            self._check_stuck(core, table.stuck.take(rows).nonzero()[0])
        return table.masks.take(rows, axis=0)

    def _read(self, core: GenerationCore) -> list[States]:
        """The state ``(B,)`` that each text has led each grammar to."""
        if self._states is None:
            texts = self.task.tokenizer, core.completions, core.lengths
            self._states = [grammar.read(*texts) for grammar in self._grammars]
            if self._table is not None:
                self._states[0] *= self.task.tokenizer.vocab_size + 1
        return self._states

    def _check_stuck(self, core: GenerationCore, stuck: NDArray[np.int64]) -> None:
        """Texts that are over may have nothing left to write, as after an illegal id; others may not."""
        for row in stuck[~core.over[stuck]].tolist():
            text = self.task.tokenizer.decode(core.completions[row, : core.lengths[row]].tolist())
            prompt = core.prompts.texts[core.prompt_indices[row]]
            raise TaskError(f"{_forbidding(self.task)} after {text!r} to the prompt {prompt!r}; let them allow the end")
