"""IPv6 on a bridge: guests, their host, and a world that has IPv6 as well.

Run as `bridge_ipv6.py DIRECTORY` where `bridge_host.py` is run; prints what was found as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from banger.model.egress import Egress
from banger.model.names import VmId
from banger.network.bridge import links
from banger.network.bridge.addresses import BRIDGE, NETWORK6, address6
from banger.network.egress.process import wait_network_gone
from tests.component.network.bridge_host import (
    ARP_WAIT_S,
    DEADLINE_S,
    ECHO,
    HOST,
    NETWORK,
    A,
    B,
    Host,
    Station,
    claim,
    run,
    start_network,
    within,
)
from tests.support import ipv6
from tests.support.ipv6 import EVERYBODY, ICMP6, KIND, TCP, UDP

HOST6 = address6(IPv4Address(HOST))
OUTWARD6, WORLD6, ROUTER6 = map(IPv6Address, ("2001:db8::2", "2001:db8::1", "fe80::1"))
ALL = IPv6Address("ff02::1")
ECHO_REQUEST = bytes([ipv6.ECHO]) + bytes(7)
SPOKEN_IN = ipv6.render_datagram(ECHO, b"itself", own_port=ECHO)


class Speaker:
    """A guest's IPv6 by frames, which answers who asks for its address."""

    def __init__(self, station: Station) -> None:
        self.station, self.link, self.mac = station, station.link, station.mac
        self.own, self.next_hop = address6(IPv4Address(station.address)), EVERYBODY

    def render(self, to: IPv6Address, protocol: int, content: bytes) -> bytes:
        return ipv6.render_frame(
            self.own, to, protocol, content, mac=self.mac, next_hop=self.next_hop
        )

    def say(self, to: IPv6Address, data: bytes) -> None:
        self.link.send(self.render(to, UDP, ipv6.render_datagram(ECHO, data, own_port=ECHO)))

    def packets(self) -> Iterator[bytes]:
        """Yield what comes for it, with its frame's header, but for what neighbours say."""
        for frame in self.station.frames():
            kind = frame[54] if frame[12:14] == KIND and frame[20] == ICMP6 else 0
            if kind == ipv6.SOLICITATION and frame[62:78] == self.own.packed:
                told, to = ipv6.render_advertisement(self.own, self.mac), frame[22:38]
                self.link.send(self.render(IPv6Address(to), ICMP6, told))
            elif (
                kind not in (ipv6.SOLICITATION, ipv6.ADVERTISEMENT)
                and frame[12:14] == KIND
                and frame[38:54] == self.own.packed
            ):
                yield frame

    def go_by(self, to: IPv6Address) -> None:
        """Send by this neighbour from now on; it is asked until it answers, as kernels do."""
        asked = ipv6.render_solicitation(to, self.mac)
        self.next_hop, end = EVERYBODY, time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            self.link.send(self.render(ipv6.asked_by(to), ICMP6, asked))
            with contextlib.suppress(TimeoutError):
                frame = b""
                while frame[54:55] != bytes([ipv6.ADVERTISEMENT]) or frame[62:78] != to.packed:
                    frame = self.link.receive(ARP_WAIT_S)
                self.next_hop = frame[80:86]
                return
        raise TimeoutError(str(to))

    def hear(self) -> str:
        """Return the next datagram: whose, and what is in it."""
        frame = next(each for each in self.packets() if each[20] == UDP)
        return f"{IPv6Address(frame[22:38])} {frame[62:].decode()}"

    def outcome(self, to: IPv6Address, protocol: int, content: bytes) -> str:
        """Return what whoever is there answers."""
        self.link.send(self.render(to, protocol, content))
        frame = next(each for each in self.packets() if each[22:38] == to.packed)
        if frame[20] == TCP:
            return "reset" if frame[67] & 4 else "answered"
        return f"icmp {frame[54]} {frame[55]}" if frame[20] == ICMP6 else "answered"

    def until_answered(self) -> list[str]:
        """Ask the host for an echo, and return what came before it."""
        self.link.send(self.render(HOST6, ICMP6, ECHO_REQUEST))
        found = []
        for frame in self.packets():
            if frame[20] == ICMP6 and frame[54] == ipv6.ECHO_REPLY:
                return found
            found.append(frame.hex())
        raise AssertionError("frames do not end")


