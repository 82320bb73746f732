"""E4: which frames of a guest leave its VM, asked of the real filter."""

from __future__ import annotations

import ipaddress
import os
import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.network.conftest import running_filter
from tests.unit.network.wire import (
    MACS,
    SENTINEL,
    EgressFilter,
    ipv4_frame,
    read_all,
    receive_frame,
    stream,
)

LONGEST_FRAME = 65535 + 18
BACKLOG = 16 * 1024 * 1024
IN_SOCKETS = 4 * 1024 * 1024
"""More than the socket buffers on one way hold."""
OUTSIDE = b"\x01\x01\x01\x01"
RATE = 100_000
CLOSED = (
    "127.0.0.1 127.77.3.4 127.255.255.255 0.0.0.0 0.1.2.3 "
    "224.0.0.251 239.255.255.250 240.0.0.1 255.255.255.254"
).split()
OPEN = (
    "1.1.1.1 10.0.2.2 126.255.255.255 128.0.0.1 169.254.169.254 192.168.1.1 223.255.255.255 "
    "255.255.255.255"
).split()
slow_start = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("address", CLOSED)
def test_the_host_and_multicast_are_closed_whatever_the_policy(
    lasting_filter: EgressFilter, address: str
) -> None:
    to = socket.inet_aton(address)
    assert not lasting_filter.passes(ipv4_frame(to))
    assert not lasting_filter.passes(ipv4_frame(to, options=OUTSIDE * 10, payload=bytes(1400)))


@pytest.mark.parametrize("address", OPEN)
def test_the_world_is_open(lasting_filter: EgressFilter, address: str) -> None:
    to = socket.inet_aton(address)
    assert lasting_filter.passes(ipv4_frame(to))
    inner = b"\x7f\0\0\1"
    assert lasting_filter.passes(ipv4_frame(to, options=inner * 10, payload=inner))


@settings(deadline=None)
@given(st.binary(min_size=4, max_size=4))
def test_what_is_open_is_nothing_that_the_host_keeps_to_itself(
    lasting_filter: EgressFilter, address: bytes
) -> None:
    ip = ipaddress.IPv4Address(address)
    closed = ip.is_loopback or ip.is_multicast or address[0] == 0
    passes = lasting_filter.passes(ipv4_frame(address))
    if closed:
        assert not passes
    elif not ip.is_reserved:
        assert passes


def test_a_fragment_is_dropped(lasting_filter: EgressFilter) -> None:
    """E4: what is no beginning has no ports, and an older passt would take its bytes for some."""
    for field, passes in (
        (b"\x20\x00", False),  # more follow
        (b"\x00\x05", False),
        (b"\x3f\xff", False),
        (b"\x40\x00", True),  # do not fragment
        (b"\x80\x00", True),
    ):
        frame = bytearray(ipv4_frame(OUTSIDE, payload=bytes(40)))
        frame[20:22] = field
        assert lasting_filter.passes(bytes(frame)) == passes


def test_other_protocols_than_passts_are_dropped(lasting_filter: EgressFilter) -> None:
    for protocol in range(256):
        passes = lasting_filter.passes(ipv4_frame(OUTSIDE, protocol=protocol))
        assert passes == (protocol in (1, 6, 17)), protocol


def test_arp_passes_and_other_protocols_do_not(lasting_filter: EgressFilter) -> None:
    assert lasting_filter.passes(MACS + b"\x08\x06" + bytes(28))
    assert lasting_filter.passes(MACS + b"\x08\x06"), "a header alone"
    for kind in (b"\x86\xdd", b"\x81\x00", b"\x88\xa8", b"\x00\x10", b"\x08\x05", b"\x00\x08"):
        assert not lasting_filter.passes(MACS + kind)
        assert not lasting_filter.passes(MACS + kind + bytes(60))
        inner = ipv4_frame(OUTSIDE)[12:]
        assert not lasting_filter.passes(MACS + kind + b"\x00\x01" + inner), "a tag hides the rest"


def test_an_ipv4_frame_without_a_whole_header_is_dropped(lasting_filter: EgressFilter) -> None:
    whole = ipv4_frame(OUTSIDE, options=bytes(8), payload=bytes(4))
    for length in range(14, len(whole)):
        assert not lasting_filter.passes(whole[:length])
    for first in (0x00, 0x35, 0x44, 0x4F, 0x65):  # no version, no length, or too long a one
        assert not lasting_filter.passes(whole[:14] + bytes([first]) + whole[15:])


def test_the_longest_frame_passes(lasting_filter: EgressFilter) -> None:
    frame = ipv4_frame(OUTSIDE)
    for length in (LONGEST_FRAME - 1, LONGEST_FRAME):
        assert lasting_filter.passes(frame + bytes(length - len(frame)))


