"""A host, a world with a nameserver, and a guest of our own: what a policy by name lets through.

Run in `unshare --user --map-root-user --net --mount` as `by_name.py DIRECTORY`; the world and the
guest are this program in network namespaces of their own. The guest's card is of its kernel
(station.py). Prints what each attempt came to, as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from banger.host.attachments import AttachmentKind
from banger.host.identity import send_signal, wait_gone
from banger.model.egress import Egress, Profile, add_rules
from banger.network.dnswire import (
    Answer,
    Code,
    Record,
    Type,
    parse_query,
    render_answer,
    render_name,
)
from banger.network.egress.process import wait_network_gone
from banger.network.user.kind import NETWORK
from banger.network.user.process import UserNetworkHandle
from tests.component.network.attempts import (
    HOSTS,
    INTERFACE,
    LOOPBACK,
    METADATA,
    ONE,
    PRIVATE,
    RESOLVER,
    THREE,
    TWO,
    attempts,
    make_hello,
)
from tests.component.network.escapes import run
from tests.component.network.station import give_address, hand_over, make_devices

ZONE = {
    "one.example": [ONE],
    "two.example": [TWO],
    "a.wild.example": [ONE],
    "wild.example": [ONE],
    "private.example": [PRIVATE],
    "metadata.example": [METADATA],
    "loopback.example": [LOOPBACK],
    "unspecified.example": ["0.0.0.0"],
    "hosts.example": [HOSTS],
    "mixed.example": [PRIVATE, TWO],
    "alias.example": [PRIVATE],
    "xn--bcher-kva.example": [ONE],
}
PORTS = (22, 53, 80, 443, 8443)
ANSWER_S = 60.0
MANY = 100
CNAME = 5


def be_world() -> None:
    print("unshared", flush=True)
    sys.stdin.readline()
    run("ip link set lo up", "ip address add 192.0.2.1/24 dev up1", "ip link set up1 up")
    addresses = (RESOLVER, ONE, TWO, THREE, PRIVATE, METADATA)
    run(*(f"ip address add {address}/32 dev lo" for address in addresses))
    asyncio.run(serve_world())


async def serve_world() -> None:
    asked: list[str] = []
    loop = asyncio.get_running_loop()
    nameserver, _ = await loop.create_datagram_endpoint(
        lambda: Nameserver(asked), local_addr=(RESOLVER, 53)
    )
    for port in PORTS:
        await asyncio.start_server(tell_and_echo, "0.0.0.0", port)
    print("serves", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(asked), flush=True)
    nameserver.close()


class Nameserver(asyncio.DatagramProtocol):
    """Answers from ZONE, and notes what it was asked for."""

    def __init__(self, asked: list[str]) -> None:
        self.asked = asked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = parse_query(data)
        name = b".".join(query.name).decode()
        self.asked.append(name)
        found = ZONE.get(name)
        answer = Answer(Code.NAME_ERROR)
        if found is not None:
            records = [Record(Type.A, 0, socket.inet_aton(each)) for each in found]
            if name == "alias.example":
                private = (b"private", b"example")
                records = [Record(cast("Type", CNAME), 0, render_name(private))] + [
                    Record(each.type, 0, each.data, owner=private) for each in records
                ]
            answer = Answer(Code.NO_ERROR, tuple(records) if query.type == Type.A else ())
        self.transport.sendto(render_answer(query, answer), addr)


async def tell_and_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say which address was connected to, and send back what comes."""
    with contextlib.suppress(ConnectionError):
        address, port = writer.get_extra_info("sockname")
        first = await reader.read(65536) if port == 443 else b""
        writer.write((f"{address} ".encode() if first or port != 443 else b"") + first)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


def be_guest(side: int) -> None:
    """Do what each line of the input says."""
    vmm = socket.socket(fileno=side)
    make_devices()
    hand_over(vmm)
    give_address()
    kept: list[socket.socket] = []
    many: list[list[socket.socket]] = []
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        if what == "ask":
            result = ask(*arguments)
        elif what == "talk":
            result = talk(*arguments)
        elif what == "send":
            result = send(*arguments)
        elif what == "ping":
            result = ping(*arguments)
        elif what == "open":
            kept.append(connect(*arguments))
            result = "" if kept[-1].getpeername()[1] == 443 else kept[-1].recv(64).decode()
        elif what == "open many":
            many.append(open_many(*arguments))
            result = ""
        elif what == "more of many":
            more = bytes.fromhex(arguments[1])
            result = [exchange(side, more) for side in many[int(arguments[0])]]
        else:
            result = exchange(kept[int(arguments[0])], bytes.fromhex(arguments[1]))
        print(json.dumps(result), flush=True)
    vmm.close()  # the network ends with it


