"""E4: the filter of a guest behind a TAP: what of its frames leaves, and how frames come in.

A TAP's queue is a pair of sockets that keep messages apart, and its statistics are a file:
`tests/component/network/test_tap.py` has the kernel's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.network.egress.control import control_socket, set_policy
from tests.unit.network.test_egress_filter import RATE, any_frame, is_allowed
from tests.unit.network.wire import (
    EVERYTHING,
    MACS,
    SENTINEL,
    ipv4_frame,
    receive_frame,
    rule,
    stream,
)

DEADLINE_S = 30
QUEUE = 400
"""How many frames the filter lets wait in a TAP."""
OUTSIDE = b"\x01\x01\x01\x01"
NEEDS_CHECKSUM = 1
WHOLE, TCP4, UDP, TCP6, UDP_SEGMENTS, ECN = 0, 1, 3, 4, 5, 0x80
RST, ACK = 4, 16
PLAIN = bytes(10)
STATISTICS = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo:       0     900    0    0    0     0          0         0       0     800    0    0    0
 tap00:       0     900    0    0    0     0          0         0       0     800    0    0    0
  tap0:       0     700    0    0    0     0          0         0       0 {:7d}    0   {:2d}    0
"""


@dataclass
class TapFilter:
    """A running filter: `tap` is the other end of its queue, `world` is passt's."""

    vmm: socket.socket
    world: socket.socket
    tap: socket.socket
    queue: socket.socket
    statistics: Path
    process: subprocess.Popen[bytes]

    def count(self, taken: int, dropped: int = 0) -> None:
        """Set how many frames the TAP's VMM has taken."""
        self.statistics.write_text(STATISTICS.format(taken, dropped))

    def hand_over(self) -> None:
        """Send what banger-tap sends."""
        with open(self.statistics) as file:
            socket.send_fds(self.vmm, [b"tap0"], [self.queue.fileno(), file.fileno()])

    def filter(self, frame: bytes, header: bytes = PLAIN) -> bytes:
        """Send a frame out and return what comes of it, without its length."""
        self.tap.sendall(header + frame)
        self.tap.sendall(PLAIN + SENTINEL)
        out = b""
        while not out.endswith(stream(SENTINEL)):
            chunk = self.world.recv(100_000)
            assert chunk, "the filter ended"
            out += chunk
        return out.removesuffix(stream(SENTINEL))[4:]

    def last_words(self) -> str:
        """Return what the filter said, once it has ended."""
        assert self.process.wait(DEADLINE_S) == 0
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


@contextlib.contextmanager
def running(
    binary: Path, directory: Path, *, world_kind: socket.SocketKind = socket.SOCK_STREAM
) -> Iterator[TapFilter]:
    """Run a filter that waits for its TAP; it must end by itself, without a report."""
    with contextlib.ExitStack() as stack:
        vmm, lifeline, world, outer, tap, queue = (
            stack.enter_context(side)
            for pair in (
                socket.socketpair(),
                socket.socketpair(socket.AF_UNIX, world_kind),
                socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET),
            )
            for side in pair
        )
        control = directory / "control"
        with control_socket(control) as listener:
            numbers = (lifeline.fileno(), outer.fileno(), listener.fileno())
            command = [binary, "tap", *map(str, numbers), "label"]
            process = subprocess.Popen(command, pass_fds=numbers, stderr=subprocess.PIPE)
        asyncio.run(set_policy(str(control), EVERYTHING))
        lifeline.close()
        outer.close()
        queue.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)  # room for QUEUE frames
        for side in (vmm, world, tap):
            side.settimeout(DEADLINE_S)
        running_filter = TapFilter(vmm, world, tap, queue, directory / "dev", process)
        running_filter.count(0)
        try:
            yield running_filter
            vmm.close()
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def waiting_filter(filter_binary: Path, tmp_path: Path) -> Iterator[TapFilter]:
    """A filter whose VMM has no TAP yet."""
    with running(filter_binary, tmp_path) as one:
        yield one


@pytest.fixture
def tap_filter(waiting_filter: TapFilter) -> TapFilter:
    waiting_filter.hand_over()
    return waiting_filter


