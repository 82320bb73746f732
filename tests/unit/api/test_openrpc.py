"""The documents that are made from the method table."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import msgspec
import pytest

from banger.api.method import Method
from banger.api.openapi import render_openapi
from banger.api.openrpc import render_openrpc
from banger.api.reference import render_reference
from banger.api.table import METHODS
from banger.version import VERSION

CHECKOUT = Path(__file__).resolve().parents[3]


def test_the_version_is_the_packages() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == VERSION


def test_the_document_has_every_method_and_every_schema() -> None:
    document = json.loads(json.dumps(render_openrpc()))
    assert {method["name"] for method in document["methods"]} == set(METHODS)
    schemas = document["components"]["schemas"]
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference


def test_the_document_of_the_http_front_has_every_method_and_every_schema() -> None:
    document = json.loads(json.dumps(render_openapi()))
    assert set(document["paths"]) == {f"/api/{name}" for name in METHODS}
    schemas = document["components"]["schemas"]
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [r for item in value.values() for r in _references(item)]
    if isinstance(value, list):
        return [r for item in value for r in _references(item)]
    return []


def test_the_reference_has_every_field() -> None:
    """H10."""
    page = render_reference()
    for method in METHODS.values():
        assert f"### {method.name}" in page
        for field in msgspec.structs.fields(method.params):
            assert f"- `{field.name}` (" in page


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_requests_refuse_what_they_do_not_know(method: Method) -> None:
    """Architecture, section 4: unknown fields are refused in requests."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"no-such-field": 1}, method.params)
