"""The filter before a program that takes each frame as one message, as slirp4netns does."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.network.conftest import running_filter
from tests.unit.network.test_tap_filter import PLAIN, TapFilter, running
from tests.unit.network.wire import MACS, EgressFilter, ipv4_frame, read_all, stream

MESSAGES = socket.SOCK_SEQPACKET
LONGEST_FRAME = 65535 + 18
BACKLOG = 16 * 1024 * 1024
OUTSIDE, LOOPBACK = b"\x01\x01\x01\x01", b"\x7f\0\0\1"


@pytest.fixture
def egress_filter(filter_binary: Path) -> Iterator[EgressFilter]:
    with running_filter(filter_binary, world_kind=MESSAGES) as one:
        yield one


@pytest.fixture
def tap_filter(filter_binary: Path, tmp_path: Path) -> Iterator[TapFilter]:
    with running(filter_binary, tmp_path, world_kind=MESSAGES) as one:
        one.hand_over()
        yield one


def frames_of_all_sizes(number: int, *, longest: int = LONGEST_FRAME) -> list[bytes]:
    sizes, shortest = random.Random(number), len(ipv4_frame(OUTSIDE))
    lengths = [longest, shortest, *(sizes.randint(shortest, longest) for _ in range(number))]
    return [
        ipv4_frame(OUTSIDE, payload=bytes([length % 251]) * (length - 34)) for length in lengths
    ]


def test_each_frame_that_may_leave_is_one_message(egress_filter: EgressFilter) -> None:
    """E4: however the stream is cut, and beyond what the socket holds at once."""
    sent = frames_of_all_sizes(300)
    data = stream(*(each for frame in sent for each in (ipv4_frame(LOOPBACK), frame)))
    sender = threading.Thread(target=_send_in_pieces, args=(egress_filter.guest, data))
    sender.start()
    assert [egress_filter.world.recv(100_000) for _ in sent] == sent
    sender.join()


def _send_in_pieces(side: socket.socket, data: bytes) -> None:
    for at in range(0, len(data), 70_001):
        side.sendall(data[at : at + 70_001])


def test_each_message_is_a_frame_for_the_guest(egress_filter: EgressFilter) -> None:
    """More than the backlog's ring, so that it goes round: what is full is waited for."""
    sent = frames_of_all_sizes(900)
    assert sum(map(len, sent)) > BACKLOG + LONGEST_FRAME
    sender = threading.Thread(target=_send_each, args=(egress_filter.world, sent))
    sender.start()
    egress_filter.wait_asleep()
    expected = stream(*sent)
    assert read_all(egress_filter.guest, len(expected)) == expected
    sender.join()


def _send_each(side: socket.socket, frames: list[bytes]) -> None:
    for frame in frames:
        side.sendall(frame)


def test_a_full_backlog_takes_no_further_message(egress_filter: EgressFilter) -> None:
    """E2: and the filter does not turn in circles meanwhile."""
    frame = ipv4_frame(OUTSIDE, payload=bytes(60_000))
    taken = egress_filter.fill(egress_filter.world, frame * 500, step=len(frame))
    assert BACKLOG - 2 * LONGEST_FRAME < taken < len(frame) * 500
    expected = stream(*[frame] * (taken // len(frame)))
    assert read_all(egress_filter.guest, len(expected)) == expected


def test_frames_of_a_tap_are_messages_both_ways(tap_filter: TapFilter) -> None:
    """Out of it so many wait that the ring of the backlog cuts one; in, as a guest takes them."""
    out = frames_of_all_sizes(600)
    assert sum(map(len, out)) > BACKLOG
    ahead = 300
    for at in range(len(out) + ahead):
        if at < len(out):
            tap_filter.tap.sendall(PLAIN + out[at])
        if at >= ahead:
            assert tap_filter.world.recv(100_000) == out[at - ahead]
    into = frames_of_all_sizes(100, longest=1514)
    _send_each(tap_filter.world, into)
    assert [tap_filter.tap.recv(100_000) for _ in into] == [PLAIN + frame for frame in into]


def test_the_end_of_the_world_ends_it(egress_filter: EgressFilter) -> None:
    egress_filter.guest.sendall(stream(MACS + b"\x08\x06"))
    assert egress_filter.world.recv(100) == MACS + b"\x08\x06"
    egress_filter.world.close()
    assert egress_filter.guest.recv(1) == b""
    egress_filter.last_words()
