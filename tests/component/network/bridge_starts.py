"""What becomes of a bridge whose helper or daemon dies on the way, and whose rules others change.

Run as `bridge_starts.py DIRECTORY` where `bridge_host.py` is run; prints what was found as JSON.
Whoever is to die is a child of this program, and so are the egress filters that a dead one leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, NoReturn

from banger.errors import BangerError
from banger.host.attachments import Attachment, AttachmentKind, Tap
from banger.model.egress import Egress
from banger.model.names import VmId
from banger.network.bridge import links, netlink, process, server, tap
from banger.network.bridge.addresses import Port, address6
from banger.network.bridge.kind import NETWORK as KIND
from banger.network.bridge.nft import MOST_ELEMENTS, render_ports
from banger.network.egress.process import wait_network_gone
from banger.network.port import StartedNetwork
from banger.vmm.tap import find_tap_program, plan_tap
from tests.component.network.bridge_host import (
    DEADLINE_S,
    ECHO,
    HOST,
    IPV4,
    IS_TUN_OPEN,
    LIBC,
    NETWORK,
    TCP,
    UDP,
    WORLD,
    A,
    B,
    C,
    Host,
    Station,
    claim,
    run,
    say_between,
    say_from_the_host,
    serve_datagrams,
    start_network,
    within,
)
from tests.component.network.bridge_ipv6 import Speaker
from tests.component.network.frames import TapLink
from tests.component.network.tap_user import open_tap
from tests.support import ipv6

MANY = 20
SEGMENTS_VM, SEGMENTS_NUMBER = VmId("0123456789ab"), 99
SEGMENT = bytes(range(250)) * 20
WAIT_S = 30.0
FORWARD = "{ type filter hook forward priority 0 ; policy drop ; }"
FIREWALLS = (
    (),
    ("add table ip filter", f"add chain ip filter FORWARD {FORWARD}"),
    ("add chain ip filter DOCKER-USER", "add rule ip filter FORWARD jump DOCKER-USER"),
    (
        "add rule ip filter DOCKER-USER iifname banger0 accept",
        "add rule ip filter DOCKER-USER oifname banger0 ct state established,related accept",
    ),
)
"""What nft is told, step by step."""
BE_SUBREAPER = 36
TCP4, TCP6, DO_NOT_FRAGMENT = 1, 4, 0x4000
LONGEST_FRAME = 1514
Receive = Callable[[Host, Attachment, str], bytes]
STEPS = (
    "describe_network",
    "release_tap",
    "claim_tap",
    "start_egress_filter",
    "set_first_policy",
    "StartedNetwork",
)
"""Of a daemon that starts a VM's network, in this order."""


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def spawn(do: Callable[[], object]) -> int:
    """Have a child do something, on which it dies; return its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            do()
        finally:
            os._exit(1)
    return pid


def require_dead(pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "it went on"


def spawn_helper(host: Host, *, lives: int = sys.maxsize) -> int:
    """Start a helper, which dies when a request has it ask the kernel once more than `lives`."""
    listener = server.open_listener(host.socket, os.getuid())

    def serve() -> None:
        left = itertools.count(lives, -1)

        def dying(do: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args: do(*args) if next(left) > 0 else die()

        netlink.ask, socket.send_fds = dying(netlink.ask), dying(socket.send_fds)
        server.serve(listener, server.Served(os.getuid(), NETWORK, host.make_device))

    pid = spawn(serve)
    listener.close()
    return pid


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    require_dead(pid)


def list_ports() -> list[str]:
    return sorted(port.format() for port in links._find_ports())


def is_clean() -> bool:
    """Tell whether no port is left; a veth device outlives who has made it."""
    return not IS_TUN_OPEN or list_ports() == []


def kill_helpers(host: Host) -> list[str]:
    """Let a helper die at each of its steps; return what becomes of the VM that it was to serve."""
    found = []
    for lives in itertools.count():
        helper = spawn_helper(host, lives=lives)
        try:
            fd = tap._claim_again(A)
        except BangerError:
            require_dead(helper)
            found.append(give_to_another(host))
        else:
            os.close(fd)
            end(helper)
            return found
    raise AssertionError("it never lives long enough")


def give_to_another(host: Host) -> str:
    """Have the next helper give the address to a VM with another MAC address."""
    was_clean = is_clean()
    links.ensure_bridge(NETWORK)
    helper = spawn_helper(host)
    later = Port("02:00:00:00:00:1a", A.address)
    process.release_tap(host.socket, later)
    fd = process.claim_tap(host.socket, later)
    found = look_at_rules(host, later)
    os.close(fd)
    end(helper)
    return found if was_clean else "a port was left"


def look_at_rules(host: Host, port: Port) -> str:
    """Tell whether this port, and no other of its two addresses, may speak."""
    rules, own = host.look()[0], (str(port.address), f"{int(address6(port.address)):#x}")
    listed = ",".join(re.findall(r"elements = {(.*?)}", rules, re.DOTALL))
    known = [element.split(" . ") for element in listed.split(",")]
    said = [mac for _, mac, address in known if address.strip() in own]
    return "served" if said == [port.mac] * len(own) else f"{said}"


def kill_daemons(host: Host, directory: Path) -> list[str]:
    """Let a daemon die before each of its steps; return what becomes of the VM."""
    found = []
    for step in STEPS:
        require_dead(spawn(functools.partial(start_until, step, directory)))
        reap_filters()
        found.append(asyncio.run(start_again(host, directory)) if is_clean() else "a port was left")
    return found


async def start_again(host: Host, directory: Path) -> str:
    network, guest = await start_network(directory, 1)
    found = look_at_rules(host, Port(guest.mac.hex(":"), IPv4Address(guest.address)))
    await end_network(network)
    return found


async def end_network(network: StartedNetwork) -> None:
    network.attachment.side.close()
    await wait_network_gone(network.handle)


def start_until(step: str, directory: Path) -> None:
    def dead(*_: object, **__: object) -> NoReturn:
        die()

    assert hasattr(tap, step)
    setattr(tap, step, dead)
    asyncio.run(start_network(directory, 1))


def reap_filters() -> None:
    """Wait until what a dead daemon has left has ended."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


