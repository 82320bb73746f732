"""A host with a bridge and its helper, guests at its ports, and a world: namespaces of one process.

Run as `bridge_host.py DIRECTORY` in `unshare --user --map-root-user --net --mount`, where it is the
helper's root. Prints what was found as a JSON document. Where the host keeps /dev/net/tun from
users a veth device, read by a packet socket at its other end, stands in for a TAP.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TypeVar

from banger.errors import BangerError
from banger.host.attachments import AttachmentKind
from banger.model.egress import Egress
from banger.model.names import VmId
from banger.network.bridge import links, nft, process, server, tap
from banger.network.bridge.addresses import DNS, Port, host_address
from banger.network.bridge.kind import NETWORK as KIND
from banger.network.bridge.wire import LONGEST, Verb, render_request
from banger.network.egress.process import wait_network_gone
from banger.network.port import Interface, StartedNetwork
from tests.component.network.bridge_names import ask_names, open_stranger, serve_names
from tests.component.network.frames import BROADCAST, Guest, Link, StreamLink

NETWORK = IPv4Network("10.77.0.0/16")
HOST, OUTWARD, WORLD = str(host_address(NETWORK)), "198.51.100.2", "198.51.100.1"
A = Port("02:00:00:00:00:0a", IPv4Address("10.77.0.2"))
B = Port("02:00:00:00:00:0b", IPv4Address("10.77.0.3"))
C = Port("02:00:00:00:00:0c", IPv4Address("10.77.0.4"))
ECHO = 7000
DEADLINE_S = 100.0
ARP_WAIT_S = 0.05
CLONE_NEWNET = 0x40000000
ALL_PROTOCOLS = 3
SIOCETHTOOL, SET_TX_CHECKSUMS = 0x8946, 0x17
ARP, IPV4, IPV6, VLAN = b"\x08\x06", b"\x08\x00", b"\x86\xdd", b"\x81\x00"
ICMP, TCP, UDP = 1, 6, 17
IS_TUN_OPEN = os.access(links.DEVICE, os.R_OK | os.W_OK)
LIBC = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


def run(*lines: str) -> None:
    for line in lines:
        subprocess.run(line.split(), check=True, timeout=DEADLINE_S)


def on_thread(do: Callable[[], T]) -> T:
    """Return what a function gives on a thread, which has a network namespace of its own."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(do()))
    thread.start()
    thread.join()
    return results[0]


def make_namespace() -> int:
    def enter() -> int:
        assert LIBC.unshare(CLONE_NEWNET) == 0
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    return on_thread(enter)


def within(namespace: int, do: Callable[[], T]) -> T:
    def entered() -> T:
        assert LIBC.setns(namespace, CLONE_NEWNET) == 0
        return do()

    return on_thread(entered)


def open_packets(name: str) -> int:
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    packets.bind((name, ALL_PROTOCOLS))
    packets.setblocking(False)
    return packets.detach()


def finish_checksums(name: str) -> None:
    """Have the kernel finish checksums before the device, as it does for a TAP without headers."""
    off = ctypes.create_string_buffer(struct.pack("II", SET_TX_CHECKSUMS, 0))
    with socket.socket() as side:
        order = struct.pack("16sP16x", name.encode(), ctypes.addressof(off))
        fcntl.ioctl(side, SIOCETHTOOL, order)


def stand_in(guests: int) -> Callable[[str], int]:
    """Return what makes devices where users may make no TAP."""

    def make(name: str) -> int:
        other = f"g{name}"
        if name in _names():
            raise FileExistsError(name)
        place = f"/proc/{os.getpid()}/fd/{guests}"
        run(f"ip link add {name} type veth peer name {other}", f"ip link set {other} netns {place}")
        finish_checksums(name)
        within(guests, lambda: run(f"ip link set {other} up"))
        return within(guests, lambda: open_packets(other))

    return make


def device_maker(guests: int) -> Callable[[str], int]:
    """Return what makes devices on this host; `guests` is a namespace for their other ends."""
    return links.open_tap if IS_TUN_OPEN else stand_in(guests)


def _names() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


