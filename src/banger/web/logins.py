"""`/session`: a page logs in with a one-time token, and out.

The token comes in the fragment of the page's address, which browsers send to no server; the page
sends it here once. The cookie is not for scripts, nor for requests that other sites make; it is
one half of the login's token, and the page gets the other, the key.
"""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from banger.errors import InvalidRequest
from banger.web.answers import render_json
from banger.web.bodies import read_params
from banger.web.front import front_of, read_login


async def begin_session(request: Request) -> Response:
    """Exchange a one-time token for a login."""
    token = (await read_params(request)).get("token")
    if not isinstance(token, str):
        raise InvalidRequest('The body needs a "token".')
    front = front_of(request)
    made = await front.daemon.call("login.begin", {"token": token})
    assert made["expires_at"] is not None
    half = len(made["token"]) // 2
    answer = render_json({"expires_at": made["expires_at"], "key": made["token"][half:]})
    answer.set_cookie(
        front.cookie,
        made["token"][:half],
        max_age=int(made["expires_at"] - time.time()),
        httponly=True,
        samesite="strict",
    )
    return answer


async def end_session(request: Request) -> Response:
    """End the login, if there is one."""
    front = front_of(request)
    if token := read_login(request):
        await front.daemon.call("login.end", {"token": token})
    answer = Response(status_code=204)
    answer.delete_cookie(front.cookie, httponly=True, samesite="strict")
    return answer
