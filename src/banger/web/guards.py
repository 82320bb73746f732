"""Checks of every request before it is routed, and headers of every answer.

A name of an attacker's can be bound to this host's address, so `Host` has to be one of a fixed
list; that it equals `Origin` says nothing. WebSockets are exempt from what keeps pages of other
origins apart, so `Origin` is checked for them too. Programs send none of a browser's headers, but
a token, which no page of another origin can send: that needs a permission that is never given.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from banger.errors import Denied
from banger.web.answers import render_error

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""Of every answer."""
READING = ("GET", "HEAD")


class Guards:
    """The application behind the checks. `hosts`: values of `Host` that mean this front."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(f"{how}://{host}" for how in ("http", "https") for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""

        async def send_guarded(message: Message) -> None:
            if message["type"].endswith("http.response.start"):
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        app = self._app
        if scope["type"] != "lifespan":
            try:
                self._check(scope)
            except Denied as error:
                app = render_error(error)
        await app(scope, receive, send_guarded)

    def _check(self, scope: Scope) -> None:
        """Check where a request comes from and whom it is meant for.

        Raises:
            Denied: it is meant for another name, or comes from another page.
        """
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            raise Denied("The front is not served under this name.", hint="banger config show")
        is_reading = scope["type"] == "http" and scope["method"] in READING
        origins = headers.getlist("origin")
        if any(origin not in self._origins for origin in origins):
            raise Denied("The request comes from a page of another origin.")
        if not origins and not is_reading and "authorization" not in headers:
            raise Denied("A browser's request needs an Origin, a program's a token.")
        allowed = ("same-origin", "none") if is_reading else ("same-origin",)
        # A file or another program may open the page, which is the same for everybody.
        if is_reading and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate":
            return
        if any(site not in allowed for site in headers.getlist("sec-fetch-site")):
            raise Denied("The request comes from a page of another site.")