@pytest.fixture(scope="session")
def lasting_tap_filter(
    filter_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TapFilter]:
    """One filter for the many frames of property tests, which leave nothing in it."""
    with running(filter_binary, tmp_path_factory.mktemp("tap")) as one:
        one.hand_over()
        yield one


@settings(deadline=None)
@given(any_frame)
def test_a_tap_makes_no_difference_to_what_may_leave(
    lasting_tap_filter: TapFilter, frame: bytes
) -> None:
    assert lasting_tap_filter.filter(frame) == (frame if is_allowed(frame) else b"")


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=60))
def test_noise_is_no_frame(lasting_tap_filter: TapFilter, untrusted: bytes) -> None:
    """E2: whatever a VMM that was taken over writes, header and all."""
    out = lasting_tap_filter.filter(untrusted, b"")
    assert out == b"" or is_allowed(out)


def test_a_bandwidth_holds_a_tap_back(tap_filter: TapFilter, tmp_path: Path) -> None:
    """At least as long as the bytes before take."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as side:
        side.settimeout(DEADLINE_S)
        side.connect(str(tmp_path / "control"))
        side.send(b"R" + RATE.to_bytes(8))
        assert side.recv(64) == b"R"
    begun = time.monotonic()
    assert tap_filter.filter(ipv4_frame(OUTSIDE, payload=bytes(RATE // 2)))
    assert time.monotonic() - begun > 0.35  # half a second's, less what the eighth of one holds


def checksum(content: bytes) -> int:
    """The Internet checksum, of RFC 1071."""
    padded = content + b"\0" * (len(content) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


def header(kind: int = WHOLE, *, start: int = 34, offset: int = 6) -> bytes:
    """A virtio-net header that leaves a checksum to the card."""
    return struct.pack("=BBHHHH", NEEDS_CHECKSUM, kind, 0, 0, start, offset)


@settings(deadline=None)
@given(
    st.integers(0, 1500).flatmap(lambda size: st.binary(min_size=8 + size, max_size=8 + size)),
    st.sampled_from([WHOLE, TCP4, UDP, TCP4 | ECN]),
)
def test_a_checksum_that_was_left_to_the_card_is_finished(
    lasting_tap_filter: TapFilter, datagram: bytes, kind: int
) -> None:
    """And nothing else of the frame is changed."""
    before = ipv4_frame(OUTSIDE, payload=b"")
    out = lasting_tap_filter.filter(before + datagram, header(kind))
    expected = datagram[:6] + checksum(datagram).to_bytes(2, "big") + datagram[8:]
    assert out == before + expected


@pytest.mark.parametrize("kind", [TCP6, UDP_SEGMENTS, 2, 0x7F, TCP6 | ECN])
def test_what_passt_could_not_cut_is_dropped(tap_filter: TapFilter, kind: int) -> None:
    assert tap_filter.filter(ipv4_frame(OUTSIDE, payload=bytes(20)), header(kind)) == b""


@pytest.mark.parametrize(
    ("start", "offset"), [(34, 27), (61, 0), (62, 0), (0xFFFF, 0xFFFF), (0, 61), (10, 0xFFFF)]
)
def test_a_checksum_outside_of_its_frame_is_none(
    tap_filter: TapFilter, start: int, offset: int
) -> None:
    """E2: 62 bytes; the last place for one is 60."""
    frame = ipv4_frame(OUTSIDE, payload=bytes(28))
    assert tap_filter.filter(frame, header(start=start, offset=offset)) == b""
    assert len(tap_filter.filter(frame, header(start=34, offset=26))) == len(frame)


def test_a_checksum_cannot_change_where_a_frame_goes(tap_filter: TapFilter) -> None:
    """E4: the destination is judged as it leaves, when the checksum is finished."""
    for start in range(28, 34):
        frame = ipv4_frame(OUTSIDE, payload=bytes(28))
        for word in range(0, 0x10000, 0x0F0F):
            changed = frame[:28] + word.to_bytes(2, "big") + frame[30:]
            out = tap_filter.filter(changed, header(start=start, offset=0))
            assert out == b"" or is_allowed(out), (start, word)


def frames(first: int, count: int) -> list[bytes]:
    numbers = range(first, first + count)
    return [MACS + b"\x08\x00" + struct.pack("!I", number) for number in numbers]


def test_frames_come_in_whole_and_in_order(tap_filter: TapFilter) -> None:
    sent = frames(0, QUEUE)
    data = stream(*sent)
    for at in range(0, len(data), 1001):
        tap_filter.world.sendall(data[at : at + 1001])
    assert [tap_filter.tap.recv(100_000) for _ in sent] == [PLAIN + frame for frame in sent]


def test_a_tap_that_is_full_is_given_no_more(tap_filter: TapFilter) -> None:
    """Frames that a TAP drops cost passt two seconds; they wait here instead, and none is lost."""
    sent = frames(0, 4 * QUEUE)
    tap_filter.world.sendall(stream(*sent))
    taken: list[bytes] = []
    while len(taken) < len(sent):
        taken += [tap_filter.tap.recv(100_000) for _ in range(QUEUE)]
        assert tap_filter.filter(ipv4_frame(OUTSIDE)) != b"", "the other way is open"
        assert select.select([tap_filter.tap], [], [], 0)[0] == []
        tap_filter.count(len(taken) - 7, 7)
    assert taken == [PLAIN + frame for frame in sent]


def test_the_vmms_end_is_the_filters(tap_filter: TapFilter) -> None:
    assert tap_filter.filter(ipv4_frame(OUTSIDE)), "it has begun"
    tap_filter.vmm.close()
    assert tap_filter.last_words() == ""
    assert tap_filter.world.recv(1) == b""


def test_passts_end_is_the_filters(tap_filter: TapFilter) -> None:
    assert tap_filter.filter(ipv4_frame(OUTSIDE)), "it has begun"
    tap_filter.world.close()
    assert tap_filter.last_words() == ""
    assert tap_filter.vmm.recv(1) == b""


@pytest.mark.parametrize("side", ["vmm", "world"])
def test_a_vmm_that_never_comes_is_not_waited_for(waiting_filter: TapFilter, side: str) -> None:
    getattr(waiting_filter, side).close()
    assert waiting_filter.last_words() == ""


def test_a_message_without_a_queue_ends_it(waiting_filter: TapFilter) -> None:
    """E2: whoever has the VMM's end may say what he likes."""
    waiting_filter.vmm.sendall(b"tap0")
    assert waiting_filter.last_words() == ""


