"""Texts with labels, from a file; and their split, in which no text is on two sides."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError, PromptError, unknown_name
from textgym.keys import spawn_seed
from textgym.reading import read_file
from textgym.records import shorten

SUFFIXES = (".csv", ".jsonl", ".parquet")
MOST_LABELS = 100
LEAST_TEXTS = 3  # different ones of each label: one for each side

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """Texts, each with one label.

    Attributes:
        texts: N of them, as they were written.
        names: The names of the K labels, numbers by size, others by code point.
        targets: ``(N,)`` places in ``names``.
        source: Where they come from, for messages and cards.
    """

    texts: tuple[str, ...]
    names: tuple[str, ...]
    targets: Integers
    source: str = ""

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]], source: str = "") -> LabelledTexts:
        """Takes pairs of a text and its label.

        Raises:
            ConfigurationError: if there are fewer than two labels or far too many, or too few texts of one.

        Example:
            >>> rows = [("so good", "1"), ("bad", "0"), ("good", "1"), ("dull", "0"), ("fine", "1"), ("poor", "0")]
            >>> LabelledTexts.of(rows).targets.tolist()
            [1, 0, 1, 0, 1, 0]
        """
        rows = list(pairs)
        names = _in_order({label for _, label in rows})
        data = cls(tuple(text for text, _ in rows), names, np.array([names.index(label) for _, label in rows]), source)
        _check(data)
        return data

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """What texts are told apart by: not by capitals and spaces."""
        return tuple(" ".join(text.casefold().split()) for text in self.texts)

    @property
    def counts(self) -> dict[str, int]:
        """How many texts each label has."""
        counts = np.bincount(self.targets, minlength=len(self.names)).tolist()
        return dict(zip(self.names, counts, strict=True))

    @property
    def contradictions(self) -> int:
        """How many different texts have more than one label."""
        return sum(len(labels) > 1 for labels in self._labels_of.values())

    @property
    def hash(self) -> str:
        """The SHA-256 of texts and labels, whatever file they came in."""
        rows = [[text, self.names[target]] for text, target in zip(self.texts, self.targets.tolist(), strict=True)]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @cached_property
    def _labels_of(self) -> dict[str, Counter[int]]:
        found: dict[str, Counter[int]] = defaultdict(Counter)
        for key, target in zip(self.keys, self.targets.tolist(), strict=True):
            found[key][target] += 1
        return dict(found)

    def split(self, *, validation: float, test: float, seed: int) -> TextSplit:
        """Divides the different texts of each label; equal texts stay together.

        Args:
            validation: Share of the different texts, for early stopping and calibration.
            test: Share of them, for the report alone.
            seed: Of the draw.
        """
        rng = np.random.default_rng(spawn_seed(seed, "labelled texts", "split"))
        sides: dict[str, int] = {}
        groups: dict[int, list[str]] = defaultdict(list)
        for key, counts in self._labels_of.items():
            groups[min(counts, key=lambda label: (-counts[label], label))].append(key)
        for label in sorted(groups):
            keys = [groups[label][place] for place in rng.permutation(len(groups[label])).tolist()]
            sizes = [max(1, round(share * len(keys))) for share in (validation, test)]
            for place, key in enumerate(keys):
                sides[key] = 1 if place < sizes[0] else 2 if place < sum(sizes) else 0
        chosen = np.array([sides[key] for key in self.keys])
        order = rng.permutation(len(self.texts))
        return TextSplit(*(order[chosen[order] == side] for side in range(3)))


@dataclass(frozen=True, eq=False)
class TextSplit:
    """Rows of labelled texts, in a drawn order.

    Attributes:
        train: What is learned from.
        validation: What says when to stop, and how sure to be.
        test: What the report is about.
    """

    train: Integers
    validation: Integers
    test: Integers


def read_labelled(path: str | Path, *, text: str = "text", label: str = "label") -> LabelledTexts:
    """Reads labelled texts from a CSV, JSONL or Parquet file.

    Args:
        path: The file.
        text: The column of the texts.
        label: The column of the labels: words, numbers, or true and false.

    Raises:
        PromptError: for a file that cannot be read, or a row without text or label.
        UnknownNameError: for a column that is not there.
        ConfigurationError: for labels that cannot be learned.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise PromptError(f"labelled texts {str(path)!r}: expected a name that ends in {', '.join(SUFFIXES)}")
    try:
        rows = [(row, where) for row, where in read_file(path).read()]
    except PromptError as error:
        raise PromptError(str(error).replace("prompt file", "labelled texts", 1)) from None
    return LabelledTexts.of((_read_row(row, where, text, label) for row, where in rows), path.name)


def _read_row(row: Any, where: str, text: str, label: str) -> tuple[str, str]:
    if not isinstance(row, Mapping):
        raise PromptError(f"{where}: expected an object with the columns {text!r} and {label!r}, got {row!r:.60}")
    for name in (text, label):
        if name not in row:
            raise unknown_name(f"column of {where}, wanted for the {'text' if name == text else 'label'},", name, row)
    said = row[text]
    if not isinstance(said, str) or not said.strip():
        raise PromptError(f"{where}: no text in the column {text!r} ({said!r:.60}); fill it in or leave the row out")
    return said, _read_label(row[label], where, label)


def _read_label(value: Any, where: str, column: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int) or not str(value).strip():
        raise PromptError(
            f"{where}: no label in the column {column!r} ({value!r:.60}); expected a word or a whole number"
        )
    return str(value).strip()


def _in_order(names: set[str]) -> tuple[str, ...]:
    numbers = all(name.removeprefix("-").isdecimal() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if numbers else 0, name)))


def _check(data: LabelledTexts) -> None:
    where = data.source or "the labelled texts"
    if len(data.names) < 2:
        found = f"one label, {data.names[0]!r}" if data.names else "no rows"
        raise ConfigurationError(f"{where}: {found}; expected texts of at least two labels")
    if len(data.names) > MOST_LABELS:
        some = ", ".join(map(shorten, data.names[:3]))
        raise ConfigurationError(
            f"{where}: {len(data.names)} different labels ({some}, ...); expected at most {MOST_LABELS}: is this the "
            "column of the labels?"
        )
    counts = Counter(min(labels, key=lambda label: (-labels[label], label)) for labels in data._labels_of.values())
    for target, name in enumerate(data.names):
        if counts[target] < LEAST_TEXTS:
            raise ConfigurationError(
                f"{where}: {counts[target]} different texts with the label {name!r}; expected at least {LEAST_TEXTS}, "
                "to learn from, to stop by and to be tested on; add some or leave the label out"
            )
