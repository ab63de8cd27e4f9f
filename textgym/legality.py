"""What may be written next: a task's rules on tokens, split by whether they depend on the text, and checked actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.constraints import Constraint
from textgym.episodes import EOS, GOING, ILLEGAL
from textgym.errors import ActionError, EpisodeOverError
from textgym.task import Task


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
    """Splits a task's rules on the next token into a fixed mask and rules that depend on the text."""
    tokenizer = task.tokenizer
    fixed = np.ones(tokenizer.vocab_size, dtype=bool)
    fixed[list(tokenizer.special_ids)] = False
    nothing = np.zeros((1, task.budget), dtype=np.int32), np.zeros(1, dtype=np.int64)
    for constraint in task.constraints:
        if constraint.static:
            fixed &= constraint(tokenizer, *nothing)[0]
    if not fixed.any():
        fixed[tokenizer.eos_ids[0]] = True
    codes = np.full(tokenizer.vocab_size + 1, ILLEGAL, dtype=np.uint8)
    codes[:-1][fixed] = GOING
    codes[[end for end in tokenizer.eos_ids if fixed[end]]] = EOS
    codes[tokenizer.vocab_size] = GOING  # the pad of rows that sit out a step
    return Rules(fixed, tuple(rule for rule in task.constraints if not rule.static), codes)


def check_actions(
    actions: Any, over: NDArray[np.bool_], restart: NDArray[np.int64] | None, vocab_size: int
) -> NDArray[np.int32]:
    """Turns what an agent chose into ids ``(B,)``; rows that restart get the pad id, which changes nothing.

    Args:
        actions: ``(B,)`` whole numbers.
        over: ``(B,)`` rows whose text has ended.
        restart: Rows whose actions are ignored.
        vocab_size: V.

    Raises:
        ActionError: for a wrong shape, type or range.
        EpisodeOverError: if the text of a row that does not restart has ended.
    """
    actions = np.asarray(actions)
    if actions.shape != over.shape or actions.dtype.kind not in "iu":
        raise ActionError(
            f"actions of shape {actions.shape} and type {actions.dtype}; expected whole numbers of shape {over.shape}"
        )
    if restart is not None:
        actions, over = actions.copy(), over.copy()
        actions[restart], over[restart] = 0, False
    if over.nonzero()[0].size:  # faster than any()
        raise EpisodeOverError(f"the texts of rows {np.flatnonzero(over)[:5].tolist()} have ended; call reset first")
    if int(actions.max()) >= vocab_size or int(actions.min()) < 0:
        wrong = actions[(actions < 0) | (actions >= vocab_size)][0]
        raise ActionError(f"action {wrong} is outside the action space: expected 0 to {vocab_size - 1}")
    checked: NDArray[np.int32] = actions.astype(np.int32)  # the type of ``tokens``, with room for the pad id
    if restart is not None:
        checked[restart] = vocab_size
    return checked
