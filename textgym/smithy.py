"""A smith who forges a chain: adds the pieces that fit, and now and then breaks it.

The number of links n has the id n, the pieces follow, then *keep* and *kept*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.keys import uniform
from textgym.talk import Hidden, last_tokens
from textgym.task import StopRule

BREAKS: Mapping[str, float] = {"steel": 0.02, "brass": 0.05, "iron": 0.1, "wood": 0.2, "rope": 0.3, "glass": 0.5}
"""The chance that a new link breaks the chain."""
PIECES = ("ring", "hook", "bar", "bolt", "clasp", "knot")


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        links: Of a finished chain.
        turns: Of the agent; the last has no reply.
        materials: Which there are.
        pieces: Kinds of pieces.
        starts: The prompts' chains have fewer links than that.
    """

    name: str
    links: int
    turns: int
    materials: tuple[str, ...]
    pieces: tuple[str, ...]
    starts: int

    @property
    def risks(self) -> NDArray[np.float64]:
        """``(M,)`` the chance that a new link breaks the chain, for each material."""
        return np.array([BREAKS[name] for name in self.materials])


@dataclass(frozen=True)
class Smith:
    """The partner: adds the piece if it fits, and replies with the links that there are and the piece that fits next.

    Of a turn of several words the last one counts.

    Attributes:
        level: Settings.
    """

    level: Level
    max_reply_tokens: int = 2
    stochastic: bool = True
    _state: Hidden = field(default_factory=partial(Hidden, "state"), init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
        """``(B, 2)`` the replies."""
        scene, kinds = self._see(batch), len(self.level.pieces)
        breaks = uniform(batch.keys, "break", batch.lengths) < scene.risk
        return self._reply(scene, breaks, (uniform(batch.keys, "piece", batch.lengths) * kinds).astype(np.int64))

    def outcomes(self, batch: EpisodeBatch) -> list[tuple[NDArray[np.float64], NDArray[np.int32]]]:
        """The chance ``(B,)`` of each reply: whether a new link breaks the chain, and which piece fits next."""
        scene, kinds = self._see(batch), len(self.level.pieces)
        risk = np.where(scene.fits, scene.risk, 0.0)
        chances = ((False, (1.0 - risk) / kinds), (True, risk / kinds))
        return [(chance, self._reply(scene, breaks, piece)) for breaks, chance in chances for piece in range(kinds)]

    def summary(self, batch: EpisodeBatch) -> NDArray[np.int64]:
        """``(B, 2)`` what of a conversation matters when it is the agent's turn: the links, and what fits next."""
        _, start, piece = self._state(batch).T
        last = last_tokens(batch.completion_ids, batch.lengths, 1)[:, 0]
        fitting = np.where(batch.lengths == 0, self.level.links + 1 + piece, last)
        return np.stack([_count_links(batch, start, self.level.links), fitting], axis=1)

    def _see(self, batch: EpisodeBatch) -> _Scene:
        material, start, piece = self._state(batch).T
        top = self.level.links
        number, before, said = last_tokens(batch.completion_ids, batch.lengths, 3).T
        first = batch.lengths == 1
        links = np.where(first, start, number)
        if (links > top).any():  # turns of several words: look further back
            links, (first, before) = _count_links(batch, start, top), _last_heard(batch)
        fits = said == np.where(first, top + 1 + piece, before)
        return _Scene(links, fits, said, self.level.risks[material], batch.tokenizer.vocab_size)

    def _reply(
        self, scene: _Scene, breaks: NDArray[np.bool_] | bool, piece: NDArray[np.int64] | int
    ) -> NDArray[np.int32]:
        """``(B, 2)`` the replies, given whether new links break the chain and which piece fits next."""
        top = self.level.links
        links = np.where(scene.fits, np.where(breaks, 0, scene.links + 1), scene.links)
        kept = scene.said == top + 1 + len(self.level.pieces)
        numbers = np.where(kept, scene.said + 1, links)
        pieces = np.where(kept | (links == top), scene.pad, top + 1 + piece)
        return np.stack([numbers, pieces], axis=1).astype(np.int32)


@dataclass(frozen=True)
class _Scene:
    """What the smith sees in each of B conversations: the links, whether the piece fits, what was said, the risk."""

    links: NDArray[np.int64]
    fits: NDArray[np.bool_]
    said: NDArray[np.int32]
    risk: NDArray[np.float64]
    pad: int


def _count_links(batch: EpisodeBatch, start: NDArray[np.int64], top: int) -> NDArray[np.int64]:
    """``(B,)`` the last number up to ``top`` that was said, or that of ``start`` where none was."""
    ids = batch.completion_ids
    backward = (ids <= top)[:, ::-1]
    last = np.take_along_axis(ids, ids.shape[1] - 1 - backward.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(backward.any(axis=1), last, start)


def _last_heard(batch: EpisodeBatch) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """``(B,)`` where the smith has said nothing yet, and ``(B,)`` the last id that the smith said elsewhere."""
    assert batch.is_agent is not None
    places = np.arange(batch.is_agent.shape[1])
    last = np.where(batch.is_agent | (places >= batch.lengths[:, None]), -1, places).max(axis=1)
    return last < 0, batch.completion_ids[np.arange(len(batch)), last]


@dataclass(frozen=True)
class Links:
    """The links at the end, as a share of a finished chain.

    Attributes:
        level: Settings.
    """

    level: Level
    range = (0.0, 1.0)
    _state: Hidden = field(default_factory=partial(Hidden, "state"), init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores ``(B,)`` conversations."""
        return _count_links(batch, self._state(batch)[:, 1], self.level.links) / self.level.links


def make_stop(level: Level) -> StopRule:
    """The end: the smith has heard *keep*, or the chain is finished."""
    return partial(_is_over, (level.links, level.links + len(level.pieces) + 2))


def _is_over(ends: tuple[int, int], completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    last = last_tokens(completions, lengths, 1)[:, 0]
    return (last == ends[0]) | (last == ends[1])
