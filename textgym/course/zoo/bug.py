"""What an exhibit of the zoo says about itself: its symptom, the number that gives it away, and the spoiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from textgym.errors import ConfigurationError

Findings = dict[str, Any]
"""What a run measured: numbers by name, and lists of numbers to draw."""


@dataclass(frozen=True, kw_only=True)
class Tell:
    """The number that gives a bug away.

    Attributes:
        number: Its name in the findings.
        sound: From where to where it lies when all is well.
        side: Where it lies with the bug.
        meaning: What it is, in words that do not name the bug.
    """

    number: str
    sound: tuple[float, float]
    side: Literal["above", "below"]
    meaning: str

    def is_sound(self, findings: Findings) -> bool:
        """Whether the number lies where it should."""
        low, high = self.sound
        return low <= findings[self.number] <= high

    def shows(self, findings: Findings) -> bool:
        """Whether the number lies on the bug's side."""
        low, high = self.sound
        return bool(findings[self.number] > high if self.side == "above" else findings[self.number] < low)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What the picture of a run shows.

    Attributes:
        series: The name of a list in the findings: a line over time, or the heights of bars.
        across: What lies along the bottom.
        up: What the height is.
        labels: Names of the bars; without them the list is drawn as a line.
        reference: The name of a number in the findings that is drawn as a level line, or "".
        reference_label: What that number is.
    """

    series: str
    across: str
    up: str
    labels: tuple[str, ...] = ()
    reference: str = ""
    reference_label: str = ""


@dataclass(frozen=True, kw_only=True)
class Bug:
    """An exhibit: a program that trains without complaint and is wrong in one function.

    Attributes:
        symptom: What somebody who watches the training sees; no spoiler.
        tell: The number that gives it away.
        healthy: Other numbers, and where they lie with and without the bug: they look as they should.
        chart: The picture.
        name: What the bug is called. From here on all is spoiler.
        faulty: The name of the function that is wrong.
        mended: The same function as it should be.
        explanation: What is wrong, why nothing complains, and how one would have noticed.
    """

    symptom: str
    tell: Tell
    healthy: Mapping[str, tuple[float, float]] = field(hash=False)
    chart: Chart
    name: str
    faulty: str
    mended: Callable[..., Any]
    explanation: str

    def __post_init__(self) -> None:
        low, high = self.tell.sound
        if not low <= high or self.tell.side not in ("above", "below"):
            raise ConfigurationError(f"{self.tell!r}: expected sound=(low, high) and side='above' or 'below'")

    def unhealthy(self, findings: Findings) -> list[str]:
        """Names of the other numbers that do not lie where they should."""
        return [number for number, (low, high) in self.healthy.items() if not low <= findings[number] <= high]
