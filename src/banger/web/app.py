"""The routes, and what becomes of exceptions: the request boundary of this process."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from banger.errors import BangerError, InvalidRequest, NotFound
from banger.reports import report_bug
from banger.web.answers import Refusal, render_error
from banger.web.calls import serve_call
from banger.web.front import Front
from banger.web.guards import Guards


def make_app(front: Front, *, hosts: Iterable[str], reports: Path) -> ASGIApp:
    """Return the application of a front that is served under these names."""

    def report(_: Request, error: Exception) -> Response:
        name = f"web-{id(error):x}"
        return render_error(report_bug(error, reports=reports, what="The front", name=name))

    app = Starlette(
        routes=[Route("/api/{method}", serve_call, methods=["POST"])],
        exception_handlers={
            BangerError: _answer_error,
            Refusal: _answer_refusal,
            HTTPException: _answer_http,
            Exception: report,
        },
    )
    app.router.redirect_slashes = False
    app.state.front = front
    return Guards(app, hosts)


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
        InvalidRequest(f"{request.method} is not possible here."), error.status_code
    )
    answer.headers.update(error.headers or {})
    return answer
