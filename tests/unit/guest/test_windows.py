"""Windows: never more than was granted, never more memory than that (E2)."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import GuestProtocolError
from banger.guest.flow_control import GRANT_STEP, WINDOW, Inbox

pieces = st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(0, 9000)), max_size=60)


@given(pieces)
def test_each_channel_keeps_its_order(sent: list[tuple[int, int]]) -> None:
    inbox = Inbox((1, 2))
    expected = {1: b"", 2: b""}
    for number, (channel, size) in enumerate(sent):
        data = bytes([number % 256]) * size
        if len(expected[channel]) + size > WINDOW:
            break
        inbox.put(channel, data)
        expected[channel] += data
    got = {1: b"", 2: b""}
    while (taken := inbox.take()) is not None:
        assert taken[1]
        got[taken[0]] += taken[1]
    assert got == expected


def test_the_order_between_channels_is_kept() -> None:
    inbox = Inbox((1, 2))
    for channel, data in [(1, b"a"), (1, b"b"), (2, b"c"), (1, b"d"), (2, bytes(5000)), (2, b"e")]:
        inbox.put(channel, data)
    taken = [inbox.take() for _ in range(6)]
    assert taken == [(1, b"ab"), (2, b"c"), (1, b"d"), (2, bytes(5000)), (2, b"e"), None]


def test_more_than_the_window_is_refused() -> None:
    inbox = Inbox((1,))
    for _ in range(8):
        inbox.put(1, bytes(32768))
    with pytest.raises(GuestProtocolError, match="more data"):
        inbox.put(1, b"x")


def test_taking_grants_what_was_taken_and_no_more() -> None:
    inbox = Inbox((1, 2))
    inbox.put(1, bytes(GRANT_STEP - 1))
    inbox.put(2, bytes(10))
    inbox.put(1, bytes(WINDOW - GRANT_STEP + 1))
    inbox.take()
    assert inbox.claim_grant(1) == 0
    while inbox.take() is not None:
        pass
    assert inbox.claim_grant(1) == WINDOW
    assert inbox.claim_grant(1) == 0
    assert inbox.claim_grant(2) == 0
    inbox.put(1, bytes(WINDOW))
    with pytest.raises(GuestProtocolError):
        inbox.put(1, b"x")


def test_a_channel_ends_once_and_for_good() -> None:
    inbox = Inbox((1, 2))
    inbox.put(1, b"x")
    inbox.end(1)
    inbox.end(2)
    assert not inbox.all_ended
    assert inbox.take() == (1, b"x")
    assert inbox.all_ended
    for act in (lambda: inbox.put(1, b"x"), lambda: inbox.end(1), lambda: inbox.put(0, b"")):
        with pytest.raises(GuestProtocolError, match="not open"):
            act()


def test_tiny_pieces_cost_little_more_than_their_bytes() -> None:
    """E2: a window of one-byte frames must not become a quarter of a million objects."""
    inbox = Inbox((1, 2))
    tracemalloc.start()
    try:
        for number in range(2 * WINDOW):
            inbox.put(1 + number % 2, b"x")
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 4 * WINDOW
