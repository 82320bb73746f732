"""The wire: lines, errors, frames."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger import errors
from banger.api import wire
from banger.api.stream import (
    CONTROL,
    MAX_PAYLOAD_BYTES,
    FrameReader,
    format_control,
    format_frame,
    parse_control,
    parse_header,
)
from banger.errors import BangerError, InternalError, InvalidRequest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ANY_TEXT = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, exclude_categories=()))


@given(st.dictionaries(st.text(), JSON))
def test_a_document_survives_and_is_one_line(document: dict[str, object]) -> None:
    line = wire.format_line(document)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert wire.parse_line(line) == document


@given(st.dictionaries(st.text(), st.none() | st.integers(-(2**63), 2**63) | st.text()))
def test_a_result_that_was_encoded_before_is_the_same(result: object) -> None:
    line = wire.format_encoded_reply(7, msgspec.json.encode(result))
    assert line.count(b"\n") == 1
    assert wire.parse_line(line) == wire.parse_line(wire.format_reply(7, result))


@given(st.binary())
def test_bytes_that_are_no_text_survive(data: bytes) -> None:
    """H1, H7: arguments and file names travel as surrogate escapes."""
    text = data.decode("utf-8", "surrogateescape")
    parsed = wire.parse_line(wire.format_line({"a": text}))["a"]
    assert isinstance(parsed, str)
    assert parsed.encode("utf-8", "surrogateescape") == data


@given(st.binary())
def test_any_line_is_a_document_or_refused(line: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        assert isinstance(wire.parse_line(line), dict)


def test_a_line_that_is_too_long_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidRequest, match="8 MiB"):
        wire.format_line({"a": "x" * wire.MAX_LINE_BYTES})
    with pytest.raises(InvalidRequest, match="8 MiB"):
        wire.format_encoded_reply(1, b'"' + b"x" * wire.MAX_LINE_BYTES + b'"')


def _classes(kind: type[BangerError]) -> list[type[BangerError]]:
    return [c for child in kind.__subclasses__() for c in (child, *_classes(child))]


@pytest.mark.parametrize(
    "kind", [kind for kind in _classes(BangerError) if kind.__module__ == errors.__name__]
)
def test_an_error_comes_back_as_itself(kind: type[BangerError]) -> None:
    """H6: class, sentence, hint, details, operation."""
    before = kind("A fact.", hint="a command", details="more", retryable=True, operation_id="op-1")
    after = wire.error_from_wire(json.loads(json.dumps(wire.error_to_wire(before))))
    assert type(after) is kind
    assert vars(after) == vars(before)
    assert (after.code, after.exit_code) == (before.code, before.exit_code)


def test_an_error_of_a_newer_daemon_keeps_its_code() -> None:
    sent = {"message": "A fact.", "data": {"code": "from-the-future", "exit_code": 9}}
    error = wire.error_from_wire(sent)
    assert (error.code, error.exit_code, error.message) == ("from-the-future", 9, "A fact.")


@given(JSON)
def test_whatever_an_error_looks_like_it_becomes_one(untrusted: object) -> None:
    assert isinstance(wire.error_from_wire(untrusted), BangerError)


def test_a_reply_to_something_else_is_refused() -> None:
    assert wire.require_result({"id": 1, "result": 5}, 1) == 5
    replies: list[wire.Document] = [{"id": 2, "result": 5}, {"id": 1}]
    for reply in replies:
        with pytest.raises(InternalError):
            wire.require_result(reply, 1)


# --- frames ----------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=300)), max_size=8),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_frames_survive_any_cutting(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    """H7: however the kernel cuts the stream."""
    data = b"".join(format_frame(*frame) for frame in frames)
    reader, found, position, turn = FrameReader(), [], 0, 0
    while position < len(data):
        size = cuts[turn % len(cuts)]
        found += reader.feed(data[position : position + size])
        position, turn = position + size, turn + 1
    assert found == frames


@given(st.binary(min_size=5, max_size=5))
def test_a_header_is_valid_or_refused(header: bytes) -> None:
    try:
        channel, length = parse_header(header)
    except InvalidRequest:
        return
    assert channel <= CONTROL
    assert length <= MAX_PAYLOAD_BYTES


def test_a_frame_that_is_too_long_is_not_made() -> None:
    with pytest.raises(ValueError, match="too long"):
        format_frame(1, b"x" * (MAX_PAYLOAD_BYTES + 1))


def test_control_frames() -> None:
    [(channel, payload)] = FrameReader().feed(format_control({"signal": 2}))
    assert (channel, parse_control(payload)) == (CONTROL, {"signal": 2})
    for untrusted in (b"", b"[]", b"\xff", b"[" * 100_000):
        with pytest.raises(InvalidRequest):
            parse_control(untrusted)
