"""Comparison: what somebody, or something, said of two completions of one prompt.

Who judges is in :mod:`textgym.annotators` and :mod:`textgym.feedback`, what is learned from it in
:mod:`textgym.bradley_terry`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from textgym.errors import ConfigurationError

Choice = Literal["left", "right", "tie", "both_bad", "skip"]
CHOICES: tuple[str, ...] = get_args(Choice)

MOST_STRENGTH = 3


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One judgement of two completions of the same prompt.

    Attributes:
        prompt: The prompt's original string.
        left: The completion that was shown on the left, as text.
        right: The completion that was shown on the right.
        choice: The better one; "tie" where both are as good, "both_bad" where neither will do, "skip" for no judgement.
        strength: How much better, from 1 (slightly) to 3 (far better); None where it was not asked. Only decided
            comparisons have one.
        left_ids: The left completion as token ids, an end id included if it was written.
        right_ids: The right completion as token ids.
        pair: Names the two texts, whoever judges them and on whichever side they stand; "" where nobody keeps count.
        swapped: Whether the pair's second text stood on the left.
        annotator: Who judged.
        seconds: Time taken; None where it was not measured.
        env_id: The environment in which the texts were written.
        policy: Who wrote them.
        metadata: Anything else that is known about the judgement, in values that JSON knows.

    Raises:
        ConfigurationError: for another choice, a strength or a time that cannot be.

    Example:
        >>> Comparison(prompt="praise the movie", left="was great", right="was", choice="left").chosen
        'was great'
    """

    prompt: str
    left: str
    right: str
    choice: Choice
    strength: int | None = None
    left_ids: tuple[int, ...] = ()
    right_ids: tuple[int, ...] = ()
    pair: str = ""
    swapped: bool = False
    annotator: str = ""
    seconds: float | None = None
    env_id: str = ""
    policy: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise ConfigurationError(f"choice={self.choice!r}: expected {', '.join(map(repr, CHOICES))}")
        if self.strength is not None and not (self.is_decided and self.strength in range(1, MOST_STRENGTH + 1)):
            raise ConfigurationError(
                f"strength={self.strength!r} of the choice {self.choice!r}: expected 1 to {MOST_STRENGTH}, and only "
                "where one text is better"
            )
        if self.seconds is not None and not 0.0 <= self.seconds < math.inf:
            raise ConfigurationError(f"seconds={self.seconds!r}: expected a time of 0 or more")

    @property
    def is_decided(self) -> bool:
        """Whether one of the two texts is better."""
        return self.choice in ("left", "right")

    @property
    def chosen(self) -> str:
        """The text that was preferred.

        Raises:
            ConfigurationError: where no text was.
        """
        return self.left if self._preferred() == "left" else self.right

    @property
    def rejected(self) -> str:
        """The text that was not preferred.

        Raises:
            ConfigurationError: where none was.
        """
        return self.right if self._preferred() == "left" else self.left

    @property
    def chosen_ids(self) -> tuple[int, ...]:
        """The preferred completion as token ids."""
        return self.left_ids if self._preferred() == "left" else self.right_ids

    @property
    def rejected_ids(self) -> tuple[int, ...]:
        """The other completion as token ids."""
        return self.right_ids if self._preferred() == "left" else self.left_ids

    def mirrored(self) -> Comparison:
        """The same judgement with the sides changed.

        Example:
            >>> Comparison(prompt="p", left="a", right="b", choice="left").mirrored().choice
            'right'
        """
        other: dict[str, Choice] = {"left": "right", "right": "left"}
        return replace(
            self,
            left=self.right,
            right=self.left,
            left_ids=self.right_ids,
            right_ids=self.left_ids,
            choice=other.get(self.choice, self.choice),
            swapped=not self.swapped,
        )

    def _preferred(self) -> str:
        if not self.is_decided:
            raise ConfigurationError(
                f"the choice is {self.choice!r}: neither text was preferred; ask is_decided before chosen and rejected"
            )
        return self.choice
