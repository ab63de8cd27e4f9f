"""Several databases of one project become one, where the network keeps the computers of a class apart."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textgym.errors import ConfigurationError
from textgym.feedback.clerk import settle
from textgym.feedback.rows import insert_pairs, number, select, to_pair
from textgym.feedback.store import Store


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What a merge has brought.

    Attributes:
        pairs: New pairs.
        annotators: New annotators.
        judgements: New judgements, undone ones included.
        undone: New undos.
        conflicts: What does not go together, in plain words; empty in most cases.
    """

    pairs: int
    annotators: int
    judgements: int
    undone: int
    conflicts: tuple[str, ...]


def merge(out: str | Path, sources: Sequence[str | Path]) -> Merged:
    """Adds the pairs, annotators and judgements of databases to another one. A second time it changes nothing.

    The files may be copies of one file, or have been made apart for the same project. Two people of one name stay two:
    the second gets a name with the beginning of their id. Where a copy has taken more answers to a pair than were asked
    for, or one person has answered a pair on two copies, nothing is lost: the latest answer of a person holds, and the
    conflicts say so.

    Args:
        out: The database that gets everything; made where there is none.
        sources: Those that are read, and not changed.

    Raises:
        ConfigurationError: for no sources, a source that is the result, files of different projects, and pairs of one
            name with different texts.
    """
    target, files = Path(out), [Path(source) for source in sources]
    if not files or target.resolve() in [file.resolve() for file in files]:
        raise ConfigurationError(
            f"{str(target)!r}: expected other databases to merge into this one, got {list(sources)}"
        )
    with ExitStack() as stack:
        stores = [stack.enter_context(Store(file)) for file in files]
        for store in stores[1:]:
            _check_project(stores[0], store)
        if target.exists():
            with Store(target) as result:
                _check_project(result, stores[0])
                return _add(result, stores)
        scratch = target.with_name(f".{target.name}.merging")
        scratch.unlink(missing_ok=True)
        try:
            with Store.create(scratch, stores[0].project) as result:
                merged = _add(result, stores)
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)
        return merged


def _check_project(one: Store, other: Store) -> None:
    if one.project.id == other.project.id:
        return
    names = ("env_id", "env_kwargs", "guidelines", "seed", "ask_strength")
    different = [name for name in names if getattr(one.project, name) != getattr(other.project, name)]
    raise ConfigurationError(
        f"{str(one.path)!r} and {str(other.path)!r} are of different projects: they differ in {', '.join(different)}"
    )


def _add(result: Store, sources: Sequence[Store]) -> Merged:
    """Adds everything in one transaction: all of it or nothing."""
    conflicts: list[str] = []
    tables = ("pair", "annotator", "judgement", "undo")
    with result.database.writing() as connection:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        before = [number(connection, f"SELECT count(*) FROM {table}") for table in tables]
        for source in sources:
            with source.database.reading() as other:
                _add_pairs(connection, other, source, result)
                conflicts += _add_annotators(connection, other, source)
                _add_tasks(connection, other, source)
                _copy(connection, other, "judgement", "created, id")
                _copy(connection, other, "undo", "created, judgement")
        settle(connection)
        after = [number(connection, f"SELECT count(*) FROM {table}") for table in tables]
        conflicts += [*_answered_twice(connection), *_above_quota(connection)]
    new = {table: now - then for table, now, then in zip(tables, after, before, strict=True)}
    return Merged(
        pairs=new["pair"],
        annotators=new["annotator"],
        judgements=new["judgement"],
        undone=new["undo"],
        conflicts=tuple(dict.fromkeys(conflicts)),
    )


def _add_pairs(connection: sqlite3.Connection, other: sqlite3.Connection, source: Store, result: Store) -> None:
    for row in select(other, "SELECT * FROM pair ORDER BY number"):
        try:
            new = insert_pairs(connection, result.project, [to_pair(row)], row["quota"])
        except ConfigurationError as error:
            raise ConfigurationError(f"{str(source.path)!r}: {error}") from None
        if new:
            connection.execute("UPDATE pair SET place = ? WHERE id = ?", (row["place"], row["id"]))


def _add_annotators(connection: sqlite3.Connection, other: sqlite3.Connection, source: Store) -> Iterator[str]:
    for row in select(other, "SELECT * FROM annotator ORDER BY number"):
        if number(connection, "SELECT count(*) FROM annotator WHERE id = ?", row["id"]):
            continue
        values = {name: row[name] for name in ("id", "name", "token_sha256", "role", "created")}
        if number(connection, "SELECT count(*) FROM annotator WHERE name = ?", row["name"]):
            values["name"] = f"{row['name']} ({row['id'][:4]})"
            yield f"two people are named {row['name']!r}: the one of {str(source.path)!r} is now {values['name']!r}"
        _insert(connection, "annotator", values)


def _add_tasks(connection: sqlite3.Connection, other: sqlite3.Connection, source: Store) -> None:
    for row in select(other, "SELECT * FROM task ORDER BY position"):
        values = {**dict(row), "judgement": None, "state": "released"}
        _insert(connection, "task", values)
        swapped = number(connection, "SELECT swapped FROM task WHERE id = ?", row["id"])
        if swapped != row["swapped"]:
            raise ConfigurationError(
                f"{str(source.path)!r}: the task {row['id']} shows the pair {row['pair']!r} on other sides than before"
            )


def _copy(connection: sqlite3.Connection, other: sqlite3.Connection, table: str, order: str) -> None:
    """Copies rows that are not there yet, with numbers of their own."""
    for row in select(other, f"SELECT * FROM {table} ORDER BY {order}"):
        _insert(connection, table, {name: row[name] for name in row.keys() if name != "number"})  # noqa: SIM118


def _insert(connection: sqlite3.Connection, table: str, values: Mapping[str, Any]) -> None:
    names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING", values)


def _answered_twice(connection: sqlite3.Connection) -> Iterator[str]:
    """Tasks with different answers that nobody has undone: copies of one database were used side by side."""
    rows = select(
        connection,
        """SELECT annotator.name, task.pair, group_concat(DISTINCT choice) AS choices, (
            SELECT choice FROM judgement AS held WHERE held.id = task.judgement) AS held
        FROM judgement JOIN task ON task.id = judgement.task JOIN annotator ON annotator.id = task.annotator
        WHERE NOT EXISTS (SELECT 1 FROM undo WHERE undo.judgement = judgement.id)
        GROUP BY task.id HAVING count(DISTINCT choice) > 1 ORDER BY annotator.name, task.pair""",
    )
    for row in rows:
        choices = ", ".join(sorted(row["choices"].split(",")))
        yield f"{row['name']!r} answered the pair {row['pair']!r} on two copies ({choices}): {row['held']} holds"


def _above_quota(connection: sqlite3.Connection) -> Iterator[str]:
    for row in select(connection, "SELECT * FROM pair WHERE gold = '' AND taken > quota ORDER BY number"):
        yield f"the pair {row['id']!r} has answers of {row['taken']} annotators, {row['quota']} were asked for"
