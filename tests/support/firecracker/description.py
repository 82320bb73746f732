"""Firecracker's own description of its API, as a check of requests and replies.

The description is Swagger 2.0, whose schemas are JSON Schema, draft 4. The keywords that it uses
are checked here, since importing `jsonschema` costs more than all else of the stand-in's start;
a test compares the two. Two things of the program are not in its description, and are added here:
it refuses fields that it does not know, and gives null for what is not set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]

KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
FIELDS = {"properties", "required", "additionalProperties"}
KEYWORDS = FIELDS | {"type", "enum", "minimum", "maximum", "items"}
NOTES = {"default", "description", "example", "format", "readOnly"}
"""Keywords that restrict nothing."""


class Deviation(Exception):
    """A request or a reply is not as the description has it."""


class OtherResource(Deviation):
    """A request's body names another resource than its path."""


class Description:
    """The checks that a description is."""

    def __init__(self, document: Document) -> None:
        self._paths: Document = document["paths"]
        self._open: Document = document["definitions"]
        self._closed = {name: close(each) for name, each in self._open.items()}

    def check_request(self, method: str, path: str, body: object) -> None:
        """Check a request; `body` is None if it has none.

        Raises:
            Deviation: it is not in the description, or not as it has it.
        """
        operation, names = self._find_operation(method, path)
        parameters = operation.get("parameters", [])
        schema = next((each["schema"] for each in parameters if each["in"] == "body"), None)
        if (schema is None) != (body is None):
            raise Deviation(f"{method} {path}: the body is {body!r}")
        if schema is None:
            return
        _check(schema, body, self._closed, f"{method} {path}")
        for name, value in names.items():
            if not isinstance(body, dict) or body.get(name) != value:
                raise OtherResource(f"{method} {path}: the body's {name} is another")

    def check_reply(self, method: str, path: str, status: int, body: object) -> None:
        """Check an answer; `body` is None if it has none.

        Raises:
            Deviation: it is not in the description, or not as it has it.
        """
        responses = self._find_operation(method, path)[0]["responses"]
        response = responses.get(status) or responses["default"]
        if ("schema" in response) != (body is not None):
            raise Deviation(f"{method} {path}: the body of {status} is {body!r}")
        if "schema" in response:
            what = f"the {status} of {method} {path}"
            _check(response["schema"], _without_nulls(body), self._open, what)

    def find_schema(self, method: str, path: str) -> str | None:
        """Return the name of the definition of a request's body."""
        parameters = self._find_operation(method, path)[0].get("parameters", [])
        bodies = [each["schema"]["$ref"] for each in parameters if each["in"] == "body"]
        return str(bodies[0]).rpartition("/")[2] if bodies else None

    def find_reply_schema(self, method: str, path: str) -> str | None:
        """Return the name of the definition of a good answer's body."""
        responses = self._find_operation(method, path)[0]["responses"]
        schema = responses[200]["schema"] if 200 in responses else None
        return None if schema is None else str(schema["$ref"]).rpartition("/")[2]

    def _find_operation(self, method: str, path: str) -> tuple[Document, dict[str, str]]:
        for template, item in self._paths.items():
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[A-Za-z0-9_]+)", template)
            match = re.fullmatch(pattern, path)
            if match is not None and method.lower() in item:
                return item[method.lower()], match.groupdict()
        raise Deviation(f"there is no {method} {path}")


def _check(schema: Document, value: object, definitions: Document, at: str) -> None:
    """Raise a Deviation if a value is not as its schema has it; `at` says what it is."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    assert schema.keys() <= KEYWORDS | NOTES, schema
    kind = schema.get("type", "object" if "properties" in schema else None)
    if kind and (not isinstance(value, KINDS[kind]) or (kind, type(value)) == ("integer", bool)):
        raise Deviation(f"{at}: {value!r} is no {kind}")
    if "enum" in schema and value not in schema["enum"]:
        raise Deviation(f"{at}: {value!r} is not one of {schema['enum']}")
    match value:
        case int() if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            raise Deviation(f"{at}: {value} is too small or too large")
        case list():
            for each in value:
                _check(schema["items"], each, definitions, f"{at}[]")
        case dict():
            _check_fields(schema, value, definitions, at)


def _check_fields(schema: Document, value: Document, definitions: Document, at: str) -> None:
    for name in schema.get("required", ()):
        if name not in value:
            raise Deviation(f"{at}: {name!r} is required")
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, each in value.items():
        if not others and name not in known:
            raise Deviation(f"{at}: additional {name!r}")
        if name in known or others is not True:
            _check(known.get(name, others), each, definitions, f"{at}.{name}")


def close(schema: Document) -> Document:
    """Return a schema in which an object has no fields but those that are named."""
    closed = dict(schema)
    if "items" in schema:
        closed["items"] = close(schema["items"])
    if "properties" in schema:
        closed["properties"] = {name: close(each) for name, each in schema["properties"].items()}
        closed.setdefault("additionalProperties", False)
    return closed


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
