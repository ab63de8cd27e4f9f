"""The tables of a label database, and how its file is made, opened and recognised."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from textgym.errors import ConfigurationError
from textgym.feedback.projects import Project, StoreError

VERSION = 1
APPLICATION = 0x7467_6C62  # "tglb", in the header of the file: says whose database it is
_HEADER = b"SQLite format 3\x00"
_PATIENCE = 30.0  # seconds that a writer waits for another process

TABLES = """
CREATE TABLE project (
    id TEXT PRIMARY KEY,
    config TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE pair (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    prompt TEXT NOT NULL,
    first TEXT NOT NULL,
    second TEXT NOT NULL,
    prompt_index INTEGER NOT NULL,
    first_ids TEXT NOT NULL,
    second_ids TEXT NOT NULL,
    env_id TEXT NOT NULL,
    policy TEXT NOT NULL,
    gold TEXT NOT NULL CHECK (gold IN ('', 'first', 'second')),
    quota INTEGER NOT NULL CHECK (quota >= 1),
    taken INTEGER NOT NULL DEFAULT 0 CHECK (taken >= 0),
    place REAL NOT NULL
);
CREATE INDEX pair_wanted ON pair (place, id) WHERE gold = '' AND taken < quota;
CREATE INDEX pair_check ON pair (place, id) WHERE gold != '';
CREATE TABLE tally (
    wanted INTEGER NOT NULL,
    places INTEGER NOT NULL
);
INSERT INTO tally VALUES (0, 0);
CREATE TRIGGER pair_added AFTER INSERT ON pair WHEN new.gold = '' BEGIN
    UPDATE tally SET wanted = wanted + (new.taken < new.quota), places = places + max(new.quota - new.taken, 0);
END;
CREATE TRIGGER pair_taken AFTER UPDATE OF taken ON pair WHEN new.gold = '' BEGIN
    UPDATE tally SET wanted = wanted + (new.taken < new.quota) - (old.taken < old.quota),
    places = places + max(new.quota - new.taken, 0) - max(old.quota - old.taken, 0);
END;
CREATE TABLE annotator (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    token_sha256 TEXT UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('annotator', 'teacher')),
    created REAL NOT NULL
);
CREATE TABLE task (
    id TEXT PRIMARY KEY,
    annotator TEXT NOT NULL REFERENCES annotator (id),
    pair TEXT NOT NULL REFERENCES pair (id),
    swapped INTEGER NOT NULL CHECK (swapped IN (0, 1)),
    repeats TEXT REFERENCES task (id),
    counts INTEGER NOT NULL CHECK (counts IN (0, 1)),
    position INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'answered', 'released')),
    lease REAL NOT NULL,
    judgement TEXT REFERENCES judgement (id)
);
CREATE INDEX task_of ON task (annotator, state, position);
CREATE INDEX task_pair ON task (pair);
CREATE INDEX task_open ON task (lease) WHERE state = 'open';
CREATE UNIQUE INDEX task_once ON task (annotator, pair, ifnull(repeats, ''));
CREATE TABLE judgement (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    task TEXT NOT NULL REFERENCES task (id),
    choice TEXT NOT NULL CHECK (choice IN ('left', 'right', 'tie', 'both_bad', 'skip')),
    strength INTEGER,
    seconds REAL,
    created REAL NOT NULL,
    supersedes TEXT REFERENCES judgement (id)
);
CREATE INDEX judgement_task ON judgement (task);
CREATE INDEX judgement_created ON judgement (created);
CREATE TABLE undo (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    judgement TEXT NOT NULL UNIQUE REFERENCES judgement (id),
    created REAL NOT NULL
);
"""
"""``task.counts`` says whether an answer takes one of the pair's places; ``pair.taken`` is how many are taken: open
tasks and answers but skips. ``pair.place`` is where the pair stands in the order, ``task.judgement`` the answer in
force. ``tally`` keeps count of the pairs that still have free places, and of these places."""

_FOREVER = "\n".join(
    f"CREATE TRIGGER {table}_{verb} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{table} rows stay'); END;"
    for table in ("judgement", "undo")
    for verb in ("UPDATE", "DELETE")
)


class Database:
    """An open file and a few connections to it; threads borrow one at a time.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._writing = threading.Lock()  # fairer than SQLite's own waiting, which only other processes meet
        self._batch = threading.local()
        self._closed = False

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the file, whatever others write meanwhile."""
        if (batch := self._current()) is not None:
            yield batch
            return
        with self._connection() as connection, _transaction(connection, "BEGIN"):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The only writer: what was done is on the disk at the end of the block, or undone if that raises."""
        if (batch := self._current()) is not None:
            with _savepoint(batch):
                yield batch
            return
        with self._writing, self._connection() as connection, _transaction(connection, "BEGIN IMMEDIATE"):
            yield connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """What this thread writes in the block is on the disk at its end, all at once; what raised is undone alone."""
        with self._writing, self._connection() as connection, _transaction(connection, "BEGIN IMMEDIATE"):
            self._batch.connection = connection
            try:
                yield
            finally:
                self._batch.connection = None

    def _current(self) -> sqlite3.Connection | None:
        """The connection of this thread's batch, if it is in one."""
        return getattr(self._batch, "connection", None)

    def close(self) -> None:
        """Closes the idle connections; those in use are closed when they come back."""
        self._closed = True
        while not self._idle.empty():
            self._idle.get_nowait().close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = None
        try:
            connection = connection or _connect(self.path)
            yield connection
        except sqlite3.Error as error:
            raise StoreError(f"the label database {str(self.path)!r} fails: {error}") from error
        finally:
            if connection is not None:
                if self._closed:
                    connection.close()
                else:
                    self._idle.put(connection)


def create_database(path: Path, project: Project) -> None:
    """Makes the file with its tables; it appears under its name when it is complete.

    Raises:
        ConfigurationError: if there is such a file already, or it cannot be made.
    """
    if path.exists():
        raise ConfigurationError(f"{str(path)!r} exists already; open it, or choose another name")
    scratch = path.with_name(f".{path.name}.new")
    try:
        scratch.unlink(missing_ok=True)
        with closing(sqlite3.connect(scratch, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # the file remembers this
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(f"BEGIN; {TABLES}{_FOREVER} COMMIT;")
            connection.execute("INSERT INTO project VALUES (?, ?, ?)", (project.id, project.to_json(), time.time()))
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        scratch.replace(path)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise ConfigurationError(f"the label database {str(path)!r} cannot be made: {error}") from None


def check_file(path: Path) -> None:
    """Says whether a file is a label database of this version.

    Raises:
        ConfigurationError: if it is not.
    """
    name = f"the label database {str(path)!r}"
    if not path.is_file():
        raise ConfigurationError(f"{name} does not exist; `textgym label create` makes one")
    with path.open("rb") as file:
        header = file.read(100)
    if header[:16] != _HEADER or int.from_bytes(header[68:72], "big") != APPLICATION:
        raise ConfigurationError(f"{str(path)!r} is no label database; expected a file that `textgym label` has made")
    version = int.from_bytes(header[60:64], "big")
    if version != VERSION:
        advice = "update textgym" if version > VERSION else "export it with the textgym that made it"
        raise ConfigurationError(f"{name} has schema version {version}, this textgym knows {VERSION}: {advice}")


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode=rw"  # a file that has gone is an error, not an empty database
    connection = sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    for setting in ("synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _savepoint(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("SAVEPOINT part")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK TO part")
        raise
    finally:
        if connection.in_transaction:
            connection.execute("RELEASE part")
