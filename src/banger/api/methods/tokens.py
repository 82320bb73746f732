"""Methods of the tokens by which programs and browsers use the HTTP front."""

from __future__ import annotations

from banger.api.method import Method
from banger.api.requests import NoParams
from banger.api.results import Deleted
from banger.api.tokens import (
    CreatedToken,
    LoginToken,
    TokenCheck,
    TokenCreate,
    TokenRef,
    TokenView,
)

TOKENS = (
    Method(
        name="token.create",
        params=TokenCreate,
        result=CreatedToken,
        doc="Create a token for a program that uses the HTTP front.",
    ),
    Method(
        name="token.list",
        params=NoParams,
        result=list[TokenView],
        doc="List the tokens of programs, oldest first.",
    ),
    Method(
        name="token.delete",
        params=TokenRef,
        result=Deleted,
        doc="Delete a program's token; it is refused from then on.",
    ),
    Method(
        name="token.check",
        params=TokenCheck,
        result=TokenView,
        doc="Return what a token allows, and note that it was used.",
    ),
    Method(
        name="token.wait",
        params=TokenCheck,
        result=TokenView,
        doc="Wait until a token is deleted or expires; return what it allowed.",
    ),
    Method(
        name="login.offer",
        params=NoParams,
        result=CreatedToken,
        doc="Create a token with which a browser can log in once, within 30 s.",
    ),
    Method(
        name="login.begin",
        params=LoginToken,
        result=CreatedToken,
        doc="Exchange a one-time token for a login's.",
    ),
    Method(
        name="login.end",
        params=LoginToken,
        result=Deleted,
        doc="End a login.",
    ),
)
