"""Rows of the label database as the nouns that the rest of the program knows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError
from textgym.feedback.assignment import chance
from textgym.feedback.pairs import Pair
from textgym.feedback.projects import Annotator, Judgement, Project

_PAIR = "id prompt first second prompt_index first_ids second_ids env_id policy gold".split()

IN_FORCE = """
SELECT judgement.id AS judgement, choice, strength, seconds, judgement.created, swapped, repeats, annotator.name, pair.*
FROM judgement
JOIN task ON task.judgement = judgement.id
JOIN pair ON pair.id = task.pair
JOIN annotator ON annotator.id = task.annotator
ORDER BY judgement.created, judgement.number
"""


def to_pair(row: sqlite3.Row) -> Pair:
    """A row of the table ``pair``."""
    values = {name: row[name] for name in _PAIR}
    return Pair(**{**values, **{name: tuple(json.loads(values[name])) for name in ("first_ids", "second_ids")}})


def to_annotator(row: sqlite3.Row) -> Annotator:
    """A row of the table ``annotator``."""
    return Annotator(row["id"], row["name"], row["role"])


def to_judgement(row: sqlite3.Row) -> Judgement:
    """A row of the table ``judgement`` with the column ``annotator`` of its task."""
    names = "id task annotator choice strength seconds created".split()
    return Judgement(**{name: row[name] for name in names}, supersedes=row["supersedes"] or "")


def to_comparison(row: sqlite3.Row) -> Comparison:
    """A row of :data:`IN_FORCE`."""
    pair, swapped = to_pair(row), bool(row["swapped"])
    (left, left_ids), (right, right_ids) = sides(pair, swapped=swapped)
    return Comparison(
        prompt=pair.prompt,
        left=left,
        right=right,
        choice=row["choice"],
        strength=row["strength"],
        left_ids=left_ids,
        right_ids=right_ids,
        pair=pair.id,
        swapped=swapped,
        annotator=row["name"],
        seconds=row["seconds"],
        env_id=pair.env_id,
        policy=pair.policy,
        metadata={
            "attention_check": pair.gold,
            "created": row["created"],
            "judgement": row["judgement"],
            "prompt_index": pair.prompt_index,
            "repeat": row["repeats"] is not None,
        },
    )


def sides(pair: Pair, *, swapped: bool) -> Sequence[tuple[str, tuple[int, ...]]]:
    """What stands on the left and what on the right: text and token ids of each."""
    shown = (pair.first, pair.first_ids), (pair.second, pair.second_ids)
    return shown[::-1] if swapped else shown


def insert_pairs(connection: sqlite3.Connection, project: Project, pairs: Iterable[Pair], quota: int) -> int:
    """Adds pairs and says how many were new.

    Raises:
        ConfigurationError: for a pair whose name another one has already, and for texts that cannot be written down.
    """
    added = 0
    for pair in pairs:
        values = _pair_values(project, pair, quota)
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        cursor = connection.execute(f"INSERT INTO pair ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING", values)
        added += cursor.rowcount
        if not cursor.rowcount:
            _compare(pair, to_pair(connection.execute("SELECT * FROM pair WHERE id = ?", (pair.id,)).fetchone()))
    return added


def _pair_values(project: Project, pair: Pair, quota: int) -> dict[str, Any]:
    values = {**asdict(pair), "quota": quota, "place": chance(project.seed, "order", pair.id)}
    for name in ("first_ids", "second_ids"):
        values[name] = json.dumps(list(values[name]))
    for name in ("id", "prompt", "first", "second", "env_id", "policy"):
        check_text(f"pair {pair.id!r}: {name}", values[name])
    if not pair.id or pair.gold not in ("", "first", "second"):
        raise ConfigurationError(f"pair {pair.id!r}, gold={pair.gold!r}: expected a name, and '', 'first' or 'second'")
    return values


def check_text(name: str, text: object) -> None:
    """Refuses what SQLite cannot write down.

    Raises:
        ConfigurationError: for what is no text, or holds half of a surrogate pair.
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"{name}={text!r}: expected a text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"{name}={text!r}: not a valid text ({error.reason})") from None


def _compare(pair: Pair, known: Pair) -> None:
    if pair != known:
        ours, theirs = asdict(known), asdict(pair)
        what = ", ".join(name for name in ours if ours[name] != theirs[name])
        raise ConfigurationError(
            f"there is another pair named {pair.id!r} already: they differ in {what}. Pairs of one project must have "
            "names of their own"
        )


def select(connection: sqlite3.Connection, query: str, *values: object) -> Iterator[sqlite3.Row]:
    """The rows of a query."""
    yield from connection.execute(query, values)


def number(connection: sqlite3.Connection, query: str, *values: object) -> int:
    """The one number that a query asks for; 0 for none."""
    found = connection.execute(query, values).fetchone()
    return int(found[0] or 0) if found else 0