class Queue:
    """A device's descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def send(self, frame: bytes) -> None:
        os.write(self.fd, frame)

    def receive(self, wait_s: float) -> bytes:
        if not select.select([self.fd], [], [], wait_s)[0]:
            raise TimeoutError
        return os.read(self.fd, 1 << 16)


class Card:
    """A guest's network card, which answers who asks for its address."""

    def __init__(self, link: Link, port: Port) -> None:
        self._link = link
        self._mac, self._address = bytes.fromhex(port.mac.replace(":", "")), port.address.packed

    def send(self, frame: bytes) -> None:
        self._link.send(frame)

    def receive(self, wait_s: float) -> bytes:
        deadline = time.monotonic() + wait_s
        while True:
            frame = self._link.receive(max(0.001, deadline - time.monotonic()))
            if frame[12:14] == ARP and frame[20:22] == b"\0\1" and frame[38:42] == self._address:
                self.send(self.render_arp(2, to=frame[28:32], mac=frame[22:28]))
            else:
                return frame

    def render_arp(
        self,
        operation: int,
        *,
        to: bytes,
        mac: bytes = BROADCAST,
        own: bytes = b"",
        at: bytes = b"",
    ) -> bytes:
        head = mac + self._mac + ARP + bytes.fromhex("000108000604")
        head += operation.to_bytes(2, "big")
        return head + (own or self._mac) + (at or self._address) + mac + to


class Station(Guest):
    """A guest that resolves addresses, and answers datagrams."""

    def __init__(self, link: Link, port: Port) -> None:
        self.card = Card(link, port)
        super().__init__(
            self.card,
            Interface(mac=port.mac, address=str(port.address), prefix=16, gateway=HOST, dns=()),
        )

    def frames(self) -> Iterator[bytes]:
        """Yield what comes; the program ends if nothing does for long."""
        while True:
            yield self.link.receive(DEADLINE_S)

    def go_by(self, address: str) -> None:
        """Send by this neighbour from now on; it is asked until it answers, as kernels do."""
        wanted, end = socket.inet_aton(address), time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            self.link.send(self.card.render_arp(1, to=wanted))
            with contextlib.suppress(TimeoutError):
                frame = b""
                while frame[12:14] != ARP or frame[28:32] != wanted:
                    frame = self.link.receive(ARP_WAIT_S)
                self.next_hop = frame[22:28]
                return
        raise TimeoutError(address)

    def hear(self) -> tuple[str, int, int, bytes]:
        """Return the next datagram: whose, from which port to which, and what is in it."""
        frame = next(f for f in self.frames() if f[12:14] == IPV4 and f[23] == UDP)
        ports = (int.from_bytes(frame[at : at + 2], "big") for at in (34, 36))
        end = 34 + int.from_bytes(frame[38:40], "big")
        return (socket.inet_ntoa(frame[26:30]), *ports, frame[42:end])  # type: ignore[return-value]

    def say(self, address: str, port: int, data: bytes, *, own_port: int = ECHO) -> None:
        datagram = own_port.to_bytes(2, "big") + port.to_bytes(2, "big")
        datagram += (8 + len(data)).to_bytes(2, "big") + b"\0\0" + data
        self._send(address, UDP, datagram, checksum_at=6)

    def outcome(self, address: str, protocol: int, port: int, *, own_port: int = ECHO) -> str:
        """Return what becomes of a connection or a datagram."""
        if protocol == TCP:
            self._send_syn(address, port)
        else:
            self.say(address, port, b"q", own_port=own_port)
        for frame in self.frames():
            if frame[12:14] == IPV4 and frame[23] == ICMP:
                return f"icmp {frame[34]} {frame[35]}"
            if frame[12:14] == IPV4 and frame[23] == protocol:
                return "reset" if protocol == TCP and frame[47] & 4 else "answered"
        raise AssertionError("frames do not end")


class Host:
    """This process's namespace: a bridge, an uplink to a world, services at all addresses."""

    def __init__(self, directory: Path) -> None:
        self.socket = tap.HELPER = str(directory / "helper")
        self.nameserver = server.open_nameserver(NETWORK)
        self.world, guests = make_namespace(), make_namespace()
        run("ip link set lo up", "nft add table ip somebodys")
        place = f"/proc/{os.getpid()}/fd/{self.world}"
        run("ip link add up0 type veth peer name up1", f"ip link set up1 netns {place}")
        run(f"ip address add {OUTWARD}/24 dev up0", "ip link set up0 up")
        within(self.world, self._make_world)
        self.make_device = device_maker(guests)
        self.before = self.look()

    def _make_world(self) -> None:
        run(f"ip address add {WORLD}/24 dev up1", "ip link set up1 up", "ip link set lo up")
        run(f"ip route add {NETWORK} via {OUTWARD}")

    def look(self) -> list[str]:
        """Return what a helper could leave behind."""
        rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, check=True)
        return [rules.stdout.decode(), links.FORWARDING.read_text(), *sorted(_names())]

    def start_helper(self, path: str, uid: int) -> None:
        served = server.Served(uid, NETWORK, self.make_device, self.nameserver)
        listener = server.open_listener(path, os.getuid())
        threading.Thread(target=server.serve, args=(listener, served), daemon=True).start()

    def restart_helper(self) -> None:
        for each in self.nameserver:
            each.close()
        self.nameserver = server.open_nameserver(NETWORK)
        self.start_helper(self.socket, os.getuid())


