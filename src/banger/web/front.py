"""Shared by all requests: the connection to the daemon, and the authorization.

A program has a token (`Authorization: Bearer`), a browser a login. Neither is accepted in the place
of the other. Browsers send a cookie to every port of a host, also to a guest's server that is
published there: so the cookie is one half of a login's token, and the page keeps the other, the
key, where only pages of the front's own address and port read it.
Whatever is served for longer ends with the token.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Never

from starlette.requests import HTTPConnection

from banger.errors import BangerError, TokenInvalid, TokenTooNarrow
from banger.model.scopes import Scope
from banger.sdk.aio.daemon import AsyncDaemon
from banger.web.sse import EventStreams

BEARER = "bearer "
KEY_HEADER = "banger-login-key"
PROTOCOL = "banger"
"""Of WebSockets. Of a browser's, which cannot send a header, the next protocol is the key."""
SHORT_S = 1.0
"""What takes no longer than this is not ended; also the pause until the next daemon is asked."""


@dataclass(frozen=True)
class Front:
    """One front."""

    daemon: AsyncDaemon
    cookie: str
    """Name of the cookie of a login; another for each installation and port."""
    events: EventStreams = field(default_factory=EventStreams)


def front_of(connection: HTTPConnection) -> Front:
    """Return the front that serves a request."""
    front = connection.app.state.front
    assert isinstance(front, Front)
    return front


async def require_scope(connection: HTTPConnection, needed: Scope) -> None:
    """Check that the sender of a request is allowed to.

    Raises:
        TokenInvalid: without a token, or with one that is not valid.
        TokenTooNarrow: it is valid, but not for this.
    """
    front = front_of(connection)
    authorization = connection.headers.get("authorization")
    if authorization is None:
        token, kind = read_login(connection), "login"
    else:
        token, kind = authorization[len(BEARER) :].strip(), "program"
        token = token if authorization.lower().startswith(BEARER) else ""
    if not token:
        raise TokenInvalid("This request needs a token.", hint="banger web token create NAME")
    access = connection.state.access = {"token": token, "kind": kind}
    view = await front.daemon.call("token.check", access)
    if not Scope(view["scope"]).allows(needed):
        raise TokenTooNarrow(
            f"The token allows {view['scope']}; this needs {needed.value}.",
            hint="banger web token list",
        )


def read_login(connection: HTTPConnection) -> str:
    """Return a login's token, or "" unless both halves of it came."""
    cookie = connection.cookies.get(front_of(connection).cookie, "")
    _, *keys = connection.scope.get("subprotocols") or [PROTOCOL]
    key = connection.headers.get(KEY_HEADER) or "".join(keys)
    return cookie + key if cookie and key else ""


async def until_invalid(connection: HTTPConnection) -> Never:
    """Wait for the end of the token with which a request was permitted.

    A daemon that is not there refuses nothing: the next one is asked.

    Raises:
        TokenInvalid: the token was deleted, or has expired.
    """
    access, daemon = connection.state.access, AsyncDaemon(autostart=False)
    while True:
        await asyncio.sleep(SHORT_S)
        try:
            await daemon.call("token.wait", access)
        except TokenInvalid:
            raise
        except BangerError:
            continue
        raise TokenInvalid("The token was deleted, or has expired.", hint="banger web token list")
