"""Answers of the front: JSON documents, and errors with the status of their family. Pure."""

from __future__ import annotations

import json

from starlette.responses import Response

from banger.errors import BangerError

STATUSES = {1: 422, 2: 400, 3: 500, 4: 404, 5: 409, 6: 503, 7: 503, 8: 504, 9: 403, 130: 409}
"""HTTP's statuses of the families of errors, by their exit codes."""
OWN_STATUSES = {
    "unknown-method": 404,
    "token-invalid": 401,
    "exec-not-found": 404,
}
"""Of errors that have another than their family."""


class Refusal(Exception):
    """The front's own answer to a request that HTTP has a status for."""

    def __init__(self, status: int, error: BangerError) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error


def status_of(error: BangerError) -> int:
    """Return the status of an error."""
    return OWN_STATUSES.get(error.code) or STATUSES.get(error.exit_code, 422)


def format_json(document: object) -> str:
    """Return JSON in ASCII on one line; names that are not UTF-8 are lone surrogates in it."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def render_json(document: object) -> Response:
    """Return the answer of a result."""
    return Response(format_json(document), media_type="application/json")


def render_error(error: BangerError, status: int | None = None) -> Response:
    """Return the answer of an error."""
    return Response(
        format_json(error.as_document()), status or status_of(error), media_type="application/json"
    )