def serve_datagrams(place: str) -> socket.socket:
    """Answer each datagram with the address that it came from."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((place, ECHO))

    def serve() -> None:
        while True:
            _, client = server.recvfrom(100)
            server.sendto(client[0].encode(), client)

    threading.Thread(target=serve, daemon=True).start()
    return server


def say_from_the_host(a: Station) -> str:
    """Ask a guest from the host, by its address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as side:
        side.settimeout(DEADLINE_S)
        side.sendto(b"q", (a.address, ECHO))
        asker, port, _, content = a.hear()
        a.go_by(HOST)
        a.say(asker, port, b"heard " + content)
        return side.recv(100).decode()


def say_between(a: Station, b: Station) -> str:
    heard: list[object] = []
    thread = threading.Thread(target=lambda: heard.append(b.hear()))
    thread.start()  # it answers who asks for its address meanwhile
    a.go_by(b.address)
    a.say(b.address, 1, b"hello")
    thread.join()
    return f"{heard[0]}"


def try_host(a: Station) -> dict[str, str]:
    """Try what listens at all of the host's addresses."""
    found = {}
    a.go_by(HOST)
    with serve_datagrams("0.0.0.0"), socket.create_server(("0.0.0.0", 0)) as listener:
        for address in (HOST, OUTWARD):
            found[f"tcp {address}"] = a.outcome(address, TCP, listener.getsockname()[1])
            found[f"udp {address}"] = a.outcome(address, UDP, ECHO)
    return found


def spoof(a: Station, b: Station) -> list[str]:
    """Send to everybody what a port may not say; return what the other guest got of it."""
    a.next_hop = BROADCAST
    a.say(b.address, 1, b"from here on")
    next(frame for frame in b.frames() if b"from here on" in frame)
    mac, address, card = a.mac, a.address, a.card
    for a.address in (b.address, HOST, "10.77.9.9", "192.0.2.1", "0.0.0.0"):
        a.say(b.address, 1, f"as {a.address}".encode())
    a.address = address
    for a.mac in (b.mac, bytes.fromhex("020000000099")):
        a.say(b.address, 1, b"as " + a.mac.hex().encode())
    a.mac = mac
    ends = BROADCAST + mac
    a.link.send(ends + IPV6 + b"\x60" + bytes(60))
    a.link.send(ends + VLAN + b"\0\1" + IPV4 + bytes(60))
    a.link.send(ends + b"\x88\xcc" + bytes(60))
    to = socket.inet_aton("10.77.1.1")
    a.link.send(card.render_arp(1, to=to, at=socket.inet_aton(HOST)))
    a.link.send(card.render_arp(2, to=to, own=b.mac))
    a.link.send(card.render_arp(2, to=to, own=b.mac, at=socket.inet_aton(b.address)))
    a.say(b.address, 1, b"itself")
    got = []
    for frame in b.frames():
        if b"itself" in frame:
            return got
        got.append(frame.hex())
    raise AssertionError("frames do not end")