def ask(name: str, kind: int = 1, protocol: str = "udp") -> list[Any]:
    """Return how a query is answered: the code, and the addresses."""
    labels = render_name(label.encode() for label in name.split(".") if label)
    query = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!2H", kind, 1)
    with socket.socket(type=socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as to:
        to.settimeout(ANSWER_S)
        to.connect((INTERFACE.dns[0], 53))
        to.sendall(len(query).to_bytes(2, "big") + query if protocol == "tcp" else query)
        answer = to.recv(4096)
        if protocol == "tcp":
            while len(answer) < 2 + int.from_bytes(answer[:2], "big"):
                answer += to.recv(4096)
            answer = answer[2:]
    count = struct.unpack_from("!H", answer, 6)[0]
    at, found = len(query), []
    for _ in range(count):
        found.append(socket.inet_ntoa(answer[at + 12 : at + 16]))
        at += 16
    return [answer[3] & 15, found]


def find_address(to: str) -> str:
    """Return what a name stands for; an address for itself."""
    if to[-1].isdigit():
        return to
    (address,) = ask(to)[1]
    return str(address)


def connect(to: str, port: int) -> socket.socket:
    return socket.create_connection((find_address(to), port), timeout=ANSWER_S)


def open_many(to: str, port: int, count: int, hexadecimal: str) -> list[socket.socket]:
    """Connect that often, and have said and heard what comes first, in however many pieces."""
    opened, first = [connect(to, port) for _ in range(count)], bytes.fromhex(hexadecimal)
    for side in opened:
        side.sendall(first)
        with side.makefile("rb") as answer:
            assert answer.read(len(f"{ONE} ") + len(first)).endswith(first)
    return opened


def exchange(side: socket.socket, data: bytes) -> str:
    try:
        side.sendall(data)
        return side.recv(65536).decode("latin-1") or "ended"
    except OSError as error:
        return type(error).__name__


def talk(to: str, port: int, hexadecimal: str, pieces: int = 1) -> str:
    """Connect, send and return all that comes until the end, or what the failure is called."""
    data, received = bytes.fromhex(hexadecimal), b""
    try:
        with connect(to, port) as side:
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            size = -(-len(data) // pieces) or 1
            for at in range(0, len(data), size):
                side.sendall(data[at : at + size])
            with contextlib.suppress(OSError):  # it is reset already
                side.shutdown(socket.SHUT_WR)
            while piece := side.recv(65536):
                received += piece
    except (OSError, ValueError) as error:
        return f"{received.decode('latin-1')}{type(error).__name__}"
    return received.decode("latin-1")


def send(to: str, port: int, hexadecimal: str) -> str:
    """Send a datagram and return what comes back, or the error that it comes to."""
    with socket.socket(type=socket.SOCK_DGRAM) as side:
        side.settimeout(ANSWER_S)
        try:
            side.connect((find_address(to), port))
            side.send(bytes.fromhex(hexadecimal))
            return side.recv(65536).hex()
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, "nothing")


def ping(to: str) -> str:
    """Return the type and the code of what is answered to an ICMP echo."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as side:
        side.settimeout(ANSWER_S)
        side.sendto(struct.pack("!BBHHH", 8, 0, 0xF7FD, 1, 1), (find_address(to), 0))
        answer = side.recv(65536)
        return f"{answer[20]} {answer[21]}"


class Other:
    """A program in a namespace of its own, told what to do by lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin and process.stdout
        self.process, self._in, self._out = process, process.stdin, process.stdout

    def tell(self, line: str) -> str:
        self._in.write(line + "\n")
        self._in.flush()
        return self.read()

    def read(self) -> str:
        line = self._out.readline()
        assert line, "it has ended"
        return line.strip()

    def do(self, *what: Any) -> Any:
        return json.loads(self.tell(json.dumps(what)))


@contextlib.contextmanager
def other(*argv: str, pass_fds: tuple[int, ...] = (), program: str = __file__) -> Iterator[Other]:
    command = ["unshare", "--net", "--mount", sys.executable, program, *argv]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, pass_fds=pass_fds) as child:
        try:
            yield Other(child)
        finally:
            child.kill()


