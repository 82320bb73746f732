"""What the OpenAPI document says is so: any parameters that it allows are answered as it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.component.web.conftest import make_token
from tests.component.web.fronts import Environ, Front

Schema = dict[str, Any]
Strategy = st.SearchStrategy[Any]

TEXTS = st.one_of(
    st.sampled_from(["first", "second", "none", "", "../..", "\x1b[31m", "<b>", "a" * 5000]),
    st.text(max_size=20),
)

NUMBERS = st.one_of(st.floats(-1e300, 0.01), st.floats(1e6, 1e300))
"""Some are times to wait; none is one that a test should."""


def resolve(schema: Schema, schemas: Schema) -> Schema:
    """Return the schema that another refers to, or itself."""
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def strategy_of(schema: Schema, schemas: Schema) -> Strategy:
    """Return what a schema of the document allows; parts that are not known are a failure."""
    schema = resolve(schema, schemas)
    if "anyOf" in schema:
        return st.one_of(*(strategy_of(each, schemas) for each in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds: dict[str, Callable[[Schema, Schema], Strategy]] = {
        "object": _objects,
        "array": _arrays,
        "string": lambda _, __: TEXTS,
        "integer": lambda _, __: st.integers(-(2**70), 2**70),
        "number": lambda _, __: NUMBERS,
        "boolean": lambda _, __: st.booleans(),
        "null": lambda _, __: st.none(),
    }
    return kinds[schema["type"]](schema, schemas)


def _objects(schema: Schema, schemas: Schema) -> Strategy:
    if "properties" not in schema:
        return st.dictionaries(TEXTS, strategy_of(schema["additionalProperties"], schemas))
    members = {n: strategy_of(each, schemas) for n, each in schema["properties"].items()}
    needed = {name: members.pop(name) for name in schema.get("required", [])}
    return st.fixed_dictionaries(needed, optional=members)


def _arrays(schema: Schema, schemas: Schema) -> Strategy:
    if "prefixItems" in schema:
        return st.tuples(*(strategy_of(each, schemas) for each in schema["prefixItems"])).map(list)
    return st.lists(strategy_of(schema["items"], schemas), max_size=3)


@pytest.fixture(scope="module")
def user(real: Front, real_environ: Environ) -> Front:
    """A front and a token with which nothing is downloaded, built or ended, whatever is asked."""
    return real.with_token(make_token(real_environ, "user", "use"))


@pytest.fixture(scope="module")
def document(real: Front) -> Schema:
    answer = real.request("GET", "/openapi.json")
    assert answer.json["openapi"].startswith("3.1")
    found: Schema = answer.json
    return found


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_parameters_are_answered_with_a_failure(
    user: Front, document: Schema, data: st.DataObject
) -> None:
    """Neither a 5xx, nor what the document does not say; also of methods that are not allowed."""
    schemas = document["components"]["schemas"]
    path = data.draw(st.sampled_from(sorted(document["paths"])))
    method = document["paths"][path]["post"]
    asked = method["requestBody"]["content"]["application/json"]["schema"]
    params = data.draw(strategy_of(asked, schemas))
    accept = next(iter(method["responses"]["200"]["content"]))
    if "follow" in resolve(asked, schemas)["properties"]:
        params["follow"] = False
    if "parameters" in method and data.draw(st.booleans()):
        answer = user.give(path.removeprefix("/api/"), params, b"input", Accept=accept)
    else:
        answer = user.request("POST", path, json.dumps(params).encode(), {"Accept": accept})
    assert answer.status < 500, (path, params, answer.body)
    if answer.status == 200 and accept == "text/event-stream":
        return
    told = method["responses"].get(str(answer.status), method["responses"]["default"])
    schema = told["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json, {**schema, "components": document["components"]})