def come_from_outside(world: int, a: Station) -> str:
    """Send to a guest that has asked for nothing; then it asks, and hears the answer first."""
    a.go_by(HOST)
    with within(world, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as stranger:
        stranger.sendto(b"stranger", (a.address, ECHO))
    a.say(WORLD, ECHO, b"q", own_port=ECHO + 1)
    return f"{a.hear()}"


def refusals(host: Host) -> list[str]:
    """Return what is refused: an address twice, and another user."""
    host.start_helper(f"{host.socket}-others", os.getuid() + 1)
    attempts: list[Callable[[], object]] = [
        lambda: process.claim_tap(host.socket, A),
        lambda: process.claim_tap(host.socket, Port(B.mac, A.address)),
        lambda: process.describe_network(f"{host.socket}-others"),
        lambda: process.claim_tap(f"{host.socket}-others", A),
        lambda: process.describe_network(f"{host.socket}-nobodys"),
    ]
    said = []
    for attempt in attempts:
        try:
            attempt()
        except BangerError as error:
            said.append(error.message)
    return said


def hostile_messages() -> Iterator[bytes]:
    """Yield requests of which none may be done."""
    chance = random.Random(8)
    valid = render_request(Verb.CLAIM, Port(A.mac, IPv4Address("10.77.5.5")))
    for size in range(LONGEST + 20):
        yield b"C" + chance.randbytes(size) if size != len(valid) - 1 else b""
    for mac in ("000000000000", "010000000000", "ffffffffffff", "030000000001", "00163e000001"):
        yield valid[:1] + bytes.fromhex(mac) + valid[7:]
    for address in ("10.77.0.0", HOST, "10.77.255.255", "10.78.0.5", "127.0.0.1", "0.0.0.0"):
        yield valid[:7] + socket.inet_aton(address)
    yield from (valid + b"\0", valid[:-1], b"D\0", b"R", b"C", b"", b"c" + valid[1:])
    for _ in range(500):
        yield bytes([chance.choice(b"QqZ\0\xff")]) + chance.randbytes(10)


def misuse(host: Host) -> list[str]:
    """Send what is no request; return the answers, and what has changed."""
    before, answers = host.look(), set()
    silent = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    silent.connect(host.socket)
    gone = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    gone.connect(host.socket)
    gone.close()
    silent.close()
    for message in hostile_messages():
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as side:
            side.connect(host.socket)
            socket.send_fds(side, [message], [0, 1] if len(message) % 2 else [])
            answers.add(side.recv(LONGEST).decode())
    assert process.describe_network(host.socket).network == NETWORK
    return [*sorted(answers), *(["something changed"] if host.look() != before else [])]


def claim(host: Host, port: Port) -> tuple[Station, int]:
    fd = process.claim_tap(host.socket, port)
    return Station(Queue(fd), port), fd


def replace(host: Host, fd: int) -> str:
    """Give an address to another VM, which has a MAC address of its own; return what it hears."""
    os.close(fd)
    process.release_tap(host.socket, A)
    process.release_tap(host.socket, A)
    later = Port("02:00:00:00:00:1a", A.address)
    station, _ = claim(host, later)
    station.go_by(HOST)
    return say_from_the_host(station)


def exhaust(a: Station, b: Station) -> list[str]:
    """Have a guest begin exchanges until one is refused; return what becomes of others then."""
    a.go_by(HOST)
    b.go_by(HOST)
    for own_port in range(20000, 20000 + 2 * nft.CONNECTIONS_MAX):
        found = [a.outcome(WORLD, UDP, ECHO, own_port=own_port)]
        if found != ["answered"]:
            break
    found += [a.outcome(HOST, UDP, DNS), a.outcome(WORLD, UDP, ECHO, own_port=20000)]
    return [*found, b.outcome(WORLD, UDP, ECHO)]


async def start_network(directory: Path, number: int) -> tuple[StartedNetwork, Station]:
    """Start a VM's network as the engine does; return its guest."""
    interface = KIND.plan_interface(VmId(f"{number:012x}"), number)
    network = await KIND.start(
        interface,
        attachment=AttachmentKind.SOCKET,
        egress=Egress(),
        log_file=directory / f"vm{number}" / "network.log",
        control=directory / f"control{number}",
    )
    port = Port(interface.mac, IPv4Address(interface.address))
    return network, Station(StreamLink(network.attachment.side), port)


async def pass_filter(host: Host, directory: Path) -> list[str]:
    """Return what becomes of the datagrams of a guest that has a policy."""
    network, guest = await start_network(directory, 77)
    guest.go_by(HOST)
    interface = network.handle.plan_interface(VmId(f"{77:012x}"))
    found = [guest.outcome(to, UDP, ECHO) for to in (WORLD, "192.168.3.4", HOST)]
    found += [say_from_the_host(guest), guest.outcome(HOST, TCP, DNS)]
    await network.handle.set_egress(interface, Egress(rules=(f"deny {WORLD}",)))
    found.append(guest.outcome(WORLD, UDP, ECHO))
    found += [denial.target for denial in await network.handle.read_denials(interface)]
    network.attachment.side.close()
    await wait_network_gone(network.handle)
    return found


def main(directory: Path) -> None:
    nft.CONNECTIONS_MAX = 200
    host = Host(directory)
    services = within(host.world, lambda: serve_datagrams(WORLD))
    names = within(host.world, lambda: serve_names(WORLD))
    links.ensure_bridge(NETWORK)
    links.ensure_bridge(NETWORK)
    host.start_helper(host.socket, os.getuid())
    (a, fd), (b, _) = (claim(host, port) for port in (A, B))
    a.go_by(HOST)
    answer = a.ask(WORLD, ECHO, b"q", wait_s=DEADLINE_S)
    found = {
        "outward": (answer or b"").decode(),
        "between": say_between(a, b),
        "from the host": say_from_the_host(a),
        "to the host": try_host(a),
        "spoofed": spoof(a, b),
        "from outside": come_from_outside(host.world, a),
        "names": ask_names(
            a,
            b,
            stranger=within(host.world, open_stranger),
            world=WORLD,
            restart_helper=host.restart_helper,
        ),
        "refused": refusals(host),
        "misused": misuse(host),
        "exhausted": exhaust(a, b),
        "replaced": replace(host, fd),
        "filtered": asyncio.run(pass_filter(host, directory)),
        "others' rules": "table ip somebodys" in host.look()[0],
    }
    links.remove_bridge()
    links.remove_bridge()
    found["left"] = [after for after in host.look() if after not in host.before]
    services.close()
    names.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
