"""Names in patches: what git quotes, we read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.workspace.quoting import parse_name, parse_pair, parse_whole_name

SHORT = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}


def quote(name: bytes) -> bytes:
    """Quote as git does with core.quotePath: only what is not plain printable ASCII."""
    parts = []
    for byte in name:
        if byte in SHORT:
            parts.append("\\" + SHORT[byte])
        elif 32 <= byte < 127:
            parts.append(chr(byte))
        else:
            parts.append(f"\\{byte:03o}")
    text = "".join(parts)
    return f'"{text}"'.encode() if "\\" in text else text.encode()


NAMES = st.binary(min_size=1, max_size=30).filter(lambda name: 0 not in name)


@given(NAMES)
def test_reads_back_what_git_writes(name: bytes) -> None:
    assert parse_whole_name(quote(name)) == name


@given(NAMES, NAMES)
def test_reads_back_pairs(old: bytes, new: bytes) -> None:
    first, second = quote(b"a/" + old), quote(b"b/" + new)
    assert parse_pair(first + b" " + second, len(b"a/" + old)) == (b"a/" + old, b"b/" + new)


@given(NAMES)
def test_reads_a_pair_of_equal_names_without_being_told_where_it_splits(name: bytes) -> None:
    text = quote(b"a/" + name) + b" " + quote(b"b/" + name)
    assert parse_pair(text, None) == (b"a/" + name, b"b/" + name)


@pytest.mark.parametrize(
    "text", [b'"open', b'"bad\\q"', b'"\\400"', b'"\\12"', b'"raw\x01"', b'""x']
)
def test_refuses_malformed_quotes(text: bytes) -> None:
    assert parse_whole_name(text) is None


@given(st.binary(max_size=200))
def test_never_fails_on_anything(text: bytes) -> None:
    parse_name(text)
    parse_pair(text, None)
    parse_pair(text, 5)
