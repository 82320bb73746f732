"""Firecracker's own description of its API, as a check of requests and replies.

The description is Swagger 2.0, whose schemas are JSON Schema, draft 4. Two things of the program
are not in its description, and are added here: it refuses fields that it does not know, and gives
null for what is not set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

SOURCE = Path(__file__).with_name("firecracker.yaml")

Document = Mapping[str, Any]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # what there is
    """YAML 1.2's booleans: a log level `Off` is a word."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))


class Deviation(Exception):
    """A request or a reply is not as the description has it."""


def load_document() -> Document:
    """Return the description as it is in its file."""
    document: Document = yaml.load(SOURCE.read_text("utf-8"), _Loader)
    return document


class OtherResource(Deviation):
    """A request's body names another resource than its path."""


class Description:
    """The checks that a description is."""

    def __init__(self, document: Document) -> None:
        self._paths: Document = document["paths"]
        self._open: Document = document["definitions"]
        self._closed = {name: _close(each) for name, each in self._open.items()}

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
        self._check(schema, body, self._closed, f"{method} {path}")
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
            self._check(response["schema"], _without_nulls(body), self._open, what)

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

    def _check(self, schema: Document, value: object, definitions: Document, what: str) -> None:
        whole = {"allOf": [schema], "definitions": definitions}
        error = jsonschema.exceptions.best_match(
            jsonschema.Draft4Validator(whole).iter_errors(value)
        )
        if error is not None:
            raise Deviation(f"{what}: {error.json_path}: {error.message}")


def _close(schema: Document) -> Document:
    """Return a schema in which an object has no fields but those that are named."""
    closed = dict(schema)
    if "items" in schema:
        closed["items"] = _close(schema["items"])
    if "properties" in schema:
        closed["properties"] = {name: _close(each) for name, each in schema["properties"].items()}
        closed.setdefault("additionalProperties", False)
    return closed


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
