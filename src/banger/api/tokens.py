"""Parameters and results of `token.*` and `login.*`: who may use the HTTP front."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from banger.api.requests import Params
from banger.model.scopes import Scope

TokenKind = Literal["program", "login"]


class TokenCreate(Params, frozen=True):
    name: str
    """Same rules as for VM names."""
    scope: Scope
    expires_s: float | None = None
    """Seconds from now; default: never."""


class TokenRef(Params, frozen=True):
    name: str


class TokenCheck(Params, frozen=True):
    token: str
    kind: TokenKind


class LoginToken(Params, frozen=True):
    token: str


class TokenView(Struct, frozen=True, kw_only=True):
    """A token; times are seconds of the Unix epoch."""

    name: str | None
    """Null: the token of a login."""
    scope: Scope
    created_at: float
    expires_at: float | None
    """Null: never."""
    used_at: float | None
    """Precise to a minute; null: never."""


class CreatedToken(Struct, frozen=True, kw_only=True):
    """A new token. No other method returns its text."""

    token: str
    scope: Scope
    expires_at: float | None
