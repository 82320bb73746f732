"""What every request shares: the way to the daemon, and who may ask for what.

A program has a token (`Authorization: Bearer`), a browser the cookie of a login. Neither is
accepted in the place of the other, so a page that learned the cookie cannot use it as a program.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from banger.errors import TokenInvalid, TokenTooNarrow
from banger.model.scopes import Scope
from banger.sdk.aio.daemon import AsyncDaemon
from banger.web.sse import EventStreams

BEARER = "bearer "


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
    """Check that whoever asks may.

    Raises:
        TokenInvalid: without a token, or with one that is not valid.
        TokenTooNarrow: it is valid, but not for this.
    """
    front = front_of(connection)
    authorization = connection.headers.get("authorization")
    if authorization is None:
        token, kind = connection.cookies.get(front.cookie, ""), "login"
    else:
        token, kind = authorization[len(BEARER) :].strip(), "program"
        token = token if authorization.lower().startswith(BEARER) else ""
    if not token:
        raise TokenInvalid("This needs a token.", hint="banger web token create NAME")
    view = await front.daemon.call("token.check", {"token": token, "kind": kind})
    if not Scope(view["scope"]).allows(needed):
        raise TokenTooNarrow(
            f"The token allows {view['scope']}; this needs {needed.value}.",
            hint="banger web token list",
        )