def is_allowed(frame: bytes) -> bool:
    """The rule, written down once more."""
    if frame[12:14] == b"\x08\x06":
        return True
    if frame[12:14] != b"\x08\x00" or len(frame) < 34:
        return False
    header, fragment = 4 * (frame[14] & 15), int.from_bytes(frame[20:22], "big") & 0x3FFF
    if frame[14] >> 4 != 4 or header < 20 or len(frame) < 18 + header or fragment:
        return False
    if frame[23] not in (1, 6, 17):
        return False
    to = ipaddress.IPv4Address(frame[30:34])
    closed = ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")
    return str(to) == "255.255.255.255" or not any(to in ipaddress.ip_network(n) for n in closed)


any_frame = st.one_of(
    st.binary(min_size=14, max_size=80),
    st.binary(min_size=0, max_size=80).map(lambda rest: MACS + b"\x08\x00" + rest),
    st.binary(min_size=4, max_size=4).map(ipv4_frame),
    st.sampled_from([*CLOSED, *OPEN]).map(lambda to: ipv4_frame(socket.inet_aton(to))),
    st.integers(0, 65000).map(lambda size: ipv4_frame(OUTSIDE, payload=bytes(size))),
)


@settings(deadline=None)
@given(st.lists(any_frame, max_size=8), st.lists(st.integers(1, 60), max_size=30))
def test_the_same_frames_pass_however_the_stream_is_cut(
    lasting_filter: EgressFilter, sent: list[bytes], cuts: list[int]
) -> None:
    whole = stream(*sent)
    pieces, position = [], 0
    for size in cuts:
        pieces.append(whole[position : position + size])
        position += size
    passed = lasting_filter.filter(*pieces, whole[position:])
    assert passed == stream(*(frame for frame in sent if is_allowed(frame)))


@pytest.mark.parametrize("length", [0, 13, LONGEST_FRAME + 1, 2**32 - 1])
def test_a_length_that_no_frame_has_ends_the_network(
    egress_filter: EgressFilter, length: int
) -> None:
    """E2: nothing is buffered for a length that is a lie."""
    egress_filter.guest.sendall(length.to_bytes(4, "big"))
    assert egress_filter.world.recv(1) == b""
    assert egress_filter.last_words() == f"banger-egress-filter: a frame of {length} bytes\n"


@slow_start
@given(st.binary(max_size=400))
def test_whatever_a_guest_sends_only_allowed_frames_come_out(
    filter_binary: Path, untrusted: bytes
) -> None:
    """E2, E4: noise ends the filter or is waited for; it never crashes."""
    with running_filter(filter_binary) as egress_filter:
        egress_filter.guest.sendall(untrusted)
        egress_filter.guest.shutdown(socket.SHUT_WR)
        out = b""
        while chunk := egress_filter.world.recv(65536):
            out += chunk
    while out:
        length = int.from_bytes(out[:4], "big")
        frame, out = out[4 : 4 + length], out[4 + length :]
        assert len(frame) == length
        assert is_allowed(frame)


def test_what_comes_in_is_passed_on_as_it_is(egress_filter: EgressFilter) -> None:
    """More than the backlog's ring, so that it goes round, to a guest that reads as it likes."""
    sizes = random.Random(1)
    frames = [sizes.randbytes(sizes.randrange(2000)) for _ in range(1000)]
    data = stream(*frames, sizes.randbytes(LONGEST_FRAME)) * 40
    taken = egress_filter.fill(egress_filter.world, data)
    assert taken < len(data), "the backlog is full"
    sender = threading.Thread(target=egress_filter.world.sendall, args=(data[taken:],))
    sender.start()
    assert read_all(egress_filter.guest, len(data)) == data
    sender.join()


def test_the_backlog_is_bounded(egress_filter: EgressFilter) -> None:
    """E2: a guest that takes nothing costs a bounded amount of memory."""
    taken = egress_filter.fill(egress_filter.world, bytes(BACKLOG + 4 * IN_SOCKETS))
    assert BACKLOG <= taken <= BACKLOG + IN_SOCKETS
    assert read_all(egress_filter.guest, taken) == bytes(taken)
    egress_filter.world.sendall(stream(b"more"))
    assert read_all(egress_filter.guest, 8) == stream(b"more")


def test_memory_of_a_backlog_that_is_gone_is_given_back(shipped_filter: EgressFilter) -> None:
    egress_filter = shipped_filter  # sanitizers have memory of their own
    taken = egress_filter.fill(egress_filter.world, bytes(BACKLOG))
    assert resident_kib(egress_filter.process.pid) > 12 * 1024
    read_all(egress_filter.guest, taken)
    assert egress_filter.passes(ipv4_frame(OUTSIDE)), "it has turned to other things"
    assert resident_kib(egress_filter.process.pid) < 3 * 1024


def test_a_world_that_takes_nothing_holds_the_guest_back(egress_filter: EgressFilter) -> None:
    """E2; and what was held back all arrives."""
    frames = stream(*[ipv4_frame(OUTSIDE, payload=bytes(1400))] * 10_000)
    taken = egress_filter.fill(egress_filter.guest, frames)
    assert taken <= IN_SOCKETS < len(frames)
    egress_filter.world.sendall(stream(b"the way in is open"))
    assert read_all(egress_filter.guest, 22) == stream(b"the way in is open")
    sender = threading.Thread(target=egress_filter.guest.sendall, args=(frames[taken:],))
    sender.start()
    assert read_all(egress_filter.world, len(frames)) == frames
    sender.join()


