"""Comparisons from wherever they are: a file, or the database of a label server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textgym.comparison_files import read_comparisons
from textgym.comparisons import Comparison
from textgym.feedback.store import Store

DATABASES = (".sqlite", ".sqlite3", ".db")
"""How the names of label databases end."""


@dataclass(frozen=True)
class Labels:
    """Comparisons, and what is known of where their texts were written.

    Attributes:
        comparisons: All of them; of a database those in force, without repeats and attention checks, which say
            something about the annotators and would count twice.
        env_id: The environment; "" where that is not said, or not the same of all.
        env_kwargs: Its arguments, which only databases know.
    """

    comparisons: Sequence[Comparison]
    env_id: str = ""
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)


def read_labels(path: str | Path) -> Labels:
    """Reads a label database, or a file of comparisons in any format.

    Raises:
        ConfigurationError: for what is neither.
    """
    if Path(path).suffix.lower() in DATABASES:
        with Store(path) as store:
            asked = [
                item
                for item in store.comparisons()
                if not (item.metadata["repeat"] or item.metadata["attention_check"])
            ]
            return Labels(asked, store.project.env_id, store.project.env_kwargs)
    found = read_comparisons(path)
    names = {item.env_id for item in found}
    return Labels(found, names.pop() if len(names) == 1 else "")
