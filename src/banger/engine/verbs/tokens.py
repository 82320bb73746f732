"""Tokens of the HTTP front: `token.*` for programs, `login.*` for browsers.

A token is 32 random bytes, returned once; the database has its hash. Each change is one
transaction, so no lock is taken. Expired tokens are deleted whenever one is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import secrets
import time

from banger import store
from banger.api.method import serves
from banger.api.results import Deleted
from banger.api.tokens import CreatedToken, TokenCreate, TokenKind, TokenView
from banger.engine.state.engine import Engine
from banger.errors import InvalidRequest, NotFound, TokenInvalid
from banger.model.names import NAME
from banger.model.scopes import Scope

TOKEN_BYTES = 32
OFFER_S = 30.0
LOGIN_S = 12 * 3600.0
NOTED_EVERY_S = 60.0
"""Seconds between two notes of a token's use: each is a write."""
LOOK_EVERY_S = 60.0
"""Seconds between two looks at the clock while waiting for a token's end: it may be set."""


@serves("token.create")
async def create_token(engine: Engine, params: TokenCreate) -> CreatedToken:
    """Make a program's token.

    Raises:
        InvalidRequest: the name or the time is not possible.
        NameTaken: there is another of this name.
    """
    if not NAME.fullmatch(params.name):
        raise InvalidRequest(f"{params.name!r} is not a valid token name.")
    if params.expires_s is not None and params.expires_s <= 0:
        raise InvalidRequest("A token must expire in the future.")
    return await _insert(
        engine, "program", params.scope, name=params.name, expires_s=params.expires_s
    )


@serves("token.list")
async def list_tokens(engine: Engine) -> list[TokenView]:
    """Return the tokens of programs, expired ones too."""
    return [_view(row) for row in await engine.database.read(store.load_tokens, "program")]


@serves("token.delete")
async def delete_token(engine: Engine, name: str) -> Deleted:
    """Delete a program's token.

    Raises:
        NotFound: there is none of this name.
    """
    for row in await engine.database.read(store.load_tokens, "program"):
        if row.name == name:
            await _delete(engine, row.hash)
            return Deleted(ids=[name])
    raise NotFound(f"There is no token {name}.", hint="banger web token list")


@serves("token.check")
async def check_token(engine: Engine, token: str, kind: TokenKind) -> TokenView:
    """Return what a token allows.

    Raises:
        TokenInvalid: it is not known, or has expired.
    """
    row = await _require_token(engine, token, kind)
    now = time.time()
    if now - (row.used_at or 0.0) > NOTED_EVERY_S:
        await engine.database.write(store.note_token_use, row.hash, now)
    return _view(row)


@serves("token.wait")
async def wait_for_token_end(engine: Engine, token: str, kind: TokenKind) -> TokenView:
    """Return once a token is valid no more.

    Raises:
        TokenInvalid: it was not valid from the start.
    """
    row = await _require_token(engine, token, kind)
    while True:
        rest_s = LOOK_EVERY_S
        if row.expires_at is not None:
            rest_s = min(rest_s, row.expires_at - time.time())
        deleted = engine.token_deleted
        try:
            await _require_token(engine, token, kind)
        except TokenInvalid:
            return _view(row)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await deleted.wait()


@serves("login.offer")
async def offer_login(engine: Engine) -> CreatedToken:
    """Make a one-time token."""
    return await _insert(engine, "offer", Scope.MANAGE, expires_s=OFFER_S)


@serves("login.begin")
async def begin_login(engine: Engine, token: str) -> CreatedToken:
    """Replace a one-time token by a login's.

    Raises:
        TokenInvalid: it was used, is not known, or has expired.
    """
    offer = await _require_token(engine, token, "offer")
    made, row = _make("login", Scope(offer.scope), expires_s=LOGIN_S)
    if not await engine.database.write(store.replace_token, offer.hash, row):
        raise _invalid()
    return made


@serves("login.end")
async def end_login(engine: Engine, token: str) -> Deleted:
    """End a login; one that has ended stays so."""
    await _delete(engine, _hash(token))
    return Deleted(ids=[])


async def _delete(engine: Engine, token_hash: bytes) -> None:
    await engine.database.write(store.delete_token, token_hash)
    deleted, engine.token_deleted = engine.token_deleted, asyncio.Event()
    deleted.set()


async def _insert(
    engine: Engine, kind: str, scope: Scope, *, expires_s: float | None, name: str | None = None
) -> CreatedToken:
    made, row = _make(kind, scope, expires_s=expires_s, name=name)
    await engine.database.write(store.delete_expired_tokens, row.created_at)
    await engine.database.write(store.insert_token, row)
    return made


def _make(
    kind: str, scope: Scope, *, expires_s: float | None, name: str | None = None
) -> tuple[CreatedToken, store.TokenRow]:
    token, now = secrets.token_urlsafe(TOKEN_BYTES), time.time()
    expires_at = None if expires_s is None else now + expires_s
    row = store.TokenRow(
        hash=_hash(token),
        kind=kind,
        scope=scope.value,
        created_at=now,
        name=name,
        expires_at=expires_at,
    )
    return CreatedToken(token=token, scope=scope, expires_at=expires_at), row


async def _require_token(engine: Engine, untrusted_token: str, kind: str) -> store.TokenRow:
    wanted = _hash(untrusted_token)
    for row in await engine.database.read(store.load_tokens, kind):
        is_current = row.expires_at is None or time.time() < row.expires_at
        if hmac.compare_digest(row.hash, wanted) and is_current:
            return row
    raise _invalid()


def _invalid() -> TokenInvalid:
    return TokenInvalid("The token is not valid, or has expired.", hint="banger web token list")


def _hash(untrusted_token: str) -> bytes:
    return hashlib.sha256(untrusted_token.encode("utf-8", "surrogatepass")).digest()


def _view(row: store.TokenRow) -> TokenView:
    return TokenView(
        name=row.name,
        scope=Scope(row.scope),
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
    )