async def start_many(directory: Path, number: int) -> list[str]:
    """Start networks at once; return what their VMs hear."""
    numbers = range(1, 1 + number)
    started = await asyncio.gather(*(start_network(directory, each) for each in numbers))
    assert len({guest.address for _, guest in started}) == number
    for _, guest in started:
        guest.go_by(HOST)
    said = [say_from_the_host(guest) for _, guest in started]
    for network, _ in started:
        await end_network(network)
    return said


async def take_down(directory: Path) -> str:
    """Set a guest's device down and up; return what becomes of its datagrams."""
    network, guest = await start_network(directory, 1)
    guest.go_by(HOST)
    name = Port("", IPv4Address(guest.address)).name
    run(f"ip link set {name} down")
    guest.say(WORLD, ECHO, b"lost")
    denied = guest.outcome("192.168.3.4", UDP, ECHO)  # told when the one before was sent
    run(f"ip link set {name} up")
    # It may be a while until the bridge takes frames of the port.
    answers = (guest.ask(WORLD, ECHO, b"q", wait_s=0.5) for _ in range(int(2 * DEADLINE_S)))
    said = f"{denied}, {next(filter(None, answers)).decode()}"
    await end_network(network)
    return said


class Kept:
    """A link that keeps the last frame instead of sending it."""

    frame = b""

    def send(self, frame: bytes) -> None:
        self.frame = frame

    def receive(self, wait_s: float) -> bytes:
        raise TimeoutError


def be_guest(address: str, port: int) -> None:
    """Be a VMM whose guest connects to the world, and leaves it to its card to cut a segment."""
    tap, mac = open_tap(), KIND.plan_interface(SEGMENTS_VM, SEGMENTS_NUMBER).mac
    guest = Station(TapLink(tap), Port(mac, IPv4Address(address)))
    guest.go_by(HOST)
    own_port = guest._send_syn(WORLD, port)
    answer = next(f for f in guest.frames() if f[12:14] == IPV4 and f[23] == TCP)
    acknowledged = int.from_bytes(answer[38:42], "big") + 1
    head = struct.pack("!HHIIBBHHH", own_port, port, 1001, acknowledged, 5 << 4, 24, 65535, 0, 0)
    guest.link = kept = Kept()
    guest._send(WORLD, TCP, head + SEGMENT, checksum_at=16)
    frame = bytearray(kept.frame)
    begun = sum(struct.unpack("!4H", frame[26:34])) + TCP + len(head + SEGMENT)
    struct.pack_into("!H", frame, 50, begun % 0xFFFF)  # the card's to finish
    (checksum,) = struct.unpack_from("!H", frame, 24)
    struct.pack_into("!H", frame, 24, (checksum - DO_NOT_FRAGMENT) % 0xFFFF)
    struct.pack_into("!H", frame, 20, DO_NOT_FRAGMENT)
    os.write(tap, struct.pack("=BBHHHH", 1, TCP4, 54, 1400, 34, 16) + frame)
    signal.pause()


def be_guest6(address: str, to: IPv6Address) -> None:
    """The same by IPv6, to a neighbour that has not asked for it."""
    tap, mac = open_tap(), KIND.plan_interface(SEGMENTS_VM, SEGMENTS_NUMBER).mac
    guest = Speaker(Station(TapLink(tap), Port(mac, IPv4Address(address))))
    guest.go_by(to)
    frame = bytearray(guest.render(to, TCP, ipv6.render_segment(ECHO, flags=24, data=SEGMENT)))
    begun = sum(struct.unpack("!16H", frame[22:54])) + TCP + len(frame) - 54
    struct.pack_into("!H", frame, 70, begun % 0xFFFF)  # the card's to finish
    os.write(tap, struct.pack("=BBHHHH", 1, TCP6, 74, 1400, 54, 16) + frame)
    signal.pause()


