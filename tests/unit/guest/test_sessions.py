"""What a guest says of its sessions, checked where it enters (E2)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import GuestProtocolError
from banger.guest.exec import ExitStatus
from banger.guest.fields import Tag, encode_fields, i64, u64
from banger.guest.sessions import Gap, Output, OutputRecords, parse_session

RUNNING = {
    Tag.NAME: b"calm-otter",
    Tag.FLAGS: u64(3),
    Tag.STARTED_NS: i64(5),
    Tag.OFFSET: u64(1),
    Tag.SIZE: u64(2),
    Tag.READERS: u64(0),
    Tag.PID: u64(7),
}
ENDED = {Tag.ENDED_NS: i64(9), Tag.SIGNAL: u64(15)}


def record(channel: int, payload: bytes, *, length: int | None = None, zero: bytes = b"") -> bytes:
    size = len(payload) if length is None else length
    return struct.pack("<qIB3s", 11, size, channel, zero) + payload


def parse(untrusted: bytes) -> list[Output | Gap]:
    """Take the pieces of some bytes, whole."""
    records = OutputRecords()
    records.feed(untrusted)
    pieces = []
    while (piece := records.next()) is not None:
        pieces.append(piece)
    return pieces


payloads = st.tuples(st.integers(1, 2), st.binary(min_size=1, max_size=50))


@given(st.lists(payloads, max_size=8), st.integers(1, 40))
def test_records_come_out_as_they_went_in_however_they_are_cut(
    written: list[tuple[int, bytes]], step: int
) -> None:
    raw = b"".join(record(*each) for each in written)
    records = OutputRecords()
    pieces = []
    for at in range(0, len(raw), step):
        records.feed(raw[at : at + step])
        while (piece := records.next()) is not None:
            pieces.append(piece)
    assert pieces == [Output(channel, 11, data) for channel, data in written]


def test_a_gap_is_a_number() -> None:
    assert parse(record(0, u64(2**40))) == [Gap(2**40)]


@pytest.mark.parametrize(
    "untrusted",
    [
        record(3, b"x"),
        record(255, b"x"),
        record(1, b""),
        record(1, b"", length=32769),
        record(1, b"", length=2**32 - 1),
        record(1, b"x", zero=b"\0\0\1"),
        record(0, b"x"),
        record(0, u64(1) + b"x"),
    ],
)
def test_what_is_no_record_is_refused(untrusted: bytes) -> None:
    with pytest.raises(GuestProtocolError):
        parse(untrusted)


@given(st.binary(max_size=200))
def test_any_bytes_are_records_or_refused(untrusted: bytes) -> None:
    try:
        pieces = parse(untrusted)
    except GuestProtocolError:
        return
    assert sum(16 + (8 if isinstance(p, Gap) else len(p.untrusted_data)) for p in pieces) <= len(
        untrusted
    )


def test_a_session_that_runs_and_one_that_has_ended() -> None:
    running = parse_session(encode_fields(RUNNING.items()))
    assert (running.name, running.pid, running.exit) == ("calm-otter", 7, None)
    assert (running.is_terminal, running.takes_input) == (True, True)
    assert (running.kept_from, running.size) == (1, 2)
    ended = parse_session(encode_fields((RUNNING | ENDED).items()))
    assert (ended.pid, ended.ended_ns, ended.exit) == (None, 9, ExitStatus(0, 15))


@pytest.mark.parametrize(
    "wrong",
    [
        {Tag.NAME: b"Not ours"},
        {Tag.NAME: b"a\x1b[2J"},
        {Tag.NAME: b"x" * 64},
        {Tag.NAME: b""},
        {Tag.OFFSET: u64(3)},
        {Tag.PID: u64(2**31)},
        {Tag.ENDED_NS: i64(1)},
        {Tag.ENDED_NS: i64(1), Tag.STATUS: u64(256)},
        {Tag.STARTED_NS: b"1"},
    ],
)
def test_a_session_that_cannot_be_is_refused(wrong: dict[Tag, bytes]) -> None:
    with pytest.raises(GuestProtocolError):
        parse_session(encode_fields((RUNNING | wrong).items()))


@pytest.mark.parametrize("tag", [tag for tag in RUNNING if tag is not Tag.PID])
def test_each_field_must_be_there(tag: Tag) -> None:
    fields = {other: value for other, value in RUNNING.items() if other is not tag}
    with pytest.raises(GuestProtocolError):
        parse_session(encode_fields(fields.items()))
