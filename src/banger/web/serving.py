"""The process: the socket, the server, and the bounds on what a connection may take.

A connection whose request does not come in `HEAD_S` is closed, and so is an idle one; more than
`CONNECTIONS` are refused. Requests are not logged: their addresses may hold names.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import signal
from collections.abc import Callable

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from banger.config import load_settings
from banger.layout import layout_from_environment
from banger.sdk.aio.daemon import AsyncDaemon
from banger.web.app import make_app
from banger.web.front import Front
from banger.web.listening import Place, listening, name_hosts, parse_place

HEAD_S = 10.0
"""For a request up to its body."""
HEAD_BYTES = 64 * 1024
END_S = 1
"""For requests in progress at the end; then they are cancelled."""
CONNECTIONS = 1000
OPEN_FILES = 4096
MESSAGE_BYTES = 1024 * 1024
"""Of a WebSocket."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 with a limit to the time in which a request has to come."""

    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take data; wait for the rest of a request's head."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait_for_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._closing is None:
            self._closing = self.loop.call_later(HEAD_S, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None


def serve(listen: str | None, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Serve until a signal ends the process; `say` gets the address.

    Raises:
        KeyboardInterrupt: there was a signal.
        BangerError: the settings are not valid, or the place is not to be had.
    """
    layout = layout_from_environment(os.environ)
    settings = load_settings(layout.config_file, os.environ)
    with listening(parse_place(listen or settings.web.listen)) as (listener, place):
        if not place.is_local:
            warn("Other machines can connect, and their connections are not encrypted.")
        front = Front(AsyncDaemon(replaces=False), _name_cookie(os.fspath(layout.state), place))
        hosts = name_hosts(place, settings.web.allowed_hosts)
        app = make_app(front, hosts=hosts, reports=layout.reports)
        _raise_open_files()
        server = uvicorn.Server(_configure(app))
        # The server raises what ended it again: as an exception it has the socket's file removed.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        say(str(place))
        server.run(sockets=[listener])


def _configure(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI application
        loop="asyncio",
        http=PatientProtocol,
        ws="websockets-sansio",
        ws_max_size=MESSAGE_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_graceful_shutdown=END_S,
    )


def _name_cookie(state: str, place: Place) -> str:
    """Return the cookie's name: browsers send cookies to every port of a host."""
    return "banger-" + hashlib.sha256(f"{state} {place}".encode()).hexdigest()[:16]


def _raise_open_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, most), most))