def join_world(host: Host) -> None:
    """Give the host and the world IPv6, and have the host forward it."""
    up = "nodad dev up"
    run(f"ip address add {OUTWARD6}/64 {up}0")
    lines = (f"ip address add {WORLD6}/64 {up}1", f"ip route add {NETWORK6} via {OUTWARD6}")
    within(host.world, lambda: run(*lines))
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")


def open_datagrams(address: IPv6Address | str) -> socket.socket:
    side = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    side.settimeout(DEADLINE_S)
    side.bind((str(address), ECHO))
    return side


def say_between(a: Speaker, b: Speaker) -> str:
    heard: list[str] = []
    thread = threading.Thread(target=lambda: heard.append(b.hear()))
    thread.start()  # it answers who asks for its address meanwhile
    a.go_by(b.own)
    a.say(b.own, b"hello")
    thread.join()
    return heard[0]


def say_from_the_host(a: Speaker) -> str:
    """Ask a guest from the host, by its address."""
    a.go_by(HOST6)
    with open_datagrams(HOST6) as side:
        side.sendto(b"q", (str(a.own), ECHO))
        heard = a.hear()
        a.say(HOST6, b"heard " + heard.encode())
        return side.recv(100).decode()


def try_host(a: Speaker) -> dict[str, str]:
    """Try what listens at all of the host's addresses, by the one that guests know."""
    with open_datagrams("::"), socket.create_server(("::", ECHO), family=socket.AF_INET6):
        return {
            "tcp": a.outcome(HOST6, TCP, ipv6.render_segment(ECHO)),
            "udp": a.outcome(HOST6, UDP, ipv6.render_datagram(ECHO)),
            "echo": a.outcome(HOST6, ICMP6, ECHO_REQUEST),
        }


def try_elsewhere(host: Host, a: Speaker) -> list[str]:
    """Try the host's other address and the world's; return what came of that."""
    found = []
    with (
        open_datagrams(OUTWARD6) as own,
        within(host.world, lambda: open_datagrams(WORLD6)) as others,
        socket.create_server(("::", ECHO), family=socket.AF_INET6),
    ):
        others.sendto(b"known", (str(OUTWARD6), ECHO))
        own.recv(100)  # by now both know each other's MAC address
        for to in (OUTWARD6, WORLD6):
            a.say(to, b"q")
            a.link.send(a.render(to, TCP, ipv6.render_segment(ECHO)))
            a.link.send(a.render(to, ICMP6, ECHO_REQUEST))
        found += a.until_answered()
        for side in (own, others):
            side.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                found.append(side.recv(100).decode())
    return found


def try_behind_the_ports(host: Host, a: Speaker) -> dict[str, str]:
    """Let ports say what they like, so that the host's second table decides."""
    run("nft insert rule bridge banger from_ports accept")
    with open_datagrams("::"), within(host.world, lambda: open_datagrams(WORLD6)) as others:
        found = {
            "tcp": a.outcome(OUTWARD6, TCP, ipv6.render_segment(ECHO)),
            "udp": a.outcome(OUTWARD6, UDP, ipv6.render_datagram(ECHO)),
            "echo": a.outcome(OUTWARD6, ICMP6, ECHO_REQUEST),
        }
        a.say(WORLD6, b"q")
        found["world"] = "".join(a.until_answered())
        others.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            found["world"] += others.recv(100).decode()
    links.ensure_bridge(NETWORK)
    return found


def come_from_outside(host: Host, a: Speaker) -> list[str]:
    """Send to a guest that has asked for nothing; return what it got."""
    with (
        open_datagrams(OUTWARD6) as own,
        within(host.world, lambda: open_datagrams(WORLD6)) as stranger,
    ):
        stranger.sendto(b"known", (str(OUTWARD6), ECHO))
        own.recv(100)
        stranger.sendto(b"q", (str(a.own), ECHO))
    return a.until_answered()


