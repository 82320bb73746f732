"""Fields: what is encoded comes back, everything else is one typed error (E2)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import GuestProtocolError, InvalidRequest
from banger.guest import fields as f
from banger.guest.codec import FrameType, Kind
from banger.guest.fields import Tag, encode_fields, parse_fields

PAGE = Path(__file__).parents[3] / "docs" / "guest-protocol.md"
pairs = st.lists(st.tuples(st.sampled_from(Tag), st.binary(max_size=50)), max_size=20)


@given(pairs)
def test_fields_come_back_in_order(values: list[tuple[Tag, bytes]]) -> None:
    parsed = parse_fields(encode_fields(values))
    for tag in Tag:
        assert parsed.all(tag) == tuple(value for each, value in values if each is tag)


@given(st.binary(max_size=300), st.sampled_from(Tag))
def test_any_bytes_are_parsed_or_refused(untrusted: bytes, tag: Tag) -> None:
    """E2: lying lengths, wrong sizes, bad text: GuestProtocolError and nothing else."""
    wrapped = encode_fields([(tag, untrusted)])
    for data in (untrusted, wrapped, wrapped + untrusted):
        for read in (f.Fields.text, f.Fields.u64, f.Fields.i64, f.Fields.bytes, f.Fields.find):
            try:
                read(parse_fields(data), tag)
            except GuestProtocolError:
                continue


@given(pairs.filter(bool), st.data())
def test_a_cut_is_noticed(values: list[tuple[Tag, bytes]], data: st.DataObject) -> None:
    encoded = encode_fields(values)
    ends = {len(encode_fields(values[:count])) for count in range(len(values) + 1)}
    cut = data.draw(st.integers(0, len(encoded)))
    if cut in ends:
        parse_fields(encoded[:cut])
    else:
        with pytest.raises(GuestProtocolError):
            parse_fields(encoded[:cut])


def test_a_field_that_must_not_repeat_does_not() -> None:
    parsed = parse_fields(encode_fields([(Tag.PID, f.u64(1))] * 2))
    with pytest.raises(GuestProtocolError, match="more than once"):
        parsed.u64(Tag.PID)


@pytest.mark.parametrize(
    "value", [b"\xff", b"a\x1b[2Jb", b"nul\0", b"x" * 256, "a\u202eb".encode(), b"two\nlines"]
)
def test_text_from_the_guest_is_short_and_plain(value: bytes) -> None:
    """E3: nothing from the guest that we print can be a terminal escape."""
    with pytest.raises(GuestProtocolError):
        parse_fields(encode_fields([(Tag.ARCH, value)])).text(Tag.ARCH)


def test_numbers_are_in_range() -> None:
    parsed = parse_fields(encode_fields([(Tag.STATUS, f.u64(256)), (Tag.MTIME_NS, f.i64(-1))]))
    assert parsed.u64(Tag.STATUS) == 256
    assert parsed.i64(Tag.MTIME_NS) == -1
    assert parsed.find_u64(Tag.PID) is None
    with pytest.raises(GuestProtocolError, match="out of range"):
        parsed.u64(Tag.STATUS, most=255)
    with pytest.raises(GuestProtocolError, match="no field PID"):
        parsed.u64(Tag.PID)


def test_a_nul_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidRequest):
        f.name(b"a\0b")
    with pytest.raises(InvalidRequest):
        f.text("a\0b")
    with pytest.raises(InvalidRequest):
        f.text("\udc80")


def test_the_numbers_are_those_of_the_page() -> None:
    """The page is the definition: each name and number in its tables is ours, and no other."""
    rows = re.findall(r"^\| (\d+) \| ([A-Z_0-9]+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    theirs = [(name, int(number)) for number, name in rows]
    ours = [(each.name, each.value) for enum in (FrameType, Tag, Kind) for each in enum]
    assert sorted(theirs) == sorted(ours)
