"""A host of our own, in a network namespace: what a guest sees of its nameserver.

Run in `unshare --user --map-root-user --net --mount`. The host's resolver listens
on loopback only, as systemd-resolved does. Prints what the guest was answered.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from pathlib import Path

from banger.host import programs
from banger.host.attachments import AttachmentKind
from banger.model.egress import Egress
from banger.model.names import VmId
from banger.network.egress.process import wait_network_gone
from banger.network.user.kind import NETWORK
from tests.component.network.frames import Guest, StreamLink

RESOLVER, OTHER_PORT = "127.0.0.53", 54


def make_host(directory: Path) -> None:
    """An uplink with a default route, and a resolver on loopback."""
    configuration = directory / "resolv.conf"
    configuration.write_text(f"nameserver {RESOLVER}\n")
    for command in (
        "ip link set lo up",
        "ip link add up0 type veth peer name up1",
        "ip address add 192.0.2.2/24 dev up0",
        "ip link set up0 up",
        "ip link set up1 up",
        "ip route add default via 192.0.2.1",
        f"mount --bind {configuration} /etc/resolv.conf",
    ):
        programs.run_sync(command.split(), deadline_s=10)


def serve(port: int) -> None:
    """Answer queries on a port of the resolver's address."""
    resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    resolver.bind((RESOLVER, port))
    threading.Thread(target=_answer, args=(resolver,), daemon=True).start()


def _answer(resolver: socket.socket) -> None:
    while True:
        query, client = resolver.recvfrom(2048)
        resolver.sendto(b"answer to " + query, client)


async def main(directory: Path) -> None:
    make_host(directory)
    for port in (53, OTHER_PORT):
        serve(port)
    interface = NETWORK.plan_interface(VmId("0123456789ab"))
    network = await NETWORK.start(
        interface,
        attachment=AttachmentKind.SOCKET,
        egress=Egress(),
        log_file=directory / "network.log",
        control=directory / "control",
    )
    guest = Guest(StreamLink(network.attachment.side), interface)
    asked = [(interface.dns[0], 53), (interface.dns[0], OTHER_PORT), (RESOLVER, 53)]
    for nameserver, port in asked:
        answer = await asyncio.to_thread(guest.ask, nameserver, port, b"query", wait_s=2)
        sys.stdout.write(f"{nameserver} {port} {answer!r}\n")
    network.attachment.side.close()
    await wait_network_gone(network.handle)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