def make_host(directory: Path, world: Other) -> None:
    """An uplink to the world, its nameserver, and an /etc that can be changed."""
    etc = directory / "etc"
    etc.mkdir()
    for name in ("passwd", "ld.so.cache"):
        if Path("/etc", name).exists():
            shutil.copy(Path("/etc", name), etc)
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # where nobody answers
    (etc / "nsswitch.conf").write_text("hosts: files dns\n")
    assert world.read() == "unshared"
    run(
        "ip link set lo up",
        "ip link add up0 type veth peer name up1",
        f"ip address add {HOSTS}/24 dev up0",
        f"ip link set up1 netns {world.process.pid}",
        "ip link set up0 up",
        "ip route add default via 192.0.2.1",
        f"mount --bind {etc} /etc",
    )
    assert world.tell("go on") == "serves"


async def main(directory: Path) -> None:
    with other("world") as world:
        make_host(directory, world)
        servers = [await asyncio.start_server(tell_and_echo, "0.0.0.0", port) for port in PORTS]
        found = await try_all(directory)
        found["asked"] = json.loads(world.tell("what was asked for?"))
        for server in servers:
            server.close()
    print(json.dumps(found), flush=True)


def change_network(etc: Path) -> None:
    """Give the host another nameserver, in another file."""
    (etc / "new").write_text(f"nameserver {RESOLVER}\n")
    (etc / "new").rename(etc / "resolv.conf")


RULES = (
    *("allow one.example", "allow one.example:22", "deny no.wild.example"),
    *("allow *.wild.example:443", "allow XN--bcher-kva.example", "allow private.example"),
    *("allow metadata.example", "allow loopback.example", "allow unspecified.example"),
    *("allow hosts.example", "allow mixed.example", "allow alias.example", "allow gone.example"),
    *("allow 203.0.113.77:8443", "allow 203.0.113.99:8443", "allow host:8443"),
    *("allow 203.0.113.77:53", "allow one.example:53"),
)


async def try_all(directory: Path) -> dict[str, Any]:
    egress = Egress(profile=Profile.ALLOWLIST, rules=RULES)
    network = await NETWORK.start(
        INTERFACE,
        attachment=AttachmentKind.TAP,
        egress=egress,
        log_file=directory / "network.log",
        control=directory / "egress.sock",
    )
    side, handle = network.attachment.side, network.handle
    assert isinstance(handle, UserNetworkHandle)
    with other("guest", str(side.fileno()), pass_fds=(side.fileno(),)) as guest:
        side.close()
        change_network(directory / "etc")

        def do(*what: Any) -> Any:
            return asyncio.to_thread(guest.do, *what)

        found: dict[str, Any] = {}
        for label, attempt in attempts().items():
            found[label] = await do(*attempt)
        await try_changes(do, handle, egress, found)
        (synthetic,) = found["ask one"][1]
        denials = await handle.read_denials(INTERFACE)
        found["denials"] = [(each.target, each.is_outside, each.why) for each in denials]
        assert handle.proxy is not None
        send_signal(handle.proxy.process, signal.SIGKILL)
        await wait_gone(handle.proxy.process)
        for label, to, port in (("name", synthetic, 443), ("literal", THREE, 8443)):
            found[f"dead proxy, {label}"] = await do("talk", to, port, b"plain".hex())
    await wait_network_gone(handle)
    return found


async def try_changes(
    do: Any, handle: UserNetworkHandle, egress: Egress, found: dict[str, Any]
) -> None:
    """Change the policy under open connections."""
    for to, port in (("one.example", 22), (TWO, 8443), ("mixed.example", 443)):
        await do("open", to, port)
    await do("open many", "one.example", 22, MANY, "")
    await do("open many", "one.example", 443, MANY, make_hello("one.example").hex())
    more = b"more".hex()
    changed = add_rules(egress, ["deny one.example:22", "allow two.example:22", "allow host:53"])
    await handle.set_egress(INTERFACE, changed)
    found["open, denied"] = await do("more", 0, more)
    found["open, allowed"] = await do("more", 1, more)
    for index, label in enumerate(("many, denied", "many, allowed")):
        found[label] = await do("more of many", index, more)
    found["two at 22"] = await do("talk", "two.example", 22, b"plain".hex())
    found["host at 53"] = await do("talk", INTERFACE.gateway, 53, b"plain".hex())
    await handle.set_egress(INTERFACE, add_rules(changed, [f"deny {TWO}"]))
    found["open, denied then"] = await do("more", 1, more)
    found["silent, denied then"] = await do("more", 2, make_hello("mixed.example").hex())
    found["two, denied"] = await do("talk", "two.example", 22, b"plain".hex())


if __name__ == "__main__":
    if sys.argv[1] == "world":
        be_world()
    elif sys.argv[1] == "guest":
        be_guest(int(sys.argv[2]))
    else:
        asyncio.run(main(Path(sys.argv[1])))
    os._exit(0)
