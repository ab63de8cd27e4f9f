"""What an entry of the glossary says, and what a log is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Metric:
    """One name under which textgym writes something down.

    Attributes:
        name: The key as it stands in the log; capital words such as ``SPLIT`` stand for whatever is there.
        unit: Of its values, such as ``"nats a token"``.
        meaning: What it is: the formula, where there is one.
        good: Which values are good and which are bad; empty for what is neither.
    """

    name: str
    unit: str
    meaning: str
    good: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the names that the entry stands for."""
        words = re.split(r"([A-Z]{2,})", self.name)
        return re.compile("".join(".+" if word.isupper() and len(word) > 1 else re.escape(word) for word in words))


@dataclass(frozen=True)
class Log:
    """A place where textgym writes numbers under names.

    Attributes:
        name: Short and unique.
        title: Headline.
        place: File or attribute in which the names stand.
        about: Who writes it, and when.
        metrics: All of its names.
    """

    name: str
    title: str
    place: str
    about: str
    metrics: tuple[Metric, ...]

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of some logged names that no entry explains.

        Example:
            >>> log = Log("demo", "Demo", "demo.jsonl", "", (Metric("kl", "nats", ""), Metric("SPLIT/kl", "nats", "")))
            >>> log.unknown(["kl", "test/kl", "entropy"])
            ['entropy']
        """
        return sorted(name for name in set(names) if not any(entry.pattern.fullmatch(name) for entry in self.metrics))

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those entries that none of the logged names belongs to."""
        given = set(names)
        return [entry.name for entry in self.metrics if not any(entry.pattern.fullmatch(name) for name in given)]
