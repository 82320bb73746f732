"""E4: which flows the real filter lets go by which policy, and what it says of the others."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.outward import outward_address
from tests.unit.network.conftest import running_filter
from tests.unit.network.wire import (
    EVERYTHING,
    SOURCE,
    EgressFilter,
    ipv4_frame,
    receive_frame,
    rule,
    stream,
)

TCP, UDP, ICMP = 6, 17, 1
SYN, ACK, RST = 2, 16, 4
OTHER = "203.0.113.9"


def frame(to: str, port: int = 80, protocol: int = TCP, *, flags: int = SYN) -> bytes:
    """A frame of a flow: 100 is its sequence number, 200 what it acknowledges."""
    content = struct.pack("!HHIIBBHHH", 4000, port, 100, 200, 5 << 4, flags, 100, 0, 0)
    if protocol == ICMP:
        content = bytes([8, 0]) + bytes(30)
    return ipv4_frame(socket.inet_aton(to), payload=content, protocol=protocol)


def passes(egress_filter: EgressFilter, policy: bytes, *frames: bytes) -> list[bool]:
    """Tell which frames pass under a policy."""
    assert egress_filter.ask(b"P" + policy) == b"P"
    return [egress_filter.passes(each) for each in frames]


def test_without_a_policy_nothing_but_arp_leaves(filter_binary: Path) -> None:
    """I7: closed while unknown."""
    with running_filter(filter_binary, policy=b"") as egress_filter:
        assert not egress_filter.passes(frame(OTHER))
        assert not egress_filter.passes(frame("255.255.255.255", 67, UDP))


def test_the_first_rule_that_matches_decides(egress_filter: EgressFilter) -> None:
    policy = (
        rule(network=OTHER, prefix=32, first=443, last=445, protocol=TCP)
        + rule(allows=False, network="203.0.113.0", prefix=24)
        + rule(network="203.0.112.0", prefix=23)
    )
    frames = [frame(OTHER, port) for port in (442, 443, 445, 446)]
    frames += [frame(OTHER, 443, UDP), frame("203.0.112.1"), frame("203.0.114.1")]
    assert passes(egress_filter, policy, *frames) == [False, True, True, False, False, True, False]


def test_a_rule_for_a_port_is_none_for_icmp(egress_filter: EgressFilter) -> None:
    ping = frame(OTHER, protocol=ICMP)
    assert passes(egress_filter, rule(network=OTHER, prefix=32), ping) == [True]
    assert passes(egress_filter, rule(network=OTHER, prefix=32, first=1), ping) == [False]


def test_a_network_that_is_allowed_has_not_the_hosts_own_addresses(
    egress_filter: EgressFilter,
) -> None:
    """E4: they are opened one by one."""
    own = frame(outward_address())
    wide = rule(network="0.0.0.0", prefix=0)
    assert passes(egress_filter, wide, own, frame(OTHER, 53, UDP)) == [False, True]
    named = rule(network=outward_address(), prefix=32, first=80, last=80)
    assert passes(egress_filter, wide + named, own, frame(outward_address(), 81)) == [True, False]


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_what_is_no_policy_leaves_the_policy_as_it_was(
    lasting_filter: EgressFilter, untrusted: bytes
) -> None:
    answer = lasting_filter.ask(b"P" + untrusted)
    assert answer in (b"P", b"E")
    if answer == b"E":
        assert lasting_filter.passes(frame(OTHER, 53, UDP))
    assert lasting_filter.ask(b"P" + EVERYTHING) == b"P"


@pytest.mark.parametrize("message", [b"X", b"L1", b"E"])
def test_a_message_of_another_kind_is_refused(lasting_filter: EgressFilter, message: bytes) -> None:
    assert lasting_filter.ask(message) == b"E"
    assert lasting_filter.passes(frame(OTHER, 53, UDP))


def test_a_message_that_is_too_long_ends_its_connection_alone(lasting_filter: EgressFilter) -> None:
    assert lasting_filter.ask(b"P" + rule() * 1000) == b""
    assert lasting_filter.passes(frame(OTHER, 53, UDP))


def read_reply(egress_filter: EgressFilter, sent: bytes) -> bytes:
    """Send one frame that is denied, and return what the guest is answered."""
    assert not egress_filter.passes(sent)
    return receive_frame(egress_filter.guest)


def checksum(data: bytes) -> int:
    """The sum of RFC 1071 over data with its checksum in it: 0 if that is right."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@pytest.mark.parametrize(
    ("flags", "sequence", "acknowledged", "answer"),
    [
        (SYN, 0, 101, RST | ACK),
        (ACK, 200, 0, RST),
        (SYN | ACK, 200, 0, RST),
        (0, 0, 100, RST | ACK),
    ],
)
def test_a_denied_connection_is_reset_at_once(
    filter_binary: Path, flags: int, sequence: int, acknowledged: int, answer: int
) -> None:
    """I6: in the way that a machine without such a port has."""
    with running_filter(filter_binary, policy=rule(allows=False)) as egress_filter:
        reply = read_reply(egress_filter, frame(OTHER, 80, flags=flags))
    segment = reply[34:]
    assert struct.unpack("!HHIIBB", segment[:14]) == (
        *(80, 4000, sequence, acknowledged, 5 << 4, answer),
    )
    ends = socket.inet_aton(OTHER) + SOURCE
    assert reply[26:34] == ends
    assert checksum(reply[14:34]) == 0
    assert checksum(ends + struct.pack("!HH", TCP, len(segment)) + segment) == 0


