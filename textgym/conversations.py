"""Conversations: whose turn it is, the part of the core's state that only tasks with a partner have."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EOS, GOING, ILLEGAL, LENGTH, EpisodeBatch
from textgym.errors import TaskError, TextGymError
from textgym.partners import Partner, check_replies, read_replies

if TYPE_CHECKING:
    from textgym.core import GenerationCore

Rows = NDArray[np.int64]

STATE = ("turns", "turn_begins", "is_agent")


class Conversations:
    """B conversations of turns by the agent and replies by the partner.

    Args:
        partner: The other side.
        begins: ``(B,)`` flat index of each row's first completion token.
        width: T, columns of a completion.
        turn_tokens: Most tokens of a turn of the agent, its end id included.
        max_turns: Turns of the agent.

    Attributes:
        turns: ``(B,)`` turns that the agent has ended.
        turn_begins: ``(B,)`` flat index where the present turn began.
        is_agent: ``(B, T)`` which tokens the agent wrote.
    """

    def __init__(self, partner: Partner, begins: Rows, *, width: int, turn_tokens: int, max_turns: int) -> None:
        self.partner, self.begins = partner, begins
        self.turn_tokens, self.max_turns = turn_tokens, max_turns
        self.turns = np.zeros(len(begins), dtype=np.int64)
        self.turn_begins = begins.copy()
        self.is_agent = np.zeros((len(begins), width), dtype=bool)

    def reset(self, rows: Rows) -> None:
        """Begins new conversations in these rows."""
        self.turns[rows] = 0
        self.turn_begins[rows] = self.begins[rows]
        self.is_agent[rows] = False

    def end_turns(self, codes: NDArray[np.uint8], cursors: Rows, acting: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Notes who wrote, and ends the turns that are over; an end id ends the turn and not the conversation.

        Args:
            codes: ``(B,)`` stop codes of this step; changed in place.
            cursors: ``(B,)`` flat index after the token that was written.
            acting: ``(B,)`` rows in which the agent wrote.

        Returns:
            ``(B,)`` rows that wait for a reply, unless the task's own rule ends them.
        """
        rows = acting.nonzero()[0]
        self.is_agent[rows, cursors[rows] - self.begins[rows] - 1] = True
        full = cursors - self.turn_begins >= self.turn_tokens
        over = acting & (codes != ILLEGAL) & ((codes == EOS) | full)
        self.turns += over
        last = over & (self.turns >= self.max_turns)
        codes[over] = GOING
        codes[last] = LENGTH
        return over & ~last

    def reply(self, core: GenerationCore, rows: Rows) -> None:
        """Lets the partner answer in these rows.

        Raises:
            TaskError: for replies that are too long or no ids, or if the partner fails.
        """
        batch = core.batch(rows, np.zeros(len(rows), dtype=np.uint8))
        replies = read_replies(self._ask(batch), self.partner)
        lengths = check_replies(replies, self.partner, len(rows), core.vocab_size)
        places = core.cursors[rows][:, None] + np.arange(replies.shape[1])
        written = replies != core.vocab_size
        core.tokens.reshape(-1)[places[written]] = replies[written]
        core.cursors[rows] += lengths
        self.turn_begins[rows] = core.cursors[rows]
        core.legality.forget()

    def _ask(self, batch: EpisodeBatch) -> Any:
        try:
            return self.partner(batch)
        except TextGymError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise TaskError(
                f"the partner {type(self.partner).__name__} failed on a batch of {len(batch)} conversations, the first "
                f"of them {batch.dialogue(0)!r} to the prompt {batch.prompt_texts[0]!r}: {what}"
            ) from error

    def copy(self) -> Conversations:
        """A twin that goes on by itself."""
        twin = copy(self)
        for name in STATE:
            setattr(twin, name, getattr(self, name).copy())
        return twin
