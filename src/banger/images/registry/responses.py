"""From an HTTP status to a value or an error. Pure but for reading the answer's body."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from banger.errors import (
    BangerError,
    RegistryDenied,
    RegistryMisbehaved,
    RegistryUnreachable,
)
from banger.images.registry.retries import parse_retry_after

if TYPE_CHECKING:
    from banger.host.http.exchange import Answer

ERROR_BYTES_MAX = 64 * 1024
TEMPORARY = (408, 429)


class Unauthorized(Exception):
    """The registry wants credentials, and says which: `headers` are its WWW-Authenticate."""

    def __init__(self, headers: list[str]) -> None:
        super().__init__()
        self.headers = headers


class Missing(Exception):
    """The registry has nothing of this name."""


class _Error(Struct):
    code: str = ""
    message: str = ""


class _Errors(Struct):
    errors: list[_Error] = []


def require_success(answer: Answer, *expected: int) -> None:
    """Check that an answer is one of those expected.

    Raises:
        Unauthorized, Missing: 401, 404.
        RegistryDenied: 403.
        RegistryUnreachable: the registry is busy or out of order.
        RegistryMisbehaved: anything else.
    """
    if answer.status in expected:
        return
    if answer.status == 401:
        raise Unauthorized(answer.headers("WWW-Authenticate"))
    if answer.status == 404:
        raise Missing
    raise _error_of(answer)


def _error_of(answer: Answer) -> BangerError:
    said = _what_it_says(answer)
    fact = f"{answer.host} answers with status {answer.status}{said}"
    if answer.status == 403:
        return RegistryDenied(f"{fact}.", hint=f"docker login {answer.host}")
    if answer.status in TEMPORARY or answer.status >= 500:
        error = RegistryUnreachable(f"{fact}.", retryable=True)
        error.retry_after_s = parse_retry_after(answer.header("Retry-After"), now=time.time())
        return error
    return RegistryMisbehaved(f"{fact}.")


def _what_it_says(answer: Answer) -> str:
    """Return the registry's own words in brackets, made safe to print; empty if it has none."""
    try:
        document = msgspec.json.decode(answer.read_whole(ERROR_BYTES_MAX), type=_Errors)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BangerError):
        return ""
    if not document.errors:
        return ""
    first = document.errors[0]
    text = f"{first.code}: {first.message}" if first.message else first.code
    return f" ({''.join(c if c.isprintable() else '?' for c in text[:200])})"
