"""The OpenAPI document (3.1) of the HTTP front, made from the method table. Pure."""

from __future__ import annotations

import msgspec

from banger.api.method import Method
from banger.api.table import METHODS
from banger.version import VERSION

Json = dict[str, object]

_REFERENCE = "#/components/schemas/{name}"
_ERROR: Json = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "description": "Stable; docs/errors.md lists all."},
        "message": {"type": "string", "description": "One sentence."},
        "hint": {"type": ["string", "null"], "description": "A command to run."},
        "details": {"type": ["string", "null"]},
        "operation_id": {"type": ["string", "null"]},
        "retryable": {"type": "boolean"},
        "exit_code": {"type": "integer"},
    },
    "required": ["code", "message", "hint"],
}


def render_openapi() -> Json:
    """Return the document: every method with the schemas of its parameters and result."""
    types = [kind for method in METHODS.values() for kind in (method.params, method.result)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    by_method = zip(METHODS.values(), schemas[::2], schemas[1::2], strict=True)
    return {
        "openapi": "3.1.0",
        "info": {"title": "banger", "version": VERSION},
        "paths": {
            f"/api/{method.name}": {"post": _render_method(method, params, result)}
            for method, params, result in by_method
        },
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _render_method(method: Method, params: Json, result: Json) -> Json:
    kind = "text/event-stream" if method.stream else "application/json"
    done = {"schema": {"type": "string"} if method.stream else result}
    return {
        "operationId": method.name,
        "summary": method.doc,
        "description": f"Needs a token of scope {method.scope.value}."
        + " Gets no input." * method.stream,
        "requestBody": {"content": {"application/json": {"schema": params}}},
        "responses": {
            "200": {"description": "The result.", "content": {kind: done}},
            "default": {
                "description": "An error.",
                "content": {
                    "application/json": {"schema": {"$ref": _REFERENCE.format(name="Error")}}
                },
            },
        },
    }