async def send_segment(host: Host, directory: Path, receive: Receive) -> str:
    """Join a VMM by a TAP; return what arrives of its guest's segment."""
    interface = KIND.plan_interface(SEGMENTS_VM, SEGMENTS_NUMBER)
    network = await KIND.start(
        interface,
        attachment=AttachmentKind.TAP,
        egress=Egress(),
        log_file=directory / "segments" / "network.log",
        control=directory / "segments-control",
    )
    received = receive(host, network.attachment, interface.address)
    await wait_network_gone(network.handle)
    return "whole" if received == SEGMENT else f"{len(received)} bytes"


@contextlib.contextmanager
def guest_on_a_tap(tap: Attachment, *words: str) -> Iterator[None]:
    assert isinstance(tap, Tap)
    command = [*plan_tap(find_tap_program(), tap), sys.executable, __file__, *words]
    with subprocess.Popen(command, pass_fds=[tap.side.fileno()]) as vmm:
        tap.side.close()
        try:
            yield
        finally:
            vmm.kill()


def receive_segment6(host: Host, tap: Attachment, address: str) -> bytes:
    """Return what a neighbour gets of it, in frames as long as its network's."""
    station, fd = claim(host, C)
    neighbour, received = Speaker(station), b""
    with guest_on_a_tap(tap, "guest6", address, str(neighbour.own)):
        for frame in neighbour.packets():
            assert len(frame) <= LONGEST_FRAME and ipv6.sum_of_packet(frame[14:]) == 0
            received += frame[74:]
            if len(received) >= len(SEGMENT):
                break
    os.close(fd)
    return received


def receive_segment(host: Host, tap: Attachment, address: str) -> bytes:
    received = b""
    with within(host.world, lambda: socket.create_server((WORLD, 0))) as listener:
        with guest_on_a_tap(tap, "guest", address, str(listener.getsockname()[1])):
            listener.settimeout(DEADLINE_S)
            connection, _ = listener.accept()
            with connection, contextlib.suppress(TimeoutError):
                connection.settimeout(WAIT_S)
                while len(received) < len(SEGMENT):
                    received += connection.recv(len(SEGMENT))
    return received


def stand_behind_firewalls(host: Host) -> list[str]:
    """Have others' chains drop what is forwarded, and apply what `doctor` says of Docker's."""
    (station, fd), (other, other_fd), found = claim(host, C), claim(host, B), []
    for lines in FIREWALLS:
        run(*(f"nft {line}" for line in lines))
        found.append(process.find_firewall(host.socket).name)
    station.go_by(HOST)
    found.append((station.ask(WORLD, ECHO, b"q", wait_s=DEADLINE_S) or b"").decode())
    found.append(say_between(station, other))
    run("nft delete table ip filter")
    os.close(fd)
    os.close(other_fd)
    return found


def lose_rules(host: Host) -> list[str]:
    """Delete the helper's tables, and have a device that nobody knows; then claim as ever."""
    run("nft delete table bridge banger", "nft delete table ip banger")
    run("ip link add bng-ffff type veth peer name other")
    run("ip link set bng-ffff alias what master banger0")
    (station, fd), tables = claim(host, C), host.look()[0]
    station.go_by(HOST)
    os.close(fd)
    process.release_tap(host.socket, C)
    run("ip link delete bng-ffff")
    return [line for line in tables.splitlines() if line.startswith("table")]


def fill_rules(host: Host) -> int:
    """Have more ports than one message has room for; return how many may speak."""
    many = [Port(A.mac, NETWORK[number]) for number in range(2, 3 + MOST_ELEMENTS)]
    netlink.ask(netlink.NETFILTER, render_ports(many))
    return host.look()[0].count(f" . {A.mac} . ") // 2


def garble_rules(host: Host) -> str:
    """Have an nft that prints nothing; return what is said of it, if the helper goes on."""
    nft = shutil.which("nft", path=links.ENVIRONMENT["PATH"])
    run(f"mount --bind {shutil.which('true')} {nft}")
    try:
        process.find_firewall(host.socket)
    except BangerError as error:
        assert process.describe_network(host.socket).network == NETWORK
        return error.message
    finally:
        run(f"umount {nft}")
    return "nothing"


def main(directory: Path) -> None:
    LIBC.prctl(BE_SUBREAPER, 1, 0, 0, 0)
    host = Host(directory)
    services = within(host.world, lambda: serve_datagrams(WORLD))
    links.ensure_bridge(NETWORK)
    found: dict[str, object] = {"helpers": kill_helpers(host)}
    host.start_helper(host.socket, os.getuid())
    found["daemons"] = kill_daemons(host, directory)
    found["many"] = asyncio.run(start_many(directory, MANY))
    found["left"] = [] if is_clean() else list_ports()
    found["taken down"] = asyncio.run(take_down(directory))
    found["segments"] = [
        asyncio.run(send_segment(host, directory, receive))
        for receive in (receive_segment, receive_segment6)
        if IS_TUN_OPEN
    ]
    found["tables"] = lose_rules(host)
    found["ports"] = fill_rules(host)
    found["firewalls"] = stand_behind_firewalls(host)
    found["garbled"] = garble_rules(host)
    services.close()
    print(json.dumps(found))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["guest", address, port]:
            be_guest(address, int(port))
        case ["guest6", address, to]:
            be_guest6(address, IPv6Address(to))
        case [directory]:
            main(Path(directory))
