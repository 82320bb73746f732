"""Tokens of the HTTP front, on real SQLite files."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger import store
from banger.errors import NameTaken
from banger.store import TokenRow
from tests.unit.store.test_store import with_database


def row(number: int, *, kind: str = "program", expires_at: float | None = None) -> TokenRow:
    return TokenRow(
        hash=bytes([number]) * 32,
        kind=kind,
        scope="read",
        created_at=float(number),
        name=f"t{number}" if kind == "program" else None,
        expires_at=expires_at,
    )


def test_tokens_are_kept_by_kind(tmp_path: Path) -> None:
    async def work(database: store.Database) -> None:
        rows = [row(2), row(1), row(3, kind="login"), row(4, kind="login")]
        for each in rows:
            await database.write(store.insert_token, each)
        assert await database.read(store.load_tokens, "program") == [row(1), row(2)]
        await database.write(store.note_token_use, row(1).hash, 9.0)
        used = await database.read(store.load_tokens, "program")
        assert [each.used_at for each in used] == [9.0, None]
        assert await database.write(store.delete_token, row(1).hash)
        assert not await database.write(store.delete_token, row(1).hash)

    with_database(tmp_path / "banger.db", work)


def test_a_name_is_one_tokens(tmp_path: Path) -> None:
    """C6."""

    async def work(database: store.Database) -> None:
        await database.write(store.insert_token, row(1))
        with pytest.raises(NameTaken):
            await database.write(
                store.insert_token,
                TokenRow(hash=b"2" * 32, kind="program", scope="use", created_at=2.0, name="t1"),
            )

    with_database(tmp_path / "banger.db", work)


def test_a_token_is_replaced_once(tmp_path: Path) -> None:
    async def work(database: store.Database) -> None:
        await database.write(store.insert_token, row(1, kind="offer"))
        replace = store.replace_token
        assert await database.write(replace, row(1).hash, row(2, kind="login"))
        assert not await database.write(replace, row(1).hash, row(3, kind="login"))
        assert await database.read(store.load_tokens, "login") == [row(2, kind="login")]

    with_database(tmp_path / "banger.db", work)


def test_expired_tokens_go(tmp_path: Path) -> None:
    async def work(database: store.Database) -> None:
        for each in (row(1, expires_at=5.0), row(2, expires_at=7.0), row(3)):
            await database.write(store.insert_token, each)
        await database.write(store.delete_expired_tokens, 5.0)
        left = await database.read(store.load_tokens, "program")
        assert [each.name for each in left] == ["t2", "t3"]

    with_database(tmp_path / "banger.db", work)
