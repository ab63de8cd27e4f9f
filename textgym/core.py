"""GenerationCore: the transition rules, and the only place where they stand.

A batch of episodes as a struct of arrays. One buffer ``tokens[B, P + T]`` holds prompts and completions;
a step writes one id a row through a flat index, and only rows whose text ended are touched further.
Both environments are shells around this class; it knows nothing of Gymnasium.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.actions import check_actions
from textgym.conversations import STATE, Conversations
from textgym.demands import check_stopped
from textgym.episodes import GOING, LENGTH, STOP, EpisodeBatch
from textgym.errors import ConfigurationError
from textgym.keys import episode_keys, pick_array
from textgym.legality import Legality
from textgym.prompt_writer import PromptWriter
from textgym.scoring import Scorer, Scores
from textgym.task import Task

Rows = NDArray[np.int64]

_ONE = np.array(1, dtype=np.uint64)
_VIEWS = ("_flat", "_writer", "completions")
_STATE = ("tokens", "cursors", "lane_keys", "episodes", "keys", "prompt_indices", "over", "previous")


@dataclass(slots=True)
class Ending:
    """What a step ended.

    Attributes:
        rows: ``(K,)`` the rows whose text ended.
        episodes: Their texts.
        scores: What the reward said of them.
        turns: ``(K,)`` in conversations, the turns of the agent; else None.
    """

    rows: Rows
    episodes: EpisodeBatch
    scores: Scores
    turns: Rows | None = None


class GenerationCore:
    """B episodes of one task, stepped together.

    Args:
        task: The problem.
        size: B, the number of rows.
        split: Which prompts are drawn.
        scorer: The reward with its failures handled.
        timing: "end" pays the score at the end; "turn" and "step" pay its change after every turn or step.

    Attributes:
        tokens: ``(B, P + T)`` int32; ids, or the private pad id V.
        cursors: ``(B,)`` flat index into ``tokens`` of the next write.
        over: ``(B,)`` whether the row's text has ended (or never begun).
        completions: ``(B, T)`` view of ``tokens``: the texts without their prompts.
        fixed_mask: ``(V,)`` what may be written as far as it does not depend on the text.
        rules: The rules on the next token that depend on the text.
        talk: Whose turn it is; None where the task has no partner.
    """

    def __init__(self, task: Task, size: int, *, split: str, scorer: Scorer, timing: str = "end") -> None:
        self.task, self.size, self.scorer, self.timing = task, size, scorer, timing
        self.prompts, self.tokenizer = task.prompts, task.tokenizer
        self.vocab_size = self.tokenizer.vocab_size
        self.prompt_width, self.width = self.prompts.width, self.prompts.width + task.budget
        self.split_rows = self.prompts.rows(split)
        first, last = self.split_rows[[0, -1]].tolist()  # where no row is left out, a million need not be looked up
        self._first = first if last - first + 1 == len(self.split_rows) else None
        self.legality = Legality(task, size)
        self.fixed_mask, self.rules = self.legality.rules.fixed_mask, self.legality.rules.dynamic
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
        self.talk = self._begin_talk()
        self._view()

    def _view(self) -> None:
        self._flat = self.tokens.reshape(-1)
        self.completions = self.tokens[:, self.prompt_width :]
        self._writer = PromptWriter(self.prompts, self.tokens, pad=self.vocab_size)

    def _begin_talk(self) -> Conversations | None:
        task = self.task
        budget = {"width": task.budget, "turn_tokens": task.turn_tokens, "max_turns": task.turns}
        return None if task.partner is None else Conversations(task.partner, self.begins, **budget)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``(B,)`` number of tokens written so far."""
        return self.cursors - self.begins

    def masks(self, rows: Rows | slice = slice(None)) -> NDArray[np.bool_]:
        """``(B, V)`` a fresh array, True where an id may be written next; no row is all False.

        Raises:
            TaskError: if the task's constraints leave a text nothing to write.
        """
        everything = isinstance(rows, slice) and rows == slice(None)
        return self.legality.copy_masks(self) if everything else self.legality.masks(self)[rows].copy()

    def seed(self, rows: Rows, lane_keys: NDArray[np.uint64]) -> None:
        """Starts these rows' chains of episodes anew."""
        self.lane_keys[rows] = lane_keys
        self.episodes[rows] = 0

    def reset(self, rows: Rows, prompt_indices: NDArray[np.int64] | None = None) -> None:
        """Begins the next episode in these rows, with a drawn prompt or the given ones."""
        episodes = self.episodes[rows]
        keys = episode_keys(self.lane_keys[rows], episodes)
        self.episodes[rows] = episodes + _ONE
        if prompt_indices is None:
            prompt_indices = self._draw(keys)
        self.keys[rows] = keys
        self.prompt_indices[rows] = prompt_indices
        self._writer.begin(rows, prompt_indices)
        self.legality.restart(rows)
        self.cursors[rows] = self.begins[rows]
        self.over[rows] = False
        if self.talk is not None:
            self.talk.reset(rows)
        if self.timing != "end":
            self.previous[rows] = 0.0

    def _draw(self, keys: NDArray[np.uint64]) -> Rows:
        """The rows of the prompts that these episodes get."""
        picked = pick_array(keys, len(self.split_rows))
        return self.split_rows[picked] if self._first is None else picked + self._first

    def place(self, prompt_indices: Rows, completions: NDArray[np.int32], previous: NDArray[np.float64]) -> None:
        """Puts every row into the middle of a text, from where it can step on; whose turn it is stays as it was.

        Args:
            prompt_indices: ``(B,)`` rows of the prompt table.
            completions: ``(B, t)`` ids written so far, t below T.
            previous: ``(B,)`` scores of these prefixes; they count only where steps pay the change of the score.
        """
        written = completions.shape[1]
        self.prompt_indices[:] = prompt_indices
        self._writer.replace(prompt_indices)
        self.completions[:, :written] = completions
        self.completions[:, written:] = self.vocab_size
        self.legality.forget()
        self.cursors[:] = self.begins + written
        self.over[:] = False
        self.previous[:] = previous

    def step(
        self, actions: Any, restart: Rows | None = None, resting: Rows | None = None
    ) -> tuple[NDArray[np.float64], Ending | None]:
        """Writes one id in every row.

        Args:
            actions: ``(B,)`` ids.
            restart: Rows that begin their next episode instead; their actions are ignored.
            resting: Or rows that stay as they are; their actions are ignored, too.

        Returns:
            ``(B,)`` rewards, and what ended (None if nothing did).

        Raises:
            ActionError: for actions of a wrong shape, type or range; nothing has changed then.
            EpisodeOverError: if another row's text has ended and was not reset.
        """
        actions = check_actions(actions, self.over, restart, self.vocab_size, resting=resting)
        codes = self.legality.judge(self, actions)
        if restart is not None:
            self.reset(restart)
        if resting is None:
            self._flat[self.cursors] = actions
            self.cursors += 1
        else:
            writing = actions < self.vocab_size
            self._flat[self.cursors[writing]] = actions[writing]
            self.cursors += writing
        self.legality.follow(actions)
        if restart is not None:
            self.cursors[restart] = self.begins[restart]
        if self.talk is not None:
            idle = restart if resting is None else resting
            return self._pay(codes, idle, self._converse(codes, actions < self.vocab_size))
        np.maximum(codes, (self.cursors == self.ends).view(np.uint8), out=codes)  # LENGTH is code 1
        if resting is not None:
            codes[resting], restart = GOING, resting  # they are paid nothing
        if self.task.stop is not None:
            self._stop(codes, (actions < self.vocab_size).nonzero()[0])
        return self._pay(codes, restart, None)

    def _stop(self, codes: NDArray[np.uint8], rows: Rows) -> None:
        """Asks the task's own rule whether the texts in these rows end here."""
        assert self.task.stop is not None
        stopped = check_stopped(self.task.stop(self.completions[rows], self.lengths[rows]), len(rows))
        codes[rows] = np.maximum(codes[rows], np.uint8(STOP) * stopped.view(np.uint8))

    def _converse(self, codes: NDArray[np.uint8], acting: NDArray[np.bool_]) -> Rows:
        """Ends turns, asks the partner where the conversation goes on, and returns the rows whose turn is over."""
        assert self.talk is not None
        waiting = self.talk.end_turns(codes, self.cursors, acting)
        over = (waiting | (codes == LENGTH)).nonzero()[0]
        if self.task.stop is not None:
            self._stop(codes, acting.nonzero()[0])
        rows = (waiting & (codes == GOING)).nonzero()[0]
        if rows.size:
            self.talk.reply(self, rows)
            if self.task.stop is not None:
                self._stop(codes, rows)
        return over

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
            is_agent=None if self.talk is None else self.talk.is_agent[rows],
            gold=self.task.gold,
            success=self.task.success,
        )

    def _pay(
        self, codes: NDArray[np.uint8], idle: Rows | None, turned: Rows | None
    ) -> tuple[NDArray[np.float64], Ending | None]:
        """Asks the reward once, for all rows that need it, and closes the rows that ended."""
        rewards = np.zeros(self.size)
        ended = codes.astype(bool).nonzero()[0]  # twice as fast as for small integers
        rows = ended if self.timing == "end" else self._due(ended, idle, turned)
        if not rows.size:
            return rewards, None
        self.over[ended] = True  # before the reward is asked: should it raise, these rows take no further step
        batch = self.batch(rows, codes[rows])
        scores = self.scorer(batch)
        rewards[rows] = scores.values
        if self.timing != "end":
            rewards[rows] -= self.previous[rows]
            self.previous[rows] = scores.values
            final = batch.stop_codes.nonzero()[0]
            batch, scores = batch.take(final), scores.take(final)
        turns = None if self.talk is None else self.talk.turns[ended]
        return rewards, Ending(ended, batch, scores, turns) if ended.size else None

    def _due(self, ended: Rows, idle: Rows | None, turned: Rows | None) -> Rows:
        """The rows that are paid before the end, too: those whose turn is over, or all that took a step."""
        if self.timing == "step":
            return np.delete(np.arange(self.size), [] if idle is None else idle)
        if self.timing == "turn" and turned is not None:
            return np.union1d(ended, turned)
        return ended

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Copies of everything that a step or reset can change."""
        state = {name: getattr(self, name).copy() for name in _STATE}
        return state if self.talk is None else {**state, **{name: getattr(self.talk, name).copy() for name in STATE}}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Goes back to a state; the next steps are then the same as after :meth:`get_state`."""
        if state["tokens"].shape != self.tokens.shape:
            raise ConfigurationError(
                f"a state of (rows, width) {state['tokens'].shape} for {self!r}; expected one of {self.tokens.shape}"
            )
        for name, kept in state.items():
            getattr(self.talk if name in STATE else self, name)[...] = kept
        self.legality.forget()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _VIEWS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._view()  # of the copy, not of the original

    def __deepcopy__(self, memo: dict[int, Any]) -> GenerationCore:
        own: dict[str, Any] = {name: getattr(self, name).copy() for name in _STATE}
        own |= {"talk": None if self.talk is None else self.talk.copy(), "legality": copy(self.legality)}
        twin = object.__new__(type(self))
        twin.__setstate__({**self.__getstate__(), **own, "scorer": copy(self.scorer)})  # it counts its failures
        return twin

    def __repr__(self) -> str:
        return f"GenerationCore({self.task!r}, size={self.size})"
