"""A host and a world of our own, in two network namespaces, and what a guest reaches of them.

Run in `unshare --user --map-root-user --net --mount` as `escapes.py DIRECTORY BACK-END POLICY N M`;
POLICY is JSON of a `model.egress.Egress`. Every address of both has the same services. Prints
which of ATTEMPTS were reached, before and after the host got another address, as JSON; N and M
are how many are expected.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from banger.host import programs
from banger.host.attachments import AttachmentKind
from banger.model.egress import Egress
from banger.model.names import VmId
from banger.network.egress.process import wait_network_gone
from banger.network.user import process
from banger.network.user.kind import NETWORK
from banger.network.user.tools import PASST
from tests.component.network.frames import Guest, StreamLink

PUBLIC = ("203.0.113.5", "203.0.113.77", "198.51.100.200")
PRIVATE = (
    "10.0.0.1 10.0.2.3 10.0.2.16 10.1.2.3 10.255.255.254 100.64.0.1 100.127.255.254 "
    "169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.254 192.0.0.8 192.168.0.1 192.168.255.254 "
    "198.18.0.1 198.19.255.254"
).split()
OWN = ("192.0.2.2", "198.51.100.7", "203.0.113.130", "203.0.113.255")
"""The host's: of its uplink, of another interface, and two of a network that is all its own."""
BROADCASTS = ("192.0.2.255", "192.0.2.0", "255.255.255.255")
SELF = ("127.0.0.1", "127.0.0.53", "127.77.3.4", "127.255.255.254", "0.0.0.0", "0.1.2.3")
MULTICAST = ("224.0.0.1", "224.0.0.251", "239.255.255.250", "240.0.0.1", "255.255.255.254")
ROUTER, GATEWAY, LATER = "192.0.2.1", "10.0.2.2", "203.0.113.77"
ATTEMPTS = (
    *(*PUBLIC, *PRIVATE, *OWN, *BROADCASTS, *SELF, *MULTICAST),
    *(ROUTER, GATEWAY, "10.0.2.15"),
)
PORT = 8000
IP_PKTINFO = 8
"""<linux/in.h>"""


def run(*commands: str) -> None:
    for command in commands:
        programs.run_sync(command.split(), deadline_s=10)


def make_host() -> None:
    run(
        "ip link set lo up",
        "ip link add up0 type veth peer name up1",
        "ip address add 192.0.2.2/24 dev up0",
        "ip link add other type veth peer name far",
        "ip address add 198.51.100.7/32 dev other",
        "ip link set other up",
        "ip route add local 203.0.113.128/25 dev lo",
    )


@contextlib.contextmanager
def world() -> Iterator[None]:
    """A router with the public and private addresses behind it, in a namespace of its own."""
    outside = subprocess.Popen(
        ["unshare", "--net", sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert outside.stdin and outside.stdout
    try:
        assert outside.stdout.readline() == b"unshared\n"
        run(
            f"ip link set up1 netns {outside.pid}",
            "ip link set up0 up",
            "ip route add default via 192.0.2.1",
        )
        outside.stdin.write(b"go on\n")
        outside.stdin.flush()
        assert outside.stdout.readline() == b"serves\n"
        yield
    finally:
        outside.kill()
        outside.wait()


def be_world() -> None:
    print("unshared", flush=True)
    sys.stdin.readline()
    run("ip link set lo up", "ip address add 192.0.2.1/24 dev up1", "ip link set up1 up")
    run(*(f"ip address add {address}/32 dev lo" for address in (*PUBLIC, *PRIVATE)))
    with services():
        print("serves", flush=True)
        sys.stdin.readline()


@contextlib.contextmanager
def services() -> Iterator[None]:
    """A TCP and a UDP service on every address; the UDP one answers."""
    with (
        socket.create_server(("0.0.0.0", PORT), backlog=256),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo,
    ):
        echo.bind(("0.0.0.0", PORT))
        echo.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)

        def answer() -> None:
            while True:
                # What it was sent to comes with it, and goes back as what it is from.
                data, asked, _, client = echo.recvmsg(2048, 256)
                with contextlib.suppress(OSError):
                    echo.sendmsg([data], asked, 0, client)

        threading.Thread(target=answer, daemon=True).start()
        yield


async def main(directory: Path, egress: Egress, enough: list[int]) -> None:
    interface = NETWORK.plan_interface(VmId("0123456789ab"))
    make_host()
    with world(), services():
        network = await NETWORK.start(
            interface,
            attachment=AttachmentKind.SOCKET,
            egress=egress,
            log_file=directory / "network.log",
            control=directory / "control",
        )
        guest = Guest(StreamLink(network.attachment.side), interface)
        before = await asyncio.to_thread(try_all, guest, ATTEMPTS, enough[0])
        run(f"ip address add {LATER}/32 dev other")
        after = await asyncio.to_thread(try_all, guest, (LATER, PUBLIC[0]), enough[1])
        print(json.dumps([before, after]), flush=True)
        network.attachment.side.close()
        await wait_network_gone(network.handle)


def try_all(guest: Guest, addresses: Sequence[str], enough: int) -> list[str]:
    return guest.find_reached(
        addresses, tcp=PORT, udp=PORT, wait_s=20 if enough else 2, enough=enough
    )


if __name__ == "__main__":
    if len(sys.argv) == 1:
        be_world()
    else:
        directory, back_end, policy, *enough = sys.argv[1:]
        if back_end == PASST:
            process.SLIRP = "not-installed"
        egress = msgspec.json.decode(policy, type=Egress)
        asyncio.run(main(Path(directory), egress, [int(word) for word in enough]))
    os._exit(0)  # a thread waits for datagrams
