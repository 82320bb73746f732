"""E4: which frames of a guest leave its VM."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.network.guard import (
    BACKLOG,
    LONGEST_FRAME,
    Backlog,
    filter_frames,
    is_outside,
    may_pass,
)

MACS = bytes(12)


def ipv4_frame(destination: bytes, *, payload: bytes = b"") -> bytes:
    header = struct.pack("!BBHHHBBH4s", 0x45, 0, 20, 0, 0, 64, 17, 0, b"\x0a\x00\x02\x0f")
    return MACS + b"\x08\x00" + header + destination + payload


def stream(*frames: bytes) -> bytes:
    return b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)


@pytest.mark.parametrize(
    "address",
    (
        "127.0.0.1 127.77.3.4 127.255.255.255 0.0.0.0 0.1.2.3 169.254.169.254 "
        "224.0.0.251 239.255.255.250 240.0.0.1"
    ).split(),
)
def test_the_host_link_local_and_multicast_are_closed(address: str) -> None:
    assert not may_pass(ipv4_frame(socket.inet_aton(address)))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "10.0.2.2", "10.0.2.3", "192.168.1.1", "169.253.0.1", "255.255.255.255"]
)
def test_the_world_is_open(address: str) -> None:
    assert may_pass(ipv4_frame(socket.inet_aton(address)))


@given(st.binary(min_size=4, max_size=4))
def test_what_is_open_is_nothing_that_the_host_keeps_to_itself(address: bytes) -> None:
    ip = ipaddress.IPv4Address(address)
    closed = ip.is_loopback or ip.is_link_local or ip.is_multicast or address[0] == 0
    if closed:
        assert not is_outside(address)
    elif not ip.is_reserved:
        assert is_outside(address)


def test_arp_passes_and_other_protocols_do_not() -> None:
    assert may_pass(MACS + b"\x08\x06" + bytes(28))
    for kind in (b"\x86\xdd", b"\x81\x00", b"\x88\xa8", b"\x00\x10"):
        assert not may_pass(MACS + kind + bytes(60))
    inner = ipv4_frame(b"\x01\x01\x01\x01")[12:]
    assert not may_pass(MACS + b"\x81\x00\x00\x01" + inner), "a VLAN tag hides the rest"


def test_an_ipv4_frame_without_a_whole_header_is_dropped() -> None:
    assert not may_pass(ipv4_frame(b"\x01\x01\x01\x01")[:-1])


frames = st.lists(
    st.one_of(
        st.binary(min_size=14, max_size=80),
        st.binary(min_size=4, max_size=4).map(ipv4_frame),
    ),
    max_size=8,
)


@given(frames, st.lists(st.integers(1, 60), max_size=30))
def test_the_same_frames_pass_however_the_stream_is_cut(sent: list[bytes], cuts: list[int]) -> None:
    whole = stream(*sent)
    buffer, passed, position = bytearray(), b"", 0
    for size in [*cuts, len(whole)]:
        buffer += whole[position : position + size]
        position += size
        passed += filter_frames(buffer)
    assert passed == stream(*(frame for frame in sent if may_pass(frame)))
    assert not buffer


@pytest.mark.parametrize("length", [0, 13, LONGEST_FRAME + 1, 2**32 - 1])
def test_a_length_that_no_frame_has_ends_the_network(length: int) -> None:
    """E2: nothing is buffered for a length that is a lie."""
    with pytest.raises(ValueError):
        filter_frames(bytearray(length.to_bytes(4, "big")))


def test_the_backlog_keeps_order_and_everything() -> None:
    backlog = Backlog()
    for part in (b"one ", b"two ", b"three"):
        backlog.put(part)
    assert backlog.take() == b"one two three"


def test_the_backlog_is_bounded() -> None:
    """E2: a guest that takes nothing costs a bounded amount of memory."""
    backlog = Backlog()
    backlog.put(bytes(BACKLOG))
    added = threading.Event()

    def put_more() -> None:
        backlog.put(b"more")
        added.set()

    thread = threading.Thread(target=put_more)
    thread.start()
    assert not added.wait(0.05)
    assert backlog.take() == bytes(BACKLOG)
    assert added.wait(30)
    thread.join()
    assert backlog.take() == b"more"
