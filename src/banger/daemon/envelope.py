"""Checks of a request's members before the request runs. Pure."""

from __future__ import annotations

import msgspec

from banger.api import wire
from banger.api.caller import is_callers
from banger.api.method import Method
from banger.api.requests import Params
from banger.api.table import METHODS
from banger.errors import InvalidRequest, UnknownMethod

TEXTS = frozenset(
    {"branch", "from_ref", "image", "kernel", "key", "labels", "name", "ref", "result", "vm"}
)
"""Members of any request that hold names or labels."""


def check_envelope(document: wire.Document) -> tuple[Method, object]:
    """Return the method and its raw parameters.

    Raises:
        InvalidRequest: the document is not a JSON-RPC request.
        UnknownMethod: no such method.
    """
    if document.get("jsonrpc") != "2.0" or not isinstance(document.get("id"), int | str):
        raise InvalidRequest('A request needs "jsonrpc": "2.0" and an "id".')
    extra = document.keys() - {"jsonrpc", "id", "method", "params", "client", "caller"}
    if extra:
        raise InvalidRequest(f"A request has the unknown member {min(extra)!r}.")
    name = document.get("method")
    if not isinstance(name, str):
        raise InvalidRequest('A request needs a "method".')
    if name not in METHODS:
        raise UnknownMethod(f"There is no method {name!r}.", hint="banger api-spec")
    return METHODS[name], document.get("params", {})


def check_caller(document: wire.Document) -> dict[str, str] | None:
    """Return the caller's environment variables; None if the request has none.

    Raises:
        InvalidRequest: a variable is not among those that a caller may set.
    """
    if "caller" not in document:
        return None
    try:
        caller = msgspec.convert(document["caller"], dict[str, str])
    except msgspec.ValidationError as error:
        raise InvalidRequest('A request\'s "caller" is not an object of strings.') from error
    if strange := [name for name in caller if not is_callers(name)]:
        raise InvalidRequest(f'A request\'s "caller" has the unknown variable {min(strange)!r}.')
    return caller


def _require_text_names(untrusted_params: object) -> None:
    """Check that names and labels are text. Paths, arguments and variables may be any bytes.

    Raises:
        InvalidRequest: a name or label has bytes that are not UTF-8.
    """
    members = untrusted_params if isinstance(untrusted_params, dict) else {}
    for member in TEXTS & members.keys():
        value = members[member]
        texts = [*value.keys(), *value.values()] if isinstance(value, dict) else [value]
        for text in texts:
            if isinstance(text, str) and any("\ud800" <= char <= "\udfff" for char in text):
                raise InvalidRequest(f"{member} {text} is not UTF-8 text.")


def check_params(method: Method, untrusted_params: object) -> Params:
    """Return the typed parameters.

    Raises:
        InvalidRequest: the parameters do not match the struct; the message names the field.
    """
    _require_text_names(untrusted_params)
    try:
        return msgspec.convert(untrusted_params, method.params)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"The parameters of {method.name} are not valid: {error}.", hint="banger api-spec"
        ) from error