def test_a_frame_of_passts_that_cannot_be_ends_it(tap_filter: TapFilter) -> None:
    tap_filter.world.sendall(b"\xff" * 4)
    assert "4294967295" in tap_filter.last_words()


def test_it_keeps_no_privilege_that_it_does_not_need(shipped_binary: Path, tmp_path: Path) -> None:
    """E4, E5: once a guest can reach it."""
    with running(shipped_binary, tmp_path) as one:
        one.hand_over()
        assert one.filter(ipv4_frame(OUTSIDE)), "it has begun"
        status = Path(f"/proc/{one.process.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status


def test_what_a_policy_denies_is_reset_and_answered(tap_filter: TapFilter, tmp_path: Path) -> None:
    """I6: a connection that was open on both sides, and a frame of it that comes later."""
    segment = struct.pack("!HHIIBBHHH", 4000, 80, 100, 200, 5 << 4, ACK, 100, 0, 0)
    frame = ipv4_frame(OUTSIDE, payload=segment, protocol=6)
    assert tap_filter.filter(frame) == frame
    asyncio.run(set_policy(str(tmp_path / "control"), rule(allows=False)))
    assert receive_frame(tap_filter.world)[47] == RST | ACK
    assert tap_filter.filter(frame) == b""
    for _ in range(2):
        reset = tap_filter.tap.recv(1000)
        assert (reset[:10], reset[10 + 47]) == (PLAIN, RST)
        assert reset[10 + 38 : 10 + 42] == (200).to_bytes(4, "big")