def test_a_frame_of_passts_that_cannot_be_ends_it(egress_filter: EgressFilter) -> None:
    egress_filter.world.sendall(b"\xff" * 4)
    assert "4294967295" in egress_filter.last_words()


@pytest.mark.parametrize("how", ["closes", "stops sending", "stops receiving"])
@pytest.mark.parametrize("side", ["guest", "world"])
def test_either_side_ends_it(egress_filter: EgressFilter, side: str, how: str) -> None:
    """And what was under way to the world has arrived."""
    ours, other = egress_filter.guest, egress_filter.world
    if side == "world":
        ours, other = other, ours
    ours.sendall(stream(ipv4_frame(OUTSIDE)))
    assert read_all(other, 46) == stream(ipv4_frame(OUTSIDE))
    if how == "closes":
        ours.close()
    elif how == "stops sending":
        ours.shutdown(socket.SHUT_WR)
    else:
        ours.shutdown(socket.SHUT_RD)
        other.sendall(stream(ipv4_frame(OUTSIDE)))
    assert other.recv(1) == b""
    assert egress_filter.last_words() in (
        "",
        "banger-egress-filter: Broken pipe\n",
        "banger-egress-filter: Connection reset by peer\n",
    )


def test_what_a_guest_sent_before_it_died_goes_out(egress_filter: EgressFilter) -> None:
    frames = stream(*[ipv4_frame(OUTSIDE, payload=bytes(1000))] * 50)
    egress_filter.guest.sendall(frames)
    egress_filter.guest.close()
    assert read_all(egress_filter.world, len(frames)) == frames
    assert egress_filter.world.recv(1) == b""


def test_a_guest_that_dies_with_a_backlog_ends_it(egress_filter: EgressFilter) -> None:
    egress_filter.fill(egress_filter.world, bytes(BACKLOG))
    egress_filter.guest.close()
    egress_filter.last_words()


def test_a_filter_that_was_stopped_goes_on(egress_filter: EgressFilter) -> None:
    """A suspended host; the kernel starts what it waited for with another system call."""
    assert egress_filter.passes(ipv4_frame(OUTSIDE)), "it has begun"
    egress_filter.wait_asleep()
    os.kill(egress_filter.process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, egress_filter.process.pid, os.WSTOPPED | os.WNOWAIT)
    os.kill(egress_filter.process.pid, signal.SIGCONT)
    assert egress_filter.passes(ipv4_frame(OUTSIDE))


def test_it_keeps_no_privilege_that_it_does_not_need(shipped_filter: EgressFilter) -> None:
    """E4, E5: a filter that was taken over can ask next to nothing of the kernel."""
    egress_filter = shipped_filter  # sanitizers need system calls of their own
    assert egress_filter.passes(ipv4_frame(OUTSIDE)), "it has begun"
    status = Path(f"/proc/{egress_filter.process.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


@pytest.mark.parametrize("way", ["out", "in"])
def test_a_bandwidth_holds_each_way_back(egress_filter: EgressFilter, way: str) -> None:
    """At least as long as the bytes before take; as they come once there is no limit any more."""
    source, sink = egress_filter.guest, egress_filter.world
    if way == "in":
        source, sink = sink, source
    assert egress_filter.ask(b"R" + RATE.to_bytes(8)) == b"R"
    first = ipv4_frame(OUTSIDE, payload=bytes(RATE // 2))
    begun = time.monotonic()
    source.sendall(stream(first))
    assert receive_frame(sink) == first
    source.sendall(stream(SENTINEL))
    assert receive_frame(sink) == SENTINEL
    assert time.monotonic() - begun > 0.35  # half a second's, less what the eighth of one holds
    assert egress_filter.ask(b"R" + bytes(8)) == b"R"
    source.sendall(stream(first, first))
    assert [receive_frame(sink) for _ in range(2)] == [first, first]


@pytest.mark.parametrize("message", [b"R", b"R" + bytes(7), b"R" + bytes(9), b"R" + b"\xff" * 8])
def test_what_is_no_bandwidth_is_refused(lasting_filter: EgressFilter, message: bytes) -> None:
    assert lasting_filter.ask(message) == b"E"
    assert lasting_filter.passes(ipv4_frame(OUTSIDE))


@pytest.mark.parametrize(
    "words",
    [
        "",
        "tap 0 1 2",
        "socket 0 x 2 label",
        "tap 0 -1 2 label",
        "socket 0 1 2 label more",
        "0 1 2 l",
    ],
)
def test_wrong_arguments_are_told(filter_binary: Path, words: str) -> None:
    command = [str(filter_binary), *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("banger-egress-filter: ")


def test_it_is_static(shipped_binary: Path) -> None:
    binary = shipped_binary.read_bytes()
    assert len(binary) < 64 * 1024
    assert b"/ld-" not in binary, "no program interpreter: any host runs it"


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])
