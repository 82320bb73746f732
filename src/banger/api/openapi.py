"""The OpenAPI document (3.1) of the HTTP front, made from the method table. Pure."""

from __future__ import annotations

import msgspec

from banger.api.method import Method
from banger.api.table import METHODS
from banger.version import VERSION

Json = dict[str, object]

PARAMS_HEADER = "Banger-Params"
"""Of a request whose body is input: its parameters as JSON."""
INPUT = "application/octet-stream"
"""Content type of such a body."""
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
    asked: Json = {"application/json": {"schema": params}}
    done: Json = {"application/json": {"schema": result}}
    if method.stream:
        done = {"text/event-stream": {"schema": {"type": "string"}}, INPUT: {}}
    more: Json = {}
    if method.takes_input:
        asked[INPUT] = {}
        more = {"parameters": [_render_header(params)]}
    return {
        "operationId": method.name,
        "summary": method.doc,
        "description": f"Needs a token of scope {method.scope.value}.",
        **more,
        "requestBody": {"content": asked},
        "responses": {
            "200": {"description": "The result.", "content": done},
            "default": {
                "description": "An error.",
                "content": {
                    "application/json": {"schema": {"$ref": _REFERENCE.format(name="Error")}}
                },
            },
        },
    }


def _render_header(params: Json) -> Json:
    return {
        "name": PARAMS_HEADER,
        "in": "header",
        "description": f"The parameters, if the body is input ({INPUT}); `stdin` is true there.",
        "content": {"application/json": {"schema": params}},
    }
