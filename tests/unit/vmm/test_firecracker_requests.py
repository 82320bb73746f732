"""Requests to Firecracker and its replies, against Firecracker's own description of its API."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from banger.vmm.firecracker import replies, requests, shapes
from banger.vmm.firecracker.requests import Request
from banger.vmm.firecracker.versions import features_of
from tests.support.firecracker import unsent
from tests.support.firecracker.description import Description, Deviation, OtherResource, close
from tests.support.firecracker.document import load_document
from tests.support.firecracker.samples import FULL, LEAST, WORDS
from tests.support.golden import check_golden

GOLDEN = Path(__file__).parent / "golden"
DOCUMENT = load_document()
DESCRIPTION = Description(DOCUMENT)
ALL = FULL + LEAST + WORDS
WITH_BODY = tuple(request for request in ALL if request.body is not None)


def body_of(request: Request[Any]) -> Any:
    """Return the body as it is sent, or None."""
    return None if request.body is None else msgspec.json.decode(msgspec.json.encode(request.body))


def check(description: Description, request: Request[Any], body: object) -> None:
    description.check_request(request.method, request.path, body)


@pytest.mark.parametrize("request_", ALL, ids=str)
def test_each_request_is_as_firecracker_describes_it(request_: Request[Any]) -> None:
    check(DESCRIPTION, request_, body_of(request_))


def test_bodies_are_these() -> None:
    bodies = [msgspec.json.encode(request.body).decode() for request in ALL]
    lines = [f"{request} {body}\n" for request, body in zip(ALL, bodies, strict=True)]
    check_golden(GOLDEN / "firecracker-requests.txt", "".join(lines))


def test_no_request_is_left_out_of_the_samples() -> None:
    """What no sample makes, nothing here would check."""
    makers = [
        name
        for module in (requests, unsent)
        for name, each in inspect.getmembers(module, inspect.isfunction)
        if each.__module__ == module.__name__ and not name.startswith("_")
    ]
    assert len({str(request) for request in FULL}) == len(makers)


def test_full_samples_have_every_field_and_all_samples_every_word() -> None:
    classes = [
        each
        for module in (shapes, unsent)
        for name, each in inspect.getmembers(module, inspect.isclass)
        if each.__module__ == module.__name__ and not name.startswith("_")
    ]
    fields = {
        (each.__name__, field)
        for each in classes
        if issubclass(each, shapes.Shape)
        for field in each.__struct_fields__
    }
    words = {word for each in classes if issubclass(each, shapes.StrEnum) for word in each}
    values = [value for request in ALL for value in walk(request.body)]
    said = {
        (type(shape).__name__, field)
        for request in FULL
        for shape in walk(request.body)
        if isinstance(shape, shapes.Shape) and type(shape) in classes
        for field in shape.__struct_fields__
        if getattr(shape, field) is not None
    }
    assert fields - {("SnapshotLoad", "enable_diff_snapshots")} == said
    assert words <= {value for value in values if isinstance(value, str)}


def walk(value: Any) -> Iterator[Any]:
    """Everything that a value holds, itself first."""
    yield value
    if isinstance(value, msgspec.Struct):
        value = [getattr(value, field) for field in value.__struct_fields__]
    for each in value if isinstance(value, list) else []:
        yield from walk(each)


def test_the_oldest_version_knows_one_field_by_another_name() -> None:
    """1.12 refuses `track_dirty_pages` of a restored VM as a field that it does not know."""
    old, new = (
        body_of(
            requests.load_snapshot(
                shapes.SnapshotLoad(
                    snapshot_path="/s",
                    mem_backend=shapes.MemoryBackend(
                        backend_path="/m", backend_type=shapes.BackendType.FILE
                    ),
                    track_dirty_pages=True,
                ),
                features_of(version),
            )
        )
        for version in [(1, 12, 1), (1, 13, 0)]
    )
    assert old.pop("enable_diff_snapshots") is new.pop("track_dirty_pages") is True
    assert old == new


# --- the check itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("request_", WITH_BODY, ids=str)
def test_a_body_that_lacks_or_has_too_much_is_noticed(request_: Request[Any]) -> None:
    body = body_of(request_)
    schema = DESCRIPTION.find_schema(request_.method, request_.path)
    for name in DOCUMENT["definitions"][schema].get("required", []):
        with pytest.raises(Deviation):
            check(DESCRIPTION, request_, {key: body[key] for key in body if key != name})
    with pytest.raises(Deviation, match="dditional"):
        check(DESCRIPTION, request_, body | {"unknown": 1})
    for name in body:
        with pytest.raises(Deviation):
            check(DESCRIPTION, request_, body | {name: {"unknown": [body[name]]}})
    with pytest.raises(Deviation):
        check(DESCRIPTION, request_, None)


ODD = (None, True, 0, -1, 40, 1.5, "", "x", [], ["x"], {}, {"x": 1}, {"x": "y"})


@pytest.mark.parametrize(
    "request_", [each for each in FULL if each.body is not None], ids=lambda each: each.path
)
def test_the_check_is_that_of_jsonschema(request_: Request[Any]) -> None:
    definitions = {name: close(each) for name, each in DOCUMENT["definitions"].items()}
    name = DESCRIPTION.find_schema(request_.method, request_.path)
    schema = {"$ref": f"#/definitions/{name}", "definitions": definitions}
    oracle = jsonschema.Draft4Validator(schema)
    body = body_of(request_)
    fields = DOCUMENT["definitions"][name].get("properties", ())
    with_each = (body | {field: odd} for field in fields for odd in ODD)
    for each in [body, *vary(body), *with_each]:
        if each is not None:
            assert is_refused(request_, each) != oracle.is_valid(each), each


def vary(value: Any) -> Iterator[Any]:
    """Yield the value with something odd in each place, without each field, and with another."""
    yield from ODD
    if isinstance(value, list):
        yield from ([each] for element in value for each in vary(element))
    if isinstance(value, dict):
        yield value | {"unknown": 1}
        for name in value:
            yield {key: value[key] for key in value if key != name}
            yield from (value | {name: each} for each in vary(value[name]))


def is_refused(request: Request[Any], body: object) -> bool:
    try:
        check(DESCRIPTION, request, body)
    except OtherResource:
        return False
    except Deviation:
        return True
    return False


def test_a_path_that_names_another_resource_than_the_body_is_noticed() -> None:
    drive = {"drive_id": "root", "is_root_device": False}
    DESCRIPTION.check_request("PUT", "/drives/root", drive)
    with pytest.raises(Deviation, match="drive_id"):
        DESCRIPTION.check_request("PUT", "/drives/data", drive)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/nothing", None),
        ("PUT", "/version", None),
        ("GET", "/version", {}),
        ("PUT", "/drives/a-b", {"drive_id": "a-b", "is_root_device": False}),
        ("PUT", "/machine-config", {"vcpu_count": 33, "mem_size_mib": 128}),
        ("PUT", "/machine-config", {"vcpu_count": 0, "mem_size_mib": 128}),
        ("PUT", "/logger", {"level": "off"}),
        ("PUT", "/logger", {"level": False}),
    ],
)
def test_what_is_not_described_is_noticed(method: str, path: str, body: object) -> None:
    with pytest.raises(Deviation):
        DESCRIPTION.check_request(method, path, body)


def schema_fields(request: Request[Any]) -> Iterator[tuple[str, str]]:
    """The definitions and their fields that a sample's body uses."""
    name = DESCRIPTION.find_schema(request.method, request.path)
    assert name is not None
    yield from _fields(name, body_of(request))


