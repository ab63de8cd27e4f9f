"""What a chat model has answered, kept in one SQLite file: the same question is never paid for twice."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from textgym.errors import ConfigurationError

FORMAT = 1  # of the file; another number is refused
_SCHEMA = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, request TEXT NOT NULL, answer TEXT NOT NULL)"
_PATIENCE = 30.0  # seconds to wait for another process that writes
_MOST_KEYS = 500  # in one query


class AnswerCache:
    """Answers by the hash of the whole request, shared by threads and processes.

    An answer is on disk when :meth:`put` returns, so that nothing which was paid for is lost. The file is opened anew
    for each call, and so can be handed to other threads and processes as its path.

    Args:
        path: The file; it and its folder are made where they are not there.

    Raises:
        ConfigurationError: on use, for a file that is no such cache or cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    def get(self, keys: Sequence[str]) -> dict[str, str]:
        """The answers to those keys that are known."""
        if not self.path.is_file():
            return {}
        found: dict[str, str] = {}
        with self._open() as database:
            for start in range(0, len(keys), _MOST_KEYS):
                part = keys[start : start + _MOST_KEYS]
                marks = ", ".join("?" * len(part))
                rows = database.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", part)
                found |= {key: json.loads(answer) for key, answer in rows}
        return found

    def put(self, key: str, request: str, answer: str) -> None:
        """Keeps an answer; the first one to a key stays, whoever else asked at the same time.

        Args:
            key: Names the request.
            request: The request itself, for people who look into the file.
            answer: What came.
        """
        with self._open() as database:
            # As JSON, because an answer may hold half a surrogate pair, which SQLite takes from nobody.
            database.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", (key, request, json.dumps(answer)))

    def __len__(self) -> int:
        if not self.path.is_file():
            return 0
        with self._open() as database:
            count: int = database.execute("SELECT count(*) FROM answers").fetchone()[0]
        return count

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)) as database:
                self._prepare(database)
                yield database
        except (OSError, sqlite3.Error, json.JSONDecodeError) as error:
            raise ConfigurationError(
                f"the cache of answers {str(self.path)!r} cannot be used ({error}); name another file as cache=, or "
                "move this one away"
            ) from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        if _version(database) == FORMAT:
            return
        database.execute("BEGIN IMMEDIATE")  # another process may be here too
        if _version(database) != FORMAT:
            if _version(database) or database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise sqlite3.DatabaseError("it is a database of another kind or version")
            database.execute(_SCHEMA)
            database.execute(f"PRAGMA user_version = {FORMAT}")
        database.execute("COMMIT")


def _version(database: sqlite3.Connection) -> int:
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    return version
