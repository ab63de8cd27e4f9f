"""Automaton: a score that adds up along the text, as a finite machine that reads it.

Where a reward factors like this, dynamic programming finds the best text at any vocabulary and length
(:mod:`textgym.exact`), while trying all texts is out of the question beyond a few words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.errors import TaskError


@dataclass(frozen=True, eq=False)
class Automaton:
    """The score of a text is the sum of what its tokens earn, clipped to ``clip``.

    Reading id ``a`` in state ``s`` earns ``rewards[s, a]`` and leads to ``transitions[s, a]``. A text that ends
    without an end id (by the token budget or the task's own stop) earns ``closings`` of its last state besides.
    A reward offers its automaton as a method ``automaton(prompts, prompt_index, tokenizer)``.

    Attributes:
        start: The state of the empty text.
        transitions: ``(S, V)`` next state; what stands there for end ids is not used.
        rewards: ``(S, V)`` earned by each id.
        closings: ``(S,)`` earned by a text that is cut off in this state; zeros by default.
        legal: ``(S, V)`` which ids may be written; needed only where constraints depend on the text.
        stops: ``(S,)`` whether the task's own rule ends the text in this state; needed only where it has one.
        clip: Lowest and highest score; the sum is clipped once, at the end.

    Raises:
        TaskError: for arrays whose shapes or states do not fit together, and rewards that are not finite.

    Example:
        >>> counts = Automaton(0, transitions=np.zeros((1, 3), dtype=int), rewards=np.array([[1.0, 2.0, 0.0]]))
        >>> counts.score([1, 1, 0, 2], eos_ids=(2,))
        5.0
    """

    start: int
    transitions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    closings: NDArray[np.float64] | None = None
    legal: NDArray[np.bool_] | None = None
    stops: NDArray[np.bool_] | None = None
    clip: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        numbers = np.asarray(self.transitions)
        if numbers is not self.transitions or numbers.ndim != 2 or numbers.dtype.kind not in "iu":
            raise TaskError(f"an automaton has transitions={self.transitions!r}; expected an array of states (S, V)")
        shape, states = self.transitions.shape, len(self.transitions)
        expected = {"rewards": shape, "legal": shape, "closings": (states,), "stops": (states,)}
        for name, wanted in expected.items():
            array = getattr(self, name)
            if array is not None and np.shape(array) != wanted:
                raise TaskError(
                    f"an automaton of {states} states has {name} of shape {np.shape(array)}; expected {wanted}"
                )
        if not (np.isfinite(self.rewards).all() and np.isfinite(self.cut_off).all()):
            raise TaskError("an automaton earns numbers that are not finite; what may not be written is said by legal=")
        if not self.clip[0] <= self.clip[1]:
            raise TaskError(f"an automaton has clip={self.clip!r}; expected (lowest, highest)")
        inside = (self.transitions >= 0) & (self.transitions < states)
        if not 0 <= self.start < states or not inside.all():
            raise TaskError(f"an automaton of {states} states starts in or leads to a state that it has not")

    @property
    def cut_off(self) -> NDArray[np.float64]:
        """``(S,)`` the closings, zeros where none were given."""
        return np.zeros(len(self.transitions)) if self.closings is None else self.closings

    @property
    def clips(self) -> bool:
        """Whether scores are clipped at all."""
        return math.isfinite(self.clip[0]) or math.isfinite(self.clip[1])

    def read(self, ids: list[int]) -> tuple[int, float]:
        """The state after these ids, none of which ends the text, and what they earned."""
        state, total = self.start, 0.0
        for index in ids:
            total += float(self.rewards[state, index])
            state = int(self.transitions[state, index])
        return state, total

    def score(self, ids: list[int], *, eos_ids: tuple[int, ...]) -> float:
        """The score of one finished text."""
        if ids and ids[-1] in eos_ids:
            state, total = self.read(ids[:-1])
            total += float(self.rewards[state, ids[-1]])
        else:
            state, total = self.read(ids)
            total += float(self.cut_off[state])
        return min(max(total, self.clip[0]), self.clip[1])
