"""GenerationCore: the transition rules, and the only place where they stand.

A batch of episodes as a struct of arrays. One buffer ``tokens[B, P + T]`` holds prompts and completions;
a step writes one id a row through a flat index, and only rows whose text ended are touched further.
Both environments are shells around this class; it knows nothing of Gymnasium.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EOS, GOING, ILLEGAL, STOP, EpisodeBatch
from textgym.errors import ActionError, ConfigurationError, EpisodeOverError, PromptError
from textgym.keys import episode_keys, pick_array
from textgym.scoring import Scorer, Scores
from textgym.task import Task

Rows = NDArray[np.int64]

_STATE = ("tokens", "cursors", "lane_keys", "episodes", "keys", "prompt_indices", "over", "previous")


@dataclass(slots=True)
class Ending:
    """What a step ended.

    Attributes:
        rows: ``(K,)`` the rows whose text ended.
        episodes: Their texts.
        scores: What the reward said of them.
    """

    rows: Rows
    episodes: EpisodeBatch
    scores: Scores


class GenerationCore:
    """B episodes of one task, stepped together.

    Args:
        task: The problem.
        size: B, the number of rows.
        split: Which prompts are drawn.
        scorer: The reward with its failures handled.
        per_step: Pay the change of the score at every step instead of the score at the end.

    Attributes:
        tokens: ``(B, P + T)`` int32; ids, or the private pad id V.
        cursors: ``(B,)`` flat index into ``tokens`` of the next write.
        over: ``(B,)`` whether the row's text has ended (or never begun).
    """

    def __init__(self, task: Task, size: int, *, split: str, scorer: Scorer, per_step: bool = False) -> None:
        self.task, self.size, self.scorer, self.per_step = task, size, scorer, per_step
        self.prompts, self.tokenizer = task.prompts, task.tokenizer
        self.vocab_size = self.tokenizer.vocab_size
        self.prompt_width, self.width = self.prompts.width, self.prompts.width + task.budget
        self.split_rows = self.prompts.rows(split)
        self._read_masks()
        self.template = np.full((len(self.prompts), self.width), self.vocab_size, dtype=np.int32)
        self.template[:, : self.prompt_width] = self.prompts.ids
        self.begins = np.arange(size, dtype=np.int64) * self.width + self.prompt_width
        self.ends = self.begins + task.budget
        self.tokens = np.full((size, self.width), self.vocab_size, dtype=np.int32)
        self.cursors = self.begins.copy()
        self.lane_keys = np.zeros(size, dtype=np.uint64)
        self.episodes = np.zeros(size, dtype=np.uint64)
        self.keys = np.zeros(size, dtype=np.uint64)
        self.prompt_indices = np.zeros(size, dtype=np.int64)
        self.over = np.ones(size, dtype=bool)
        self.previous = np.zeros(size)
        self._flat = self.tokens.reshape(-1)

    def _read_masks(self) -> None:
        """Splits the rules on the next token into a fixed mask and rules that depend on the text."""
        fixed = np.ones(self.vocab_size, dtype=bool)
        fixed[list(self.tokenizer.special_ids)] = False
        nothing = np.zeros((1, self.task.budget), dtype=np.int32), np.zeros(1, dtype=np.int64)
        for constraint in self.task.constraints:
            if constraint.static:
                fixed &= constraint(self.tokenizer, *nothing)[0]
        if not fixed.any():
            fixed[self.tokenizer.eos_ids[0]] = True
        self.fixed_mask = fixed
        self.rules = tuple(constraint for constraint in self.task.constraints if not constraint.static)
        self.codes = np.full(self.vocab_size + 1, ILLEGAL, dtype=np.uint8)
        self.codes[:-1][fixed] = GOING
        self.codes[[end for end in self.tokenizer.eos_ids if fixed[end]]] = EOS
        self.codes[self.vocab_size] = GOING  # the pad of rows that sit out a step

    @cached_property
    def _masks(self) -> NDArray[np.bool_]:
        """``(B, V)`` the fixed mask in each row, built when masks are first asked for: large vocabularies seldom do."""
        return np.repeat(self.fixed_mask[None], self.size, axis=0)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``(B,)`` number of tokens written so far."""
        return self.cursors - self.begins

    def masks(self, rows: Rows | slice = slice(None)) -> NDArray[np.bool_]:
        """``(B, V)`` a fresh array, True where an id may be written next; no row is all False."""
        if not self.rules:
            return self._masks.copy() if isinstance(rows, slice) else self._masks[rows]
        completions, lengths = self.tokens[rows, self.prompt_width :], self.lengths[rows]
        masks = self._masks[rows].copy()
        for rule in self.rules:
            masks &= rule(self.tokenizer, completions, lengths)
        masks[~masks.any(axis=1), self.tokenizer.eos_ids[0]] = True
        return masks

    def seed(self, rows: Rows, lane_keys: NDArray[np.uint64]) -> None:
        """Starts these rows' chains of episodes anew."""
        self.lane_keys[rows] = lane_keys
        self.episodes[rows] = 0

    def reset(self, rows: Rows, prompt_indices: NDArray[np.int64] | None = None) -> None:
        """Begins the next episode in these rows, with a drawn prompt or the given ones."""
        episodes = self.episodes[rows]
        keys = episode_keys(self.lane_keys[rows], episodes)
        self.episodes[rows] = episodes + np.uint64(1)
        if prompt_indices is None:
            prompt_indices = self.split_rows[pick_array(keys, len(self.split_rows))]
        self.keys[rows] = keys
        self.prompt_indices[rows] = prompt_indices
        self.tokens[rows] = self.template.take(prompt_indices, axis=0)
        self.cursors[rows] = self.begins[rows]
        self.over[rows] = False
        if self.per_step:
            self.previous[rows] = 0.0

    def place(self, prompt_indices: Rows, completions: NDArray[np.int32], previous: NDArray[np.float64]) -> None:
        """Puts every row into the middle of a text, from where it can step on.

        Args:
            prompt_indices: ``(B,)`` rows of the prompt table.
            completions: ``(B, t)`` ids written so far, t below T.
            previous: ``(B,)`` scores of these prefixes; they count only where steps pay the change of the score.
        """
        written = completions.shape[1]
        self.prompt_indices[:] = prompt_indices
        self.tokens[...] = self.template.take(prompt_indices, axis=0)
        self.tokens[:, self.prompt_width : self.prompt_width + written] = completions
        self.cursors[:] = self.begins + written
        self.over[:] = False
        self.previous[:] = previous

    def check_prompt_index(self, index: Any) -> NDArray[np.int64]:
        """Turns a user's prompt index, one for all rows or one a row, into ``(B,)``; out of range is an error."""
        indices = np.asarray(index)
        wrong = indices.dtype.kind not in "iu" or indices.shape not in ((), (self.size,))
        if wrong or ((indices < 0) | (indices >= len(self.prompts))).any():
            raise PromptError(
                f"prompt_index={index!r}: expected one whole number from 0 to {len(self.prompts) - 1}, "
                f"or {self.size} of them"
            )
        return np.broadcast_to(indices.astype(np.int64), (self.size,))

    def step(self, actions: Any, restart: Rows | None = None) -> tuple[NDArray[np.float64], Ending | None]:
        """Writes one id in every row.

        Args:
            actions: ``(B,)`` ids.
            restart: Rows that begin their next episode instead; their actions are ignored.

        Returns:
            ``(B,)`` rewards, and what ended (None if nothing did).

        Raises:
            ActionError: for actions of a wrong shape, type or range; nothing has changed then.
            EpisodeOverError: if another row's text has ended and was not reset.
        """
        actions = self._check_actions(actions, restart)
        if restart is not None:
            self.reset(restart)
        codes: NDArray[np.uint8] = self.codes[actions]
        if self.rules:
            self._apply_rules(actions, codes)
        self._flat[self.cursors] = actions
        self.cursors += 1
        if restart is not None:
            self.cursors[restart] = self.begins[restart]
        np.maximum(codes, (self.cursors == self.ends).view(np.uint8), out=codes)  # LENGTH is code 1
        if self.task.stop is not None:
            stopped = self.task.stop(self.tokens[:, self.prompt_width :], self.lengths) & (actions < self.vocab_size)
            np.maximum(codes, np.uint8(STOP) * stopped.view(np.uint8), out=codes)
        return self._pay(codes, restart)

    def _check_actions(self, actions: Any, restart: Rows | None) -> NDArray[np.int32]:
        actions = np.asarray(actions)
        if actions.shape != (self.size,) or actions.dtype.kind not in "iu":
            raise ActionError(
                f"actions of shape {actions.shape} and type {actions.dtype}; expected whole numbers of shape "
                f"({self.size},)"
            )
        over = self.over
        if restart is not None:
            actions, over = actions.copy(), over.copy()
            actions[restart], over[restart] = 0, False
        if over.nonzero()[0].size:  # faster than any()
            raise EpisodeOverError(
                f"the texts of rows {np.flatnonzero(over)[:5].tolist()} have ended; call reset first"
            )
        if int(actions.max()) >= self.vocab_size or int(actions.min()) < 0:
            wrong = actions[(actions < 0) | (actions >= self.vocab_size)][0]
            raise ActionError(f"action {wrong} is outside the action space: expected 0 to {self.vocab_size - 1}")
        checked: NDArray[np.int32] = actions.astype(np.int32)  # the type of ``tokens``, with room for the pad id
        if restart is not None:
            checked[restart] = self.vocab_size  # writing the pad id changes nothing
        return checked

    def _apply_rules(self, actions: NDArray[np.int32], codes: NDArray[np.uint8]) -> None:
        acting = np.flatnonzero(actions < self.vocab_size)
        legal = self.masks(acting)[np.arange(len(acting)), actions[acting]]
        codes[acting[~legal]] = ILLEGAL
        allowed_ends = acting[legal & np.isin(actions[acting], self.tokenizer.eos_ids)]
        codes[allowed_ends] = EOS

    def batch(self, rows: Rows, codes: NDArray[np.uint8]) -> EpisodeBatch:
        """The texts in these rows, as rewards see them; ``codes`` are their stop codes."""
        return EpisodeBatch(
            self.tokens.take(rows, axis=0),
            self.cursors[rows] - self.begins[rows],
            codes,
            self.keys[rows],
            self.prompt_indices[rows],
            self.prompts,
            self.tokenizer,
            gold=self.task.gold,
            success=self.task.success,
        )

    def _pay(self, codes: NDArray[np.uint8], restarted: Rows | None) -> tuple[NDArray[np.float64], Ending | None]:
        """Asks the reward once, for all rows that need it, and closes the rows that ended."""
        rewards = np.zeros(self.size)
        ended = codes.astype(bool).nonzero()[0]  # twice as fast as for small integers
        rows = ended
        if self.per_step:
            rows = np.delete(np.arange(self.size), [] if restarted is None else restarted)
        if not rows.size:
            return rewards, None
        self.over[ended] = True  # before the reward is asked: should it raise, these rows take no further step
        batch = self.batch(rows, codes[rows])
        scores = self.scorer(batch)
        rewards[rows] = scores.values - self.previous[rows] if self.per_step else scores.values
        if self.per_step:
            self.previous[rows] = scores.values
            batch, scores = _only(batch.stop_codes.nonzero()[0], batch, scores)
        return rewards, Ending(ended, batch, scores) if ended.size else None

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Copies of everything that a step or reset can change."""
        return {name: getattr(self, name).copy() for name in _STATE}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Goes back to a state; the next steps are then the same as after :meth:`get_state`."""
        if state["tokens"].shape != self.tokens.shape:
            raise ConfigurationError(
                f"a state of (rows, width) {state['tokens'].shape} for {self!r}; expected one of {self.tokens.shape}"
            )
        for name in _STATE:
            getattr(self, name)[...] = state[name]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._flat = self.tokens.reshape(-1)  # a view of the copy, not of the original

    def __deepcopy__(self, memo: dict[int, Any]) -> GenerationCore:
        twin = object.__new__(type(self))
        twin.__setstate__(
            {**self.__dict__, **self.get_state(), "scorer": copy(self.scorer)}
        )  # it counts its own failures
        return twin

    def __repr__(self) -> str:
        return f"GenerationCore({self.task!r}, size={self.size})"


def _only(rows: Rows, batch: EpisodeBatch, scores: Scores) -> tuple[EpisodeBatch, Scores]:
    parts = {name: part[rows] for name, part in scores.parts.items()}
    return batch.take(rows), Scores(scores.values[rows], scores.valid[rows], scores.scored[rows], parts)
