"""E4: IPv6 of a network that has it, asked of the real filter: judged by the IPv4 address in it."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from banger.network.bridge.addresses import NETWORK6, address6
from tests.support.ipv6 import (
    ECHO,
    ECHO_REPLY,
    ICMP6,
    KIND,
    PROHIBITED,
    TCP,
    UDP,
    UNREACHABLE,
    asked_by,
    render_advertisement,
    render_datagram,
    render_frame,
    render_segment,
    render_solicitation,
    sum_of_packet,
)
from tests.unit.network.conftest import running_filter
from tests.unit.network.wire import EVERYTHING, EgressFilter, receive_frame, rule, stream

SYN, RST, ACK = 2, 4, 16
MAC, OTHER_MAC = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
OWN, OTHER, HOST = (address6(IPv4Address(f"10.77.0.{number}")) for number in (2, 3, 1))
OTHER4 = "10.77.0.3"
NODES, ROUTERS, REPORTS, DHCP, MDNS = (
    IPv6Address(each) for each in ("ff02::1", "ff02::2", "ff02::16", "ff02::1:2", "ff02::fb")
)
EXTENSIONS = (0, 43, 44, 50, 51, 59, 60, 135, 139, 140, 253)
TUNNELS = (4, 41, 47, 1, 2, 132, 136)


def frame(to: IPv6Address, protocol: int, content: bytes, source: IPv6Address = OWN) -> bytes:
    return render_frame(source, to, protocol, content, mac=MAC, next_hop=OTHER_MAC)


def icmp(to: IPv6Address, kind: int, *, size: int = 24, source: IPv6Address = OWN) -> bytes:
    return frame(to, ICMP6, bytes([kind]) + bytes(size - 1), source)


GOOD = {
    "tcp": frame(OTHER, TCP, render_segment(80)),
    "udp": frame(OTHER, UDP, render_datagram(53, b"q")),
    "echo": icmp(OTHER, ECHO),
    "reply": icmp(OTHER, ECHO_REPLY, size=8),
    "too big": icmp(OTHER, 2),
    "filled up": frame(OTHER, UDP, render_datagram(53)) + bytes(20),
}
NEIGHBOURS = {
    "asks all": frame(asked_by(OTHER), ICMP6, render_solicitation(OTHER, MAC)),
    "asks all, without a MAC address": frame(asked_by(OTHER), ICMP6, render_solicitation(OTHER)),
    "asks one": frame(OTHER, ICMP6, render_solicitation(OTHER, MAC)),
    "answers": frame(OTHER, ICMP6, render_advertisement(OWN, MAC)),
    "answers without a MAC address": frame(OTHER, ICMP6, render_advertisement(OWN)),
}
DESTINATIONS = (
    "::ffff:10.77.0.3 ::10.77.0.3 2002:a4d:3:: 64:ff9b::10.77.0.3 2001:db8::1 2600::1 fe80::1 :: "
    "::1 fec0::1 fd62:616e:6765:7201::a4d:3 fd62:616e:6765:7200:0:1:a4d:3 fd62:616e:6765:7200:: "
    "ff02::1 ff02::fb ff02::1:3 ff05::c ff0e::1 ff02::1:ff4d:3"
).split()
TCP_FRAME = GOOD["tcp"]
BAD = {
    **{f"to {to}": frame(IPv6Address(to), UDP, render_datagram(53)) for to in DESTINATIONS},
    **{f"echo to {to}": icmp(IPv6Address(to), ECHO) for to in DESTINATIONS},
    **{
        f"from {source}": frame(OTHER, UDP, render_datagram(53), IPv6Address(source))
        for source in ("::", "fe80::1", "2001:db8::1", "fd62:616e:6765:7200::", "ff02::1", "::1")
    },
    **{
        f"header {number}": frame(OTHER, number, bytes([TCP]) + bytes(7) + render_segment(80))
        for number in (*EXTENSIONS, *TUNNELS)
    },
    **{f"ICMPv6 {kind}": icmp(OTHER, kind) for kind in (0, 5, 127, *range(130, 135), 137, 200)},
    "a router": icmp(NODES, 134, size=16),
    "a router, to one": icmp(OTHER, 134, size=16),
    "asks for routers": icmp(ROUTERS, 133, size=8),
    "a redirect": icmp(OTHER, 137, size=40),
    "multicast reports": frame(REPORTS, 0, bytes([ICMP6, 0, 5, 2, 0, 0, 1, 0, 143]) + bytes(27)),
    "asks for an address by DHCPv6": frame(DHCP, UDP, render_datagram(547, own_port=546)),
    "a name by mDNS": frame(MDNS, UDP, render_datagram(5353)),
    "answers for another": frame(OTHER, ICMP6, render_advertisement(HOST, MAC)),
    "answers for another, without a MAC address": frame(OTHER, ICMP6, render_advertisement(HOST)),
    "answers with another's MAC address": frame(OTHER, ICMP6, render_advertisement(OWN, OTHER_MAC)),
    "tells all": frame(NODES, ICMP6, render_advertisement(OWN, MAC)),
    "asks with another's MAC address": frame(OTHER, ICMP6, render_solicitation(OTHER, OTHER_MAC)),
    "asks as nobody": frame(
        asked_by(OWN), ICMP6, render_solicitation(OWN), source=IPv6Address("::")
    ),
    "asks all nodes": frame(NODES, ICMP6, render_solicitation(OTHER, MAC)),
    "asks with an option of another length": frame(
        OTHER, ICMP6, render_solicitation(OTHER) + b"\1\2" + MAC
    ),
    "asks with two options": frame(OTHER, ICMP6, render_solicitation(OTHER, MAC) + bytes(8)),
    "answers with the asker's option": frame(
        OTHER, ICMP6, render_advertisement(OWN) + b"\1\1" + MAC
    ),
    "half an answer": frame(OTHER, ICMP6, render_advertisement(OWN)[:20]),
    "another version": TCP_FRAME[:14] + b"\x40" + TCP_FRAME[15:],
    "longer than its frame": TCP_FRAME[:-1],
    "a length of none": TCP_FRAME[:18] + b"\0\0" + TCP_FRAME[20:],
    "less than ports": frame(OTHER, TCP, bytes(7)),
    "a header alone": frame(OTHER, TCP, b""),
    "half a header": TCP_FRAME[:40],
}


@pytest.fixture(scope="module")
def with_ipv6(filter_binary: Path) -> Iterator[EgressFilter]:
    with running_filter(filter_binary, network6=NETWORK6) as running:
        yield running


def test_what_goes_to_a_neighbour_passes(with_ipv6: EgressFilter) -> None:
    sent = {**GOOD, **NEIGHBOURS}
    assert [name for name, each in sent.items() if not with_ipv6.passes(each)] == []


def test_other_destinations_headers_and_senders_are_dropped(filter_binary: Path) -> None:
    """I8: whatever the policy; a guest that pretends to be a router, or somebody else."""
    with running_filter(filter_binary, network6=NETWORK6) as egress_filter:
        assert [name for name, each in BAD.items() if egress_filter.passes(each)] == []
        assert egress_filter.ask(b"L") == b"L"


def test_a_network_without_ipv6_passes_none(lasting_filter: EgressFilter) -> None:
    sent = {**GOOD, **NEIGHBOURS}
    assert [name for name, each in sent.items() if lasting_filter.passes(each)] == []


def test_before_a_policy_has_come_neighbours_are_asked_and_told_alone(filter_binary: Path) -> None:
    """I7."""
    with running_filter(filter_binary, policy=b"", network6=NETWORK6) as egress_filter:
        assert [name for name, each in GOOD.items() if egress_filter.passes(each)] == []
        assert all(egress_filter.passes(each) for each in NEIGHBOURS.values())


def test_the_ipv4_address_in_it_is_judged(filter_binary: Path) -> None:
    """I8: and what is denied is noted as going there."""
    policy = rule(network=OTHER4, prefix=32, protocol=TCP, first=443, last=443)
    sent = (
        frame(OTHER, TCP, render_segment(443)),
        frame(OTHER, TCP, render_segment(80)),
        frame(OTHER, UDP, render_datagram(443)),
        icmp(OTHER, ECHO),
        frame(HOST, TCP, render_segment(443)),
    )
    with running_filter(filter_binary, policy, network6=NETWORK6) as egress_filter:
        assert [egress_filter.passes(each) for each in sent] == [True, *[False] * 4]
        denials = list(struct.iter_unpack("!Q4sHBxI", egress_filter.ask(b"L")[1:]))
    other, host = (IPv4Address(each).packed for each in (OTHER4, "10.77.0.1"))
    assert [each[1:] for each in denials] == [
        (other, 80, TCP, 1),
        (other, 443, UDP, 1),
        (other, 0, 1, 1),
        (host, 443, TCP, 1),
    ]


def test_addresses_that_no_rule_reaches_are_closed_here_too(with_ipv6: EgressFilter) -> None:
    """E4: 127.0.0.1 and multicast, as IPv4 addresses in addresses of the network."""
    for to in ("127.0.0.1", "0.1.2.3", "224.0.0.251", "240.0.0.1"):
        assert not with_ipv6.passes(frame(address6(IPv4Address(to)), UDP, render_datagram(53)))


def read_reply(egress_filter: EgressFilter, sent: bytes) -> bytes:
    assert not egress_filter.passes(sent)
    return receive_frame(egress_filter.guest)


def test_denied_segments_are_reset(filter_binary: Path) -> None:
    """I6."""
    with running_filter(filter_binary, rule(allows=False), network6=NETWORK6) as egress_filter:
        for flags, acknowledged, at in ((SYN, 105, 42), (ACK, 200, 38)):
            sent = frame(OTHER, TCP, render_segment(80, flags=flags, data=b"1234"))
            reset = read_reply(egress_filter, sent)
            assert reset[:14] == MAC + OTHER_MAC + KIND
            assert reset[22:54] == OTHER.packed + OWN.packed
            assert reset[54:58] == sent[56:58] + sent[54:56]
            assert reset[67] & RST
            assert int.from_bytes(reset[at + 20 : at + 24]) == acknowledged
            assert (reset[20], len(reset), sum_of_packet(reset[14:])) == (TCP, 74, 0)


def test_other_denied_packets_are_told_to_be_prohibited(filter_binary: Path) -> None:
    """I6."""
    with running_filter(filter_binary, rule(allows=False), network6=NETWORK6) as egress_filter:
        for name in ("udp", "echo"):
            told = read_reply(egress_filter, GOOD[name])
            assert told[22:54] == OTHER.packed + OWN.packed
            assert (told[20], told[54:56]) == (ICMP6, bytes([UNREACHABLE, PROHIBITED]))
            assert told[62:] == GOOD[name][14:62]
            assert sum_of_packet(told[14:]) == 0


def test_nothing_answers_a_reset_or_an_error(filter_binary: Path) -> None:
    with running_filter(filter_binary, rule(allows=False), network6=NETWORK6) as egress_filter:
        silent = (frame(OTHER, TCP, render_segment(80, flags=RST)), icmp(OTHER, 1), GOOD["reply"])
        for each in silent:
            assert not egress_filter.passes(each)
        assert read_reply(egress_filter, frame(OTHER, TCP, render_segment(443)))[54:56] == b"\1\xbb"


def test_connections_that_a_new_policy_denies_are_reset_on_both_sides(filter_binary: Path) -> None:
    """I6: others go on, those of IPv4 between the same ports included."""
    closed, opened = (
        [frame(to, TCP, render_segment(port, flags=ACK, data=b"12")) for port in range(1, 101)]
        for to in (OTHER, HOST)
    )
    with running_filter(filter_binary, network6=NETWORK6) as egress_filter:
        assert egress_filter.filter(stream(*closed, *opened))
        policy = rule(allows=False, network=OTHER4, prefix=32) + EVERYTHING
        assert egress_filter.ask(b"P" + policy) == b"P"
        for side, mirrored, expected in (
            (egress_filter.world, False, 102),
            (egress_filter.guest, True, 200),
        ):
            resets = [receive_frame(side) for _ in closed]
            assert all(sum_of_packet(each[14:]) == 0 for each in resets)
            assert {each[67] & RST for each in resets} == {RST}
            assert {int.from_bytes(each[58:62]) for each in resets} == {expected}
            ends = (
                each[38:54] + each[22:38] + each[56:58] + each[54:56] if mirrored else each[22:58]
                for each in closed
            )
            assert sorted(each[22:58] for each in resets) == sorted(ends)
        assert egress_filter.filter(stream(*opened)) == stream(*opened)


@pytest.mark.parametrize("word", ["", "fd62616e6765720", "fd62616e67657200f", "FD62616E67657200"])
def test_a_network_that_is_none_is_told_apart(shipped_binary: Path, word: str) -> None:
    command = [shipped_binary, "socket", "0", "1", "2", "label", word]
    done = subprocess.run(command, capture_output=True, check=False, timeout=30)
    assert done.returncode == 2
    assert b"not a network" in done.stderr