@pytest.mark.parametrize("protocol", [UDP, ICMP])
def test_other_denied_packets_are_told_to_be_prohibited(filter_binary: Path, protocol: int) -> None:
    """I6."""
    sent = frame(OTHER, 53, protocol)
    with running_filter(filter_binary, policy=rule(allows=False)) as egress_filter:
        reply = read_reply(egress_filter, sent)
    assert (reply[23], reply[34:36]) == (ICMP, bytes([3, 13]))
    assert reply[42:] == sent[14:42]
    assert checksum(reply[34:]) == 0


def test_nothing_answers_a_reset_or_an_error_or_for_an_address_that_cannot(
    filter_binary: Path,
) -> None:
    reset = frame(OTHER, flags=RST)
    error = ipv4_frame(socket.inet_aton(OTHER), payload=bytes([3, 1]) + bytes(20), protocol=ICMP)
    with running_filter(filter_binary, policy=rule(allows=False)) as egress_filter:
        for silent in (reset, error, frame("127.0.0.1"), frame("224.0.0.251", 5353, UDP)):
            assert not egress_filter.passes(silent)
        assert read_reply(egress_filter, frame(OTHER, 443))[34:36] == struct.pack("!H", 443)


def test_answers_stand_between_the_frames_of_the_world(filter_binary: Path) -> None:
    """However the world's stream is cut."""
    incoming = [bytes(12) + b"\x08\x06" + bytes([number]) * 100 for number in range(50)]
    data = stream(*incoming)
    with running_filter(filter_binary, policy=rule(allows=False)) as egress_filter:
        for at in range(0, len(data), 77):
            egress_filter.world.sendall(data[at : at + 77])
            assert not egress_filter.passes(frame(OTHER))
        found, rest = [], b""
        while len([each for each in found if each in incoming]) < len(incoming):
            rest += egress_filter.guest.recv(1 << 16)
            while len(rest) >= 4 and len(rest) >= 4 + int.from_bytes(rest[:4], "big"):
                size = 4 + int.from_bytes(rest[:4], "big")
                found.append(rest[4:size])
                rest = rest[size:]
    assert [each for each in found if each in incoming] == incoming
    replies = [each for each in found if each not in incoming]
    assert replies and all(len(each) == 54 for each in replies)


def test_a_guest_that_reads_no_answers_goes_on(egress_filter: EgressFilter) -> None:
    """E2: they have room for so much."""
    assert egress_filter.ask(b"P" + rule(network=OTHER, prefix=32)) == b"P"
    denied = stream(*[frame("203.0.113.8")] * 200)
    for _ in range(200):
        assert egress_filter.filter(denied) == b""
    assert egress_filter.passes(frame(OTHER))


