"""JSON-RPC 2.0, one document per line: the format of requests, replies and errors.

Pure, and light: the command line loads this module on every call, so the module does not import
`msgspec`; the daemon checks parameters against `api.requests` after parsing the line here. Both
sides use the standard `json` on purpose: arguments and file names that are not UTF-8 are sent as
lone surrogates (`\\udc80`), which `msgspec.json` refuses.

A request may carry two members beyond JSON-RPC. `client` is the version of the client: the daemon
refuses a request of another version with `version-mismatch` before acting on it, so the handshake
costs no round trip. `caller` has variables of the client's environment that concern the request
(`api.caller`).
"""

from __future__ import annotations

import json

from banger.errors import BangerError, InternalError, InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LINE_BYTES = 8 * 1024 * 1024

PARSE_ERROR = -32700
BAD_REQUEST = -32600
UNKNOWN_METHOD = -32601
INVALID_PARAMS = -32602
FAILED = -32000
"""JSON-RPC's own numbers where one fits, else FAILED; the stable code is `data.code`."""

GOODBYE = "goodbye"
"""Last notification of a stopping daemon: requests without a reply were not begun."""

_NUMBERS = {"unknown-method": UNKNOWN_METHOD, "invalid-request": INVALID_PARAMS}

Document = dict[str, object]


def format_line(document: Document) -> bytes:
    """Return one document as a line.

    Raises:
        InvalidRequest: the line would be longer than the other side accepts.
    """
    line = json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
    return _bounded(line)


def parse_line(untrusted_line: bytes) -> Document:
    """Return the JSON object of one line.

    Raises:
        InvalidRequest: the line is not UTF-8, not JSON, not an object, or nested too deep.
    """
    try:
        document = json.loads(untrusted_line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"A message is not a JSON document: {error}.") from error
    if not isinstance(document, dict):
        raise InvalidRequest("A message is not a JSON object.")
    return document


def format_request(
    number: int,
    method: str,
    *,
    params: Mapping[str, object],
    version: str,
    caller: dict[str, str] | None = None,
) -> bytes:
    """Return the line of a request; `caller`: environment variables to send (`api.caller`)."""
    document: Document = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    document["client"] = version
    if caller is not None:
        document["caller"] = caller
    return format_line(document)


def format_reply(number: object, result: object) -> bytes:
    """Return the line of a result."""
    return format_line({"jsonrpc": "2.0", "id": number, "result": result})


def format_encoded_reply(number: object, result_json: bytes) -> bytes:
    """Return the line of a result that is already encoded: JSON in UTF-8 on one line.

    Raises:
        InvalidRequest: the line would be longer than the other side accepts.
    """
    head = json.dumps({"jsonrpc": "2.0", "id": number}, separators=(",", ":"), allow_nan=False)
    return _bounded(b"".join((head[:-1].encode("ascii"), b',"result":', result_json, b"}\n")))


def format_notification(method: str, params: Document) -> bytes:
    """Return the line of a notification (`progress`, `note`)."""
    return format_line({"jsonrpc": "2.0", "method": method, "params": params})


def format_error(number: object, error: BangerError, *, rpc_code: int | None = None) -> bytes:
    """Return the line of an error; pass `rpc_code` if the envelope itself was invalid."""
    content = error_to_wire(error)
    if rpc_code is not None:
        content["code"] = rpc_code
    return format_line({"jsonrpc": "2.0", "id": number, "error": content})


def error_to_wire(error: BangerError) -> Document:
    """Return the error object."""
    return {
        "code": _NUMBERS.get(error.code, FAILED),
        "message": error.message,
        "data": {name: value for name, value in error.as_document().items() if name != "message"},
    }


def error_from_wire(untrusted_error: object) -> BangerError:
    """Return the error as an instance of its own class.

    An unknown code becomes a BangerError with that code and exit code.
    """
    content = untrusted_error if isinstance(untrusted_error, dict) else {}
    found = content.get("data")
    data = found if isinstance(found, dict) else {}
    code = data.get("code")
    error = _classes().get(code if isinstance(code, str) else "", BangerError)(
        _text(content.get("message")) or "The daemon sent an error without a message.",
        hint=_text(data.get("hint")),
        details=_text(data.get("details")),
        retryable=data.get("retryable") is True,
        operation_id=_text(data.get("operation_id")),
    )
    if type(error) is BangerError:
        error.code = _text(code) or error.code
        status = data.get("exit_code")
        error.exit_code = status if isinstance(status, int) and 0 < status < 256 else 1
    return error


def require_result(untrusted_reply: Document, number: int) -> object:
    """Return the result of a reply to request `number`.

    Raises:
        BangerError: the error that the reply carries.
        InternalError: the document is not a reply to this request.
    """
    if "error" in untrusted_reply:
        raise error_from_wire(untrusted_reply["error"])
    if untrusted_reply.get("id") != number or "result" not in untrusted_reply:
        raise InternalError("The daemon sent something that is not the reply to this request.")
    return untrusted_reply["result"]


def _bounded(line: bytes) -> bytes:
    if len(line) > MAX_LINE_BYTES:
        raise InvalidRequest(f"A message of {len(line)} bytes is too long: the limit is 8 MiB.")
    return line


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _classes() -> dict[str, type[BangerError]]:
    """Return every error class by its code."""
    found: dict[str, type[BangerError]] = {}
    waiting = [BangerError]
    while waiting:
        cls = waiting.pop()
        # A subclass that only refines its parent shares the code, which maps to the parent.
        found.setdefault(cls.code, cls)
        waiting = cls.__subclasses__() + waiting
    return found
