"""Windows: never more than was granted, never more memory than that (E2)."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import GuestProtocolError
from banger.guest.flow_control import (
    BULK_BYTES,
    FIRST_WINDOW,
    GRANT_STEP,
    WINDOW,
    Inbox,
    WindowPool,
)


def whole(*channels: int) -> Inbox:
    """An inbox with the windows of version 1, which do not grow."""
    return Inbox(channels, window=WINDOW, pool=WindowPool(0))


def small(pool: WindowPool) -> Inbox:
    """An inbox of one channel with the windows of version 2."""
    return Inbox((1,), window=FIRST_WINDOW, pool=pool)


def fill(inbox: Inbox, size: int, *, piece: int = 32768) -> int:
    """Put and take so many bytes; return what was granted."""
    granted = 0
    for at in range(0, size, piece):
        inbox.put(1, bytes(min(piece, size - at)))
        while inbox.take() is not None:
            pass
        granted += inbox.claim_grant(1)
    return granted


pieces = st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(0, 9000)), max_size=60)


@given(pieces)
def test_each_channel_keeps_its_order(sent: list[tuple[int, int]]) -> None:
    inbox = whole(1, 2)
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


@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 40_000), st.booleans())))
def test_a_sink_gets_what_nothing_waits_before(sent: list[tuple[int, int, bool]]) -> None:
    """H7: whatever it takes of each, the order is kept; what it takes is granted as the rest is."""
    inbox = whole(1)
    takes = 0

    def sink(untrusted_data: bytes | memoryview) -> int:
        received.extend(untrusted_data[:takes])
        return min(takes, len(untrusted_data))

    received = bytearray()
    expected = bytearray()
    granted = 0
    for number, (size, most, reads) in enumerate(sent):
        takes = most
        data = bytes([number % 256]) * size
        if len(expected) - len(received) + GRANT_STEP + size > WINDOW:
            break
        inbox.put(1, memoryview(data), sink=sink)
        expected += data
        while reads and (taken := inbox.take()) is not None:
            received += taken[1]
        granted += inbox.claim_grant(1)
    while (taken := inbox.take()) is not None:
        received += taken[1]
    assert received == expected
    assert len(expected) - granted <= WINDOW


def test_the_order_between_channels_is_kept() -> None:
    inbox = whole(1, 2)
    for channel, data in [(1, b"a"), (1, b"b"), (2, b"c"), (1, b"d"), (2, bytes(5000)), (2, b"e")]:
        inbox.put(channel, data)
    taken = [inbox.take() for _ in range(6)]
    assert taken == [(1, b"ab"), (2, b"c"), (1, b"d"), (2, bytes(5000)), (2, b"e"), None]


def test_more_than_the_window_is_refused() -> None:
    inbox = whole(1)
    for _ in range(8):
        inbox.put(1, bytes(32768))
    with pytest.raises(GuestProtocolError, match="more data"):
        inbox.put(1, b"x")


def test_taking_grants_what_was_taken_and_no_more() -> None:
    inbox = whole(1, 2)
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
    inbox = whole(1, 2)
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
    inbox = whole(1, 2)
    tracemalloc.start()
    try:
        for number in range(2 * WINDOW):
            inbox.put(1 + number % 2, b"x")
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 4 * WINDOW


def test_a_window_grows_with_bulk_up_to_the_largest() -> None:
    pool = WindowPool(10 * WINDOW)
    inbox = small(pool)
    assert fill(inbox, FIRST_WINDOW) == 2 * FIRST_WINDOW
    assert fill(inbox, FIRST_WINDOW) == 3 * FIRST_WINDOW
    fill(inbox, 64 * FIRST_WINDOW)
    for _ in range((WINDOW - GRANT_STEP) // 32768):
        inbox.put(1, bytes(32768))
    with pytest.raises(GuestProtocolError, match="more data"):
        inbox.put(1, bytes(GRANT_STEP + 1))
    assert pool.left == 9 * WINDOW + FIRST_WINDOW
    inbox.give_back()
    inbox.give_back()
    assert pool.left == 10 * WINDOW


def test_a_window_stays_small_for_small_talk() -> None:
    """Many connections that exchange short messages leave the pool to those that copy."""
    pool = WindowPool(WINDOW)
    inbox = small(pool)
    granted = fill(inbox, 10 * FIRST_WINDOW, piece=BULK_BYTES - 1)
    assert granted <= 10 * FIRST_WINDOW
    assert pool.left == WINDOW


def test_without_room_in_the_pool_a_stream_goes_on_as_it_is() -> None:
    """E2: the windows of all streams are bounded together, and none of them stops."""
    pool = WindowPool(FIRST_WINDOW + 1)
    first, second = small(pool), small(pool)
    assert fill(first, FIRST_WINDOW) == 2 * FIRST_WINDOW
    for _ in range(20):
        assert fill(second, FIRST_WINDOW) == FIRST_WINDOW
    assert pool.left == 1
    first.give_back()
    assert fill(second, FIRST_WINDOW) == 2 * FIRST_WINDOW
