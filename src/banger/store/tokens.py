"""Rows of the tokens of the HTTP front: hash, scope and expiry of each.

A token itself is not stored, so a reader of the database cannot use any.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass

from banger.errors import NameTaken


@dataclass(frozen=True, kw_only=True)
class TokenRow:
    """A token. Times are seconds of the Unix epoch."""

    hash: bytes
    kind: str
    """`program`, `offer` (to log in once) or `login`."""
    scope: str
    created_at: float
    name: str | None = None
    expires_at: float | None = None
    used_at: float | None = None


def insert_token(connection: sqlite3.Connection, row: TokenRow) -> None:
    """Save a new token.

    Raises:
        NameTaken: there is another of this name.
    """
    try:
        connection.execute(
            "INSERT INTO tokens VALUES (:hash, :kind, :name, :scope, :created_at, :expires_at,"
            " :used_at)",
            asdict(row),
        )
    except sqlite3.IntegrityError as error:
        raise NameTaken(
            f"A token named {row.name} already exists.", hint="banger web token list"
        ) from error


def load_tokens(connection: sqlite3.Connection, kind: str) -> list[TokenRow]:
    """Return the tokens of a kind, oldest first."""
    rows = connection.execute("SELECT * FROM tokens WHERE kind = ? ORDER BY created_at", (kind,))
    return [TokenRow(**dict(row)) for row in rows]


def note_token_use(connection: sqlite3.Connection, token_hash: bytes, at: float) -> None:
    """Save when a token was last used."""
    connection.execute("UPDATE tokens SET used_at = ? WHERE hash = ?", (at, token_hash))


def replace_token(connection: sqlite3.Connection, token_hash: bytes, row: TokenRow) -> bool:
    """Replace a token by another; return False, and save nothing, if it is gone."""
    if not delete_token(connection, token_hash):
        return False
    insert_token(connection, row)
    return True


def delete_token(connection: sqlite3.Connection, token_hash: bytes) -> bool:
    """Delete a token; return whether there was one."""
    return connection.execute("DELETE FROM tokens WHERE hash = ?", (token_hash,)).rowcount > 0


def delete_expired_tokens(connection: sqlite3.Connection, now: float) -> None:
    """Delete the tokens whose time is over."""
    connection.execute("DELETE FROM tokens WHERE expires_at <= ?", (now,))
