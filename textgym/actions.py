"""What callers hand in, checked: actions, numbers of prompts, seeds, and masks of the lanes to reset."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ActionError, ConfigurationError, EpisodeOverError, PromptError

_UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


def check_actions(
    actions: Any,
    over: NDArray[np.bool_],
    restart: NDArray[np.int64] | None,
    vocab_size: int,
    *,
    resting: NDArray[np.int64] | None = None,
) -> NDArray[np.int32]:
    """Turns what an agent chose into ids ``(B,)``; rows that restart get the pad id, which changes nothing.

    Args:
        actions: ``(B,)`` whole numbers.
        over: ``(B,)`` rows whose text has ended.
        restart: Those of them that begin anew; their actions are ignored.
        vocab_size: V.
        resting: Or rows, ended or not, that sit the step out; their actions are ignored, too.

    Raises:
        ActionError: for a wrong shape, type or range.
        EpisodeOverError: if the text of a row that does not restart has ended.
    """
    try:
        actions = np.asarray(actions)
    except ValueError:  # rows of different lengths
        raise ActionError(f"actions={actions!r}: expected whole numbers of shape {over.shape}") from None
    if actions.shape != over.shape or actions.dtype.kind not in "iu":
        raise ActionError(
            f"actions of shape {actions.shape} and type {actions.dtype}; expected whole numbers of shape {over.shape}"
        )
    idle = restart if resting is None else resting
    if np.count_nonzero(over) != (0 if restart is None or resting is not None else len(restart)):
        waiting = np.setdiff1d(np.flatnonzero(over), [] if idle is None else idle)
        if waiting.size:
            raise EpisodeOverError(f"the texts of rows {waiting[:5].tolist()} have ended; call reset first")
    checked: NDArray[np.int32] = actions.astype(np.int32)  # the type of ``tokens``, with room for the pad id
    if np.maximum.reduce(actions.view(_UNSIGNED[actions.itemsize])) >= vocab_size:  # so negative ones are large
        _check_range(actions if idle is None else np.delete(actions, idle), vocab_size)
    if idle is not None:
        checked[idle] = vocab_size
    return checked


def _check_range(actions: NDArray[Any], vocab_size: int) -> None:
    wrong = actions[(actions < 0) | (actions >= vocab_size)]
    if wrong.size:
        raise ActionError(f"action {wrong[0]} is outside the action space: expected 0 to {vocab_size - 1}")


def check_prompt_index(index: Any, size: int, prompts: int) -> NDArray[np.int64]:
    """Turns a user's prompt index, one for all rows or one a row, into ``(size,)``.

    Raises:
        PromptError: for what is no row of a table of so many prompts.
    """
    indices = np.asarray(index)
    wrong = indices.dtype.kind not in "iu" or indices.shape not in ((), (size,))
    if wrong or ((indices < 0) | (indices >= prompts)).any():
        raise PromptError(
            f"prompt_index={index!r}: expected one whole number from 0 to {prompts - 1}, or {size} of them"
        )
    return np.broadcast_to(indices.astype(np.int64), (size,))


def check_reset_mask(mask: Any, size: int) -> NDArray[np.bool_]:
    """The lanes to reset, ``(size,)``; all of them where nothing is said.

    Raises:
        ConfigurationError: for what is no bool array of that shape, and for one that names nobody.
    """
    if mask is None:
        return np.ones(size, dtype=bool)
    right = isinstance(mask, np.ndarray) and mask.dtype == bool and mask.shape == (size,) and mask.any()
    if not right:
        raise ConfigurationError(f"reset_mask={mask!r}: expected a bool array of shape ({size},), some True")
    return np.asarray(mask)


def check_seeds(seed: int | list[int | None], size: int) -> list[int | None]:
    """A seed for each of so many lanes: lane i gets ``seed + i`` of a single number.

    Raises:
        ConfigurationError: for another number of seeds, and for what is no whole number of at least 0.
    """
    if isinstance(seed, int | np.integer):
        seeds: list[int | None] = [int(seed) + lane for lane in range(size)]
    else:
        seeds = list(seed)
    if len(seeds) != size:
        raise ConfigurationError(f"{len(seeds)} seeds for {size} lanes; expected one number, or one a lane")
    if any(lane is not None and (not isinstance(lane, int | np.integer) or lane < 0) for lane in seeds):
        raise ConfigurationError(f"seed={seed!r}: expected whole numbers of at least 0")
    return seeds
