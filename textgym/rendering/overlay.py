"""Overlays: one number a token, such as its reward, Q-value, advantage, log-probability or entropy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from textgym.colours import RGB, diverging
from textgym.errors import ConfigurationError


@dataclass(frozen=True)
class Overlay:
    """One number a token, shown as the token's colour and written beside it.

    Attributes:
        name: What the numbers are, such as ``"advantage"``.
        values: One number a token; None or NaN where there is none.
        scale: The absolute value that gets the full colour; by default the largest among the values. Pictures that
            are to be compared need the same scale.

    Raises:
        ConfigurationError: for a scale that is not a positive number.

    Example:
        >>> overlay = Overlay("advantage", [0.5, -0.125, None])
        >>> overlay.limit, [overlay.number(position) for position in range(3)]
        (0.5, ['+0.500', '-0.125', ''])
    """

    name: str
    values: Sequence[float | None]
    scale: float | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and not (self.scale > 0.0 and math.isfinite(self.scale)):
            raise ConfigurationError(f"overlay {self.name!r}, scale={self.scale!r}: expected a positive number")

    @cached_property
    def limit(self) -> float:
        """The absolute value that gets the full colour."""
        return self.scale or self._largest or 1.0

    @cached_property
    def _largest(self) -> float:
        known = (abs(value) for value in self.values if value is not None and math.isfinite(value))
        return float(max(known, default=0.0))

    @cached_property
    def _form(self) -> str:
        """Three digits of the largest value, and as many decimals for all others, so that columns are easy to read."""
        if self._largest and not 1e-3 <= self._largest < 1e5:
            return "+.1e"
        digits = 2 - math.floor(math.log10(self._largest)) if self._largest else 2
        return f"+.{max(0, digits)}f"

    def value(self, position: int) -> float | None:
        """The number of one token, or None."""
        value = self.values[position]
        return None if value is None or math.isnan(value) else float(value)

    def number(self, position: int) -> str:
        """The number of one token as it is written, with its sign; empty where there is none."""
        value = self.value(position)
        return "" if value is None else self.write(value)

    def write(self, value: float) -> str:
        """Writes a number in the form of this overlay."""
        written = format(value, self._form)
        return written if float(written) else written.replace("-", "+")  # no negative zero

    def colour(self, position: int) -> RGB | None:
        """The colour of one token, or None where it has no number."""
        value = self.value(position)
        return None if value is None else diverging(value, self.limit)

    def check(self, tokens: Sequence[str]) -> None:
        """Raises ConfigurationError unless there is one value for each token."""
        if len(self.values) != len(tokens):
            raise ConfigurationError(
                f"overlay {self.name!r}: {len(self.values)} values for {len(tokens)} tokens; expected one a token"
            )
