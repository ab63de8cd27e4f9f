"""Who may come in: annotators, and the tokens of their personal links, of which the database keeps a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3

from textgym.errors import ConfigurationError
from textgym.feedback.projects import ROLES, Annotator, Invitation, Role, StoreError
from textgym.feedback.rows import check_text, number, select, to_annotator


def invite(connection: sqlite3.Connection, name: str, role: Role, now: float) -> Invitation:
    """Adds an annotator.

    Raises:
        ConfigurationError: for a name that is empty or taken, and for an unknown role.
    """
    check_text("name", name)
    if not name.strip() or role not in ROLES:
        raise ConfigurationError(f"name={name!r}, role={role!r}: expected a name, and {' or '.join(map(repr, ROLES))}")
    if number(connection, "SELECT count(*) FROM annotator WHERE name = ?", name):
        raise ConfigurationError(f"there is an annotator {name!r} already; choose another name, or renew the link")
    new = Invitation(secrets.token_hex(8), name, _new_token())
    connection.execute(
        "INSERT INTO annotator (id, name, token_sha256, role, created) VALUES (?, ?, ?, ?, ?)",
        (new.id, name, hash_token(new.token), role, now),
    )
    return new


def renew(connection: sqlite3.Connection, annotator: Annotator) -> Invitation:
    """Gives an annotator a new token instead of the old one."""
    new = Invitation(annotator.id, annotator.name, _new_token())
    connection.execute("UPDATE annotator SET token_sha256 = ? WHERE id = ?", (hash_token(new.token), annotator.id))
    return new


def find_annotator(connection: sqlite3.Connection, annotator_id: str) -> Annotator:
    """The annotator of an id.

    Raises:
        StoreError: if there is none.
    """
    found = list(select(connection, "SELECT * FROM annotator WHERE id = ?", annotator_id))
    if not found:
        raise StoreError(f"there is no annotator {annotator_id!r}")
    return to_annotator(found[0])


def find_by_token(connection: sqlite3.Connection, token: str) -> Annotator | None:
    """Whose token this is; None for nobody's."""
    hashed = hash_token(token)
    found = list(select(connection, "SELECT * FROM annotator WHERE token_sha256 = ?", hashed))
    same = [row for row in found if hmac.compare_digest(row["token_sha256"], hashed)]
    return to_annotator(same[0]) if same else None


def hash_token(token: str) -> str:
    """What the database keeps of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _new_token() -> str:
    return secrets.token_urlsafe(24)
