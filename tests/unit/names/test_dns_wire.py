"""DNS as bytes: any bytes are a query, a refusal or nothing, and an answer is within bounds."""

from __future__ import annotations

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st

from banger.names.dns.zone import answer_query
from banger.network.dnswire import BadQuery, parse_query, render_answer, render_name

ADDRESSES = {"one": ("127.77.1.2",)}
HEADER = bytes.fromhex("1234 0100 0001 0000 0000 0000")
labels = st.lists(st.binary(min_size=1, max_size=63), max_size=5)


@given(st.binary(max_size=600) | st.binary(max_size=60).map(lambda tail: HEADER + tail))
@example(HEADER + b"\x00" * 5)
def test_any_bytes_are_a_query_or_not(data: bytes) -> None:
    """E2: and the answer is no longer than a datagram may be."""
    with contextlib.suppress(BadQuery):
        answer = render_answer(query := parse_query(data), answer_query(query, ADDRESSES))
        assert answer[:2] == data[:2] and answer[2] & 0x80
        assert answer[12:].startswith(query.question)
        assert len(answer) <= 512
    with contextlib.suppress(BadQuery):
        parse_query(data[:12] if len(data) >= 12 else data)
        raise AssertionError("a query without a question is none")


@given(labels, st.integers(0, 65535), st.integers(0, 65535))
def test_a_query_has_the_name_that_it_was_made_of(
    name: list[bytes], type_: int, class_: int
) -> None:
    data = HEADER + render_name(name) + type_.to_bytes(2, "big") + class_.to_bytes(2, "big")
    if sum(len(label) + 1 for label in name) + 1 > 255:
        with contextlib.suppress(BadQuery):
            parse_query(data)
            raise AssertionError("the name is too long")
        return
    query = parse_query(data)
    assert query.name == tuple(label.lower() for label in name)
    assert (query.type, query.class_, query.has_edns) == (type_, class_, False)
    assert query.question == data[12:]