def spoof(a: Speaker, b: Speaker) -> list[str]:
    """Send to everybody what a port may not say; return what the other guest got of it."""
    a.go_by(HOST6)
    hosts_mac, a.next_hop, own, mac = a.next_hop, EVERYBODY, a.own, a.mac
    a.say(b.own, b"from here on")
    next(frame for frame in b.station.frames() if b"from here on" in frame)
    for a.own in (b.own, HOST6, ROUTER6, WORLD6, *map(IPv6Address, ("::", "::ffff:10.77.0.2"))):
        a.say(b.own, b"as another")
        a.link.send(a.render(b.own, ICMP6, ipv6.render_advertisement(a.own, mac)))
        a.link.send(a.render(ALL, ICMP6, bytes([134]) + bytes(15)))
    a.own = own
    for a.mac in (b.mac, bytes.fromhex("020000000099")):
        a.say(b.own, b"as another")
    a.mac = mac
    for about in (b.own, HOST6, ROUTER6):
        for to in (b.own, ALL):
            a.link.send(a.render(to, ICMP6, ipv6.render_advertisement(about, mac)))
    for to in (b.own, ALL):
        for kind in (130, 131, 132, 133, 134, 137, 143):
            a.link.send(a.render(to, ICMP6, bytes([kind]) + bytes(39)))
    for header in (0, 4, 41, 43, 44, 47, 50, 51, 59, 60, 135):
        for inner, content in ((UDP, SPOKEN_IN), (ICMP6, ECHO_REQUEST)):
            a.link.send(a.render(b.own, header, bytes([inner, 0, 1, 4, 0, 0, 0, 0]) + content))
    for to in ("ff02::fb", "ff02::1:2", "ff05::2", "fe80::2", "::ffff:10.77.0.3", "2002:a4d:3::"):
        a.say(IPv6Address(to), b"to others")
    a.say(b.own, b"itself")
    got = []
    for frame in b.station.frames():
        if b"itself" in frame and frame[20] == UDP:
            return got
        if frame[6:12] != hosts_mac:
            got.append(frame.hex())
    raise AssertionError("frames do not end")


async def pass_filter(directory: Path, b: Speaker) -> list[str]:
    """Return what becomes of what a guest says that has a policy."""
    network, station = await start_network(directory, 78)
    guest, interface = Speaker(station), network.handle.plan_interface(VmId(f"{78:012x}"))
    found = [await asyncio.to_thread(say_between, guest, b)]
    await network.handle.set_egress(interface, Egress(rules=(f"deny {b.station.address}",)))
    found.append(guest.outcome(b.own, UDP, ipv6.render_datagram(ECHO)))
    found.append(guest.outcome(b.own, TCP, ipv6.render_segment(ECHO)))
    found += [denial.target for denial in await network.handle.read_denials(interface)]
    found.append(await asyncio.to_thread(say_from_the_host, guest))
    network.attachment.side.close()
    await wait_network_gone(network.handle)
    return found


def list_addresses(name: str) -> list[str]:
    lines = Path("/proc/net/if_inet6").read_text().splitlines()
    return [str(IPv6Address(int(line.split()[0], 16))) for line in lines if line.split()[5] == name]


def lose_ipv6(host: Host) -> dict[str, str]:
    """Begin again on a host that has turned IPv6 off, and on one whose kernel has none."""
    before = links.IPV6
    found = {}
    Path(before, "default/disable_ipv6").write_text("1")
    Path(before, BRIDGE, "disable_ipv6").write_text("1")
    links.ensure_bridge(NETWORK)
    found["off"] = f"{list_addresses(BRIDGE)}"
    links.remove_bridge()
    links.IPV6 = before / "none"
    links.ensure_bridge(NETWORK)
    station, fd = claim(host, A)
    station.go_by(HOST)
    found["none"] = "a table" if "table ip6 banger" in host.look()[0] else "served"
    os.close(fd)
    return found


def main(directory: Path) -> None:
    host = Host(directory)
    links.ensure_bridge(NETWORK)
    host.start_helper(host.socket, os.getuid())
    (first, _), (second, _) = (claim(host, port) for port in (A, B))
    a, b = Speaker(first), Speaker(second)
    found: dict[str, object] = {
        "between": say_between(a, b),
        "from the host": say_from_the_host(a),
        "to the host": try_host(a),
        "addresses": [list_addresses(BRIDGE), list_addresses(A.name)],
    }
    join_world(host)
    found |= {
        "elsewhere": try_elsewhere(host, a),
        "behind the ports": try_behind_the_ports(host, a),
        "from outside": come_from_outside(host, a),
        "spoofed": spoof(a, b),
        "filtered": asyncio.run(pass_filter(directory, b)),
        "without": lose_ipv6(host),
    }
    links.remove_bridge()
    found["left"] = [after for after in host.look() if after not in host.before]
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
