"""Records of files: what an agent sends comes back, everything else is one typed error (E2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import GuestProtocolError
from banger.guest.listing import NAME_BYTES_MAX, RECORD, Records
from banger.model.entries import GuestEntry

PART = st.binary(min_size=1, max_size=8).filter(
    lambda part: part not in (b".", b"..") and not set(part) & set(b"/\0")
)
FILES = st.lists(
    st.tuples(st.lists(PART, min_size=1, max_size=3).map(b"/".join), st.binary(max_size=40)),
    max_size=6,
)


def record(name: bytes, size: int) -> bytes:
    return RECORD.pack(len(name), 0o100644, 1, 2, size, 3, -4, 5) + name


@given(FILES, st.integers(1, 60))
def test_files_come_back_whatever_the_chunks(files: list[tuple[bytes, bytes]], step: int) -> None:
    raw = b"".join(record(name, len(content)) + content for name, content in files)
    records = Records()
    found: list[tuple[bytes, bytes]] = []
    for start in range(0, len(raw), step):
        records.feed(raw[start : start + step])
        for item in records.items():
            if isinstance(item, GuestEntry):
                assert item[1:] == (0o100644, 1, 2, item.size, 3, -4, 5)
                found.append((item.name, b""))
            else:
                found[-1] = (found[-1][0], found[-1][1] + item)
    records.require_end()
    assert found == files


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_or_refused(untrusted: bytes) -> None:
    """E2"""
    records = Records()
    try:
        records.feed(untrusted)
        list(records.items())
        records.require_end()
    except GuestProtocolError:
        pass


@pytest.mark.parametrize("name", [b"", b"/a", b"a/", b"a//b", b"..", b"a/../b", b"./a", b"a\0b"])
def test_names_that_lead_elsewhere_are_refused(name: bytes) -> None:
    """E1"""
    records = Records()
    records.feed(record(name, 0))
    with pytest.raises(GuestProtocolError, match="bad file name"):
        records.next_entry()


@pytest.mark.parametrize("cut", [1, 47, 50, 55])
def test_a_cut_is_noticed(cut: int) -> None:
    """E2"""
    records = Records()
    records.feed((record(b"name", 9) + b"123456789")[:cut])
    list(records.items())
    with pytest.raises(GuestProtocolError, match="cut off"):
        records.require_end()


@pytest.mark.parametrize(
    ("length", "size"), [(NAME_BYTES_MAX + 1, 0), (2**32 - 1, 0), (1, 2**63), (1, 2**64 - 1)]
)
def test_a_length_that_is_out_of_range_is_refused(length: int, size: int) -> None:
    """E2: at once, not when so many bytes have come."""
    records = Records()
    records.feed(RECORD.pack(length, 0o100644, 0, 0, size, 0, 0, 0) + b"a")
    with pytest.raises(GuestProtocolError, match="out of range"):
        records.next_entry()
