"""The routes, and what becomes of exceptions: the request boundary of this process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from banger.api.openapi import render_openapi
from banger.errors import BangerError, InvalidRequest, NotFound
from banger.reports import report_bug
from banger.web.answers import Refusal, format_json, render_error, render_json
from banger.web.calls import serve_call
from banger.web.events import serve_events
from banger.web.front import Front
from banger.web.guards import Guards
from banger.web.logins import begin_session, end_session
from banger.web.metrics import serve_metrics
from banger.web.page import find_files, serve_page
from banger.web.terminal import FAILED, serve_terminal


async def serve_openapi(_: Request) -> Response:
    """Return the document of the API."""
    return render_json(render_openapi())


ROUTES = (
    Route("/api/events", serve_events),
    Route("/api/{method}", serve_call, methods=["POST"]),
    WebSocketRoute("/api/vms/{ref}/terminal", serve_terminal),
    Route("/session", begin_session, methods=["POST"]),
    Route("/session", end_session, methods=["DELETE"]),
    Route("/openapi.json", serve_openapi),
    Route("/metrics", serve_metrics),
    Route("/", serve_page),
    Route("/static/{name:path}", serve_page),
)


def make_app(front: Front, *, hosts: Iterable[str], reports: Path) -> ASGIApp:
    """Return the application of a front that is served under these names."""
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Boundary, reports)],
        exception_handlers={
            BangerError: _answer_error,
            Refusal: _answer_refusal,
            HTTPException: _answer_http,
        },
    )
    app.router.redirect_slashes = False
    app.state.front = front
    app.state.page = find_files()
    return Guards(app, hosts)


class Boundary:
    """The application, of which a bug becomes a report and an answer.

    Starlette's own handler of all exceptions is not asked for WebSockets, and raises them again.
    """

    def __init__(self, app: ASGIApp, reports: Path) -> None:
        self._app = app
        self._reports = reports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; an answer that has begun stays without its end if that fails."""
        is_begun = False

        async def send_noting(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except Exception as error:  # noqa: BLE001 - the request's boundary
            name = f"web-{time.time_ns():x}"
            bug = report_bug(error, reports=self._reports, what="The front", name=name)
            with contextlib.suppress(RuntimeError, OSError):  # the client has gone
                if not is_begun:
                    await render_error(bug)(scope, receive, send)
                elif scope["type"] == "websocket":
                    text = format_json({"error": bug.as_document()})
                    await send({"type": "websocket.send", "text": text})
                    await send({"type": "websocket.close", "code": FAILED})


def _answer_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, BangerError)
    return render_error(error)


def _answer_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return render_error(error.error, error.status)


def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return render_error(NotFound("There is nothing at this address."))
    answer = render_error(
        InvalidRequest(f"{request.method} is not allowed here."), error.status_code
    )
    answer.headers.update(error.headers or {})
    return answer