def _fields(name: str, body: Any) -> Iterator[tuple[str, str]]:
    for field, value in body.items():
        yield name, field
        schema = DOCUMENT["definitions"][name]["properties"][field]
        schema = schema.get("items", schema)
        if "$ref" in schema:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    yield from _fields(schema["$ref"].rpartition("/")[2], each)


SENT = {used for request in WITH_BODY for used in schema_fields(request)}


@pytest.mark.parametrize(("name", "field"), sorted(SENT))
def test_a_field_that_is_renamed_in_the_description_is_noticed(name: str, field: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    properties = document["definitions"][name]["properties"]
    properties["renamed"] = properties.pop(field)
    with pytest.raises(Deviation):
        check_all(Description(document))


@pytest.mark.parametrize("name", sorted({name for name, _ in SENT}))
def test_a_field_that_the_description_comes_to_require_is_noticed(name: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    document["definitions"][name].setdefault("required", []).append("another")
    with pytest.raises(Deviation, match="another"):
        check_all(Description(document))


def check_all(description: Description) -> None:
    for request in WITH_BODY:
        check(description, request, body_of(request))


def test_a_word_that_is_taken_out_of_the_description_is_noticed() -> None:
    for name, field, word in [
        ("Drive", "cache_type", "Writeback"),
        ("Drive", "io_engine", "Async"),
        ("InstanceActionInfo", "action_type", "InstanceStart"),
        ("Vm", "state", "Paused"),
        ("SnapshotCreateParams", "snapshot_type", "Diff"),
        ("MemoryBackend", "backend_type", "File"),
        ("Logger", "level", "Off"),
    ]:
        document = copy.deepcopy(DOCUMENT)
        document["definitions"][name]["properties"][field]["enum"].remove(word)
        with pytest.raises(Deviation, match=word):
            check_all(Description(document))


# --- replies ------------------------------------------------------------------------------------


def reply_schema(request: Request[Any]) -> Any:
    """Return the schema of the answer to a request that went well, or None."""
    return DESCRIPTION.find_reply_schema(request.method, request.path)


@pytest.mark.parametrize("request_", FULL, ids=str)
def test_a_reply_is_decoded_as_it_is_described(request_: Request[Any]) -> None:
    """Each field that we take is in the description, and is required there if we need it."""
    schema = reply_schema(request_)
    if request_.reply is NoneType:
        assert schema is None
        return
    compare(request_.reply, schema)


def compare(shape: Any, schema: str) -> None:
    definition = DOCUMENT["definitions"][schema]
    for field in msgspec.structs.fields(shape):
        described = definition["properties"][field.encode_name]
        if field.required and schema not in ALWAYS_THERE:
            assert field.encode_name in definition["required"], f"{schema}.{field.encode_name}"
        inner = [each for each in spread(field.type) if inspect.isclass(each)]
        ref = described.get("items", described).get("$ref")
        for each in inner:
            if issubclass(each, msgspec.Struct):
                compare(each, ref.rpartition("/")[2])


ALWAYS_THERE = {"FullVmConfiguration"}
"""Definitions that name nothing as required, though the program always gives it."""


def spread(kind: Any) -> Iterator[Any]:
    yield kind
    for each in get_args(kind):
        yield from spread(each)


def test_states_are_those_of_the_description() -> None:
    state = DOCUMENT["definitions"]["InstanceInfo"]["properties"]["state"]
    assert set(replies.InstanceState) == set(state["enum"])


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/version", 200, {"firecracker_version": "1.12.1"}),
        ("GET", "/vm/config", 200, {"balloon": None, "drives": []}),
        ("PUT", "/actions", 204, None),
        ("PUT", "/actions", 400, {"fault_message": "no"}),
        ("PUT", "/actions", 500, {"fault_message": "no"}),
    ],
)
def test_replies_as_they_are_described_pass(
    method: str, path: str, status: int, body: object
) -> None:
    DESCRIPTION.check_reply(method, path, status, body)


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/version", 200, {}),
        ("GET", "/version", 200, {"firecracker_version": None}),
        ("GET", "/version", 200, None),
        ("GET", "/", 200, {"app_name": "a", "id": "b", "state": "Off", "vmm_version": "1"}),
        ("PUT", "/actions", 204, {}),
        ("PUT", "/actions", 400, {"fault_message": 1}),
        ("PUT", "/actions", 400, None),
    ],
)
def test_replies_that_are_not_as_described_are_noticed(
    method: str, path: str, status: int, body: object
) -> None:
    with pytest.raises(Deviation):
        DESCRIPTION.check_reply(method, path, status, body)
