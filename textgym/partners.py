"""Partner: the other side of a conversation.

The agent ends its turn with an end token, or by using up the tokens of a turn; the partner's reply is appended and the
conversation goes on. It ends when the task's own rule says so, or after the last turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import TaskError


class Partner(Protocol):
    """A pure function of prompt, tokens so far and key, without a state of its own.

    A partner that draws on the key says so: ``stochastic = True``. For exact values (:func:`textgym.exact.solve`) it
    also states its chance:

    - ``outcomes(batch) -> [(probability, replies (B, R))]``: what is drawn anew at every reply, each with a number or
      ``(B,)`` numbers. Scores must not depend on it but by what was said.
    - ``cases() -> [(probability, key)]``: what is drawn once for a whole conversation, a key for each way it may go.

    Any partner may offer ``summary(batch) -> (B, S)``: whole numbers that tell all that matters of what was said so
    far, when it is the agent's turn. Conversations with the same prompt, turns and summary are then solved as one.

    Attributes:
        max_reply_tokens: R, the most tokens of a reply.
    """

    @property
    def max_reply_tokens(self) -> int:
        """R, the most tokens of a reply."""
        ...

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
        """Answers all conversations that wait.

        Args:
            batch: B conversations whose last token ends a turn of the agent; ``batch.is_agent`` says who wrote what,
                ``batch.keys`` are the source of all randomness (:mod:`textgym.keys`).

        Returns:
            ``(B, R)`` or narrower: the ids of each reply from the left, padded with V.
        """
        ...


def pad_replies(replies: Sequence[Sequence[int]], vocab_size: int) -> NDArray[np.int32]:
    """Replies of uneven length as an array ``(B, R)`` padded with V.

    Example:
        >>> pad_replies([[1, 2], [3]], vocab_size=9).tolist()
        [[1, 2], [3, 9]]
    """
    width = max(map(len, replies), default=0)
    padded = np.full((len(replies), width), vocab_size, dtype=np.int32)
    for row, reply in enumerate(replies):
        padded[row, : len(reply)] = reply
    return padded


def read_replies(replies: Any, partner: Partner) -> NDArray[Any]:
    """What a partner has returned, as an array.

    Raises:
        TaskError: for rows of different lengths.
    """
    try:
        return np.asarray(replies)
    except ValueError:
        raise TaskError(
            f"the partner {partner!r} returned rows of different lengths; textgym.partners.pad_replies makes an array "
            "of them"
        ) from None


def check_replies(replies: NDArray[np.int32], partner: Partner, count: int, vocab_size: int) -> NDArray[np.int64]:
    """The length ``(B,)`` of each reply.

    Raises:
        TaskError: for replies of a wrong shape, too long, with gaps or with ids that there are not.
    """
    if replies.ndim != 2 or len(replies) != count or replies.dtype.kind not in "iu":
        raise TaskError(
            f"the partner {partner!r} returned shape {replies.shape} of type {replies.dtype} for {count} "
            "conversations; expected a row of token ids for each"
        )
    written = replies != vocab_size
    lengths: NDArray[np.int64] = written.sum(axis=1)
    if int(lengths.max(initial=0)) > partner.max_reply_tokens:
        raise TaskError(
            f"the partner {partner!r} replied {int(lengths.max())} tokens; its max_reply_tokens is "
            f"{partner.max_reply_tokens}"
        )
    gaps = written[:, 1:] & ~written[:, :-1]
    if gaps.any() or ((replies < 0) | (replies > vocab_size)).any():
        raise TaskError(f"the partner {partner!r} returned ids {replies[:1].tolist()}; expected ids, then padding")
    return lengths
