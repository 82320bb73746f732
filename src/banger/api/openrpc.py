"""The OpenRPC document (https://spec.open-rpc.org, 1.3.2), made from the method table. Pure."""

from __future__ import annotations

import msgspec

from banger.api.method import Method
from banger.api.table import METHODS
from banger.version import VERSION

Json = dict[str, object]

_REFERENCE = "#/components/schemas/{name}"


def render_openrpc() -> Json:
    """Return the document: every method with the schemas of its parameters and result."""
    types = [kind for method in METHODS.values() for kind in (method.params, method.result)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    by_method = zip(METHODS.values(), schemas[::2], schemas[1::2], strict=True)
    return {
        "openrpc": "1.3.2",
        "info": {"title": "banger", "version": VERSION},
        "methods": [
            _render_method(method, components[method.params.__name__], result)
            for method, _, result in by_method
        ],
        "components": {"schemas": components},
    }


def _render_method(method: Method, params: Json, result: Json) -> Json:
    properties = params["properties"]
    required = params.get("required", [])
    assert isinstance(properties, dict) and isinstance(required, list)
    return {
        "name": method.name,
        "summary": method.doc,
        "paramStructure": "by-name",
        "params": [
            {"name": name, "required": name in required, "schema": schema}
            for name, schema in properties.items()
        ],
        "result": {"name": "result", "schema": result},
        "x-stream": method.stream,
        "x-takes-input": method.takes_input,
        "x-detached": method.detached,
    }
