"""Comparisons from a file become rows of a label database again."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError
from textgym.feedback.clerk import settle, task_id
from textgym.feedback.pairs import Pair
from textgym.feedback.rows import check_text, insert_pairs, number
from textgym.feedback.store import Store

NOBODY = "unknown"
"""Who judged where the comparison does not say."""


def restore(store: Store, comparisons: Iterable[Comparison]) -> int:
    """Adds comparisons to a label database, with their pairs and annotators. Those that are there already stay.

    What :meth:`~textgym.feedback.store.Store.comparisons` gave comes back identical. Of comparisons from elsewhere the
    pair gets a name if it has none, and the metadata that a label database does not know is left out. The annotators
    have no personal links until they are renewed.

    Args:
        store: Where they go.
        comparisons: In the order in which they were made.

    Returns:
        How many were new.

    Raises:
        ConfigurationError: for what contradicts the database or itself, naming the comparison; then nothing is added.
    """
    with store.database.writing() as connection:
        before = number(connection, "SELECT count(*) FROM judgement")
        for position, item in enumerate(comparisons, 1):
            try:
                _add(connection, store, item)
            except ConfigurationError as error:
                raise ConfigurationError(f"comparison {position}: {error}") from None
        settle(connection)
        return number(connection, "SELECT count(*) FROM judgement") - before


def _add(connection: sqlite3.Connection, store: Store, item: Comparison) -> None:
    pair, swapped = _pair_of(item)
    insert_pairs(connection, store.project, [pair], store.project.overlap)
    created = item.metadata.get("created", 0.0)
    if isinstance(created, bool) or not isinstance(created, int | float):
        raise ConfigurationError(f"metadata['created']={created!r}: expected seconds since 1970")
    annotator = _annotator(connection, item.annotator or NOBODY, created)
    is_repeat = bool(item.metadata.get("repeat", False))
    task = _task(connection, annotator, pair, swapped=swapped, is_repeat=is_repeat)
    name = str(item.metadata.get("judgement") or _name(task, item, created))
    _check_task(connection, name, task, item)
    connection.execute(
        """INSERT INTO judgement (id, task, choice, strength, seconds, created) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING""",
        (name, task, item.choice, item.strength, item.seconds, created),
    )


def _pair_of(item: Comparison) -> tuple[Pair, bool]:
    """The pair, and whether its second text stood on the left."""
    swapped = item.swapped if item.pair else item.left > item.right
    texts = (item.left, item.left_ids), (item.right, item.right_ids)
    (first, first_ids), (second, second_ids) = texts[::-1] if swapped else texts
    values: dict[str, Any] = {
        "prompt": item.prompt,
        "first": first,
        "second": second,
        "first_ids": first_ids,
        "second_ids": second_ids,
        "env_id": item.env_id,
        "policy": item.policy,
    }
    name = item.pair or sha256(repr(sorted(values.items())).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    index, gold = item.metadata.get("prompt_index", -1), item.metadata.get("attention_check", "")
    if isinstance(index, bool) or not isinstance(index, int):
        raise ConfigurationError(f"metadata['prompt_index']={index!r}: expected a whole number")
    return Pair(id=name, prompt_index=index, gold=gold, **values), swapped


def _annotator(connection: sqlite3.Connection, name: str, created: float) -> str:
    """The id of the annotator of a name, who is added where there is none."""
    check_text("annotator", name)
    found = connection.execute("SELECT id FROM annotator WHERE name = ?", (name,)).fetchone()
    if found:
        return str(found["id"])
    new = secrets.token_hex(8)
    connection.execute(
        "INSERT INTO annotator (id, name, role, created) VALUES (?, ?, 'annotator', ?)", (new, name, created)
    )
    return new


def _task(connection: sqlite3.Connection, annotator: str, pair: Pair, *, swapped: bool, is_repeat: bool) -> str:
    """The id of the task in which an annotator saw a pair."""
    name, first = (task_id(annotator, pair.id, is_repeat=again) for again in (is_repeat, False))
    if is_repeat and not number(connection, "SELECT count(*) FROM task WHERE id = ?", first):
        _insert_task(connection, first, annotator, pair, swapped=not swapped, repeats=None)
    _insert_task(connection, name, annotator, pair, swapped=swapped, repeats=first if is_repeat else None)
    if number(connection, "SELECT swapped FROM task WHERE id = ?", name) != swapped:
        raise ConfigurationError(f"the annotator has seen the pair {pair.id!r} on other sides already")
    return name


def _insert_task(
    connection: sqlite3.Connection, name: str, annotator: str, pair: Pair, *, swapped: bool, repeats: str | None
) -> None:
    connection.execute(
        """INSERT INTO task (id, annotator, pair, swapped, repeats, counts, position, state, lease)
        VALUES (:name, :annotator, :pair, :swapped, :repeats, :counts,
        (SELECT ifnull(max(position), 0) + 1 FROM task WHERE annotator = :annotator), 'released', 0)
        ON CONFLICT DO NOTHING""",
        {
            "name": name,
            "annotator": annotator,
            "pair": pair.id,
            "swapped": int(swapped),
            "repeats": repeats,
            "counts": int(repeats is None and not pair.gold),
        },
    )


def _name(task: str, item: Comparison, created: float) -> str:
    """A name for a judgement that has none: the same when the file is read once more."""
    values = (task, item.choice, item.strength, item.seconds, created)
    return sha256(repr(values).encode()).hexdigest()[:16]


def _check_task(connection: sqlite3.Connection, name: str, task: str, item: Comparison) -> None:
    """Refuses a second, different judgement of what was asked once."""
    rows = connection.execute(
        """SELECT id, choice FROM judgement WHERE task = ?
        AND NOT EXISTS (SELECT 1 FROM undo WHERE undo.judgement = judgement.id)""",
        (task,),
    ).fetchall()
    for row in rows:
        if row["id"] != name:
            raise ConfigurationError(
                f"{item.annotator or NOBODY!r} has judged the pair {item.pair!r} already ({row['choice']!r}, now "
                f"{item.choice!r}); expected one judgement of each pair, and one with metadata {{'repeat': true}}"
            )