def test_denials_are_noted_once_each_with_their_number(egress_filter: EgressFilter) -> None:
    """I6: 256 of them, and then the oldest make room."""
    assert egress_filter.ask(b"P" + rule(network=OTHER, prefix=32, first=80, last=80)) == b"P"
    before = int(time.time()) - 1  # the filter's clock is the kernel's tick, up to 10 ms older
    for port in (80, 81, 82, 81):
        egress_filter.passes(frame(OTHER, port))
    egress_filter.passes(frame("127.0.0.1", 22))
    denials = list(struct.iter_unpack("!Q4sHBxI", egress_filter.ask(b"L")[1:]))
    assert all(before <= each[0] <= time.time() for each in denials)
    assert [each[1:] for each in denials] == [
        (socket.inet_aton(OTHER), 81, TCP, 2),
        (socket.inet_aton(OTHER), 82, TCP, 1),
        (socket.inet_aton("127.0.0.1"), 22, TCP, 1),
    ]
    many = stream(*(frame("203.0.113.1", port) for port in range(1, 1001)))
    assert egress_filter.filter(many) == b""
    denials = list(struct.iter_unpack("!Q4sHBxI", egress_filter.ask(b"L")[1:]))
    assert len(denials) == 256


def read_resets(side: socket.socket, count: int) -> list[bytes]:
    """Read so many frames, which must be resets; return their ends: addresses and ports."""
    found = []
    for _ in range(count):
        reset = receive_frame(side)
        assert reset[47] & RST
        assert checksum(reset[14:34]) == 0
        assert checksum(reset[26:34] + struct.pack("!HH", TCP, len(reset) - 34) + reset[34:]) == 0
        found.append(reset[26:38])
    return found


def test_connections_that_a_new_policy_denies_are_reset_on_both_sides(
    egress_filter: EgressFilter,
) -> None:
    """I6: also those on which nothing is sent; others go on."""
    closed = [frame("203.0.113.1", port, flags=ACK) for port in range(1, 201)]
    opened = [frame("203.0.112.1", port, flags=ACK) for port in range(1, 201)]
    datagram = frame("203.0.113.1", 53, UDP)
    assert egress_filter.filter(stream(*closed, *opened, datagram))
    policy = rule(allows=False, network="203.0.113.0", prefix=24) + EVERYTHING
    assert egress_filter.ask(b"P" + policy) == b"P"
    to_world = read_resets(egress_filter.world, len(closed))
    assert sorted(to_world) == sorted(each[26:38] for each in closed)
    to_guest = read_resets(egress_filter.guest, len(closed))
    ends = [each[30:34] + each[26:30] + each[36:38] + each[34:36] for each in closed]
    assert sorted(to_guest) == sorted(ends)
    assert egress_filter.filter(stream(*opened)) == stream(*opened)
    assert egress_filter.ask(b"P" + rule(allows=False)) == b"P"
    assert len(read_resets(egress_filter.world, len(opened))) == 200, "once each"


def test_a_full_table_of_connections_is_reset_on_both_sides(egress_filter: EgressFilter) -> None:
    """I6: the resets of all that are kept have room, whoever reads them late."""
    sent = [frame("203.0.113.1", port, flags=ACK) for port in range(1, 6001)]
    for at in range(0, len(sent), 500):
        assert egress_filter.filter(stream(*sent[at : at + 500]))
    assert egress_filter.ask(b"P" + rule(allows=False)) == b"P"
    to_guest = read_resets(egress_filter.guest, 4000)
    to_world = read_resets(egress_filter.world, 4000)
    assert {each[4:8] + each[:4] + each[10:12] + each[8:10] for each in to_guest} == set(to_world)


def test_a_reset_is_what_both_sides_expect_next(egress_filter: EgressFilter) -> None:
    data = struct.pack("!HHIIBBHHH", 4000, 80, 100, 200, 5 << 4, ACK, 100, 0, 0) + bytes(50)
    sent = ipv4_frame(socket.inet_aton(OTHER), payload=data, protocol=TCP)
    assert egress_filter.passes(sent)
    assert egress_filter.ask(b"P" + rule(allows=False)) == b"P"
    sides = (egress_filter.world, 150), (egress_filter.guest, 200)
    for side, expected in sides:
        reset = receive_frame(side)
        assert int.from_bytes(reset[38:42], "big") == expected


def test_a_connection_that_has_ended_is_not_reset(egress_filter: EgressFilter) -> None:
    for port, flags in ((80, ACK), (80, RST), (81, ACK)):
        assert egress_filter.passes(frame(OTHER, port, flags=flags))
    assert egress_filter.ask(b"P" + rule(allows=False)) == b"P"
    (ends,) = read_resets(egress_filter.world, 1)
    assert int.from_bytes(ends[10:12], "big") == 81
    assert egress_filter.filter(b"") == b""
