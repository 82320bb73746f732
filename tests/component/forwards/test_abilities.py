"""Whether a guest's agent can carry what is published: asked once, unnoticed by the guest."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from banger.forwards import (
    Endpoint,
    Forward,
    GuestPort,
    GuestSocket,
    PortForwards,
    SocketPath,
)
from banger.guest import GuestConnection
from banger.guest.codec import FrameType
from tests.component.guest.scripted import Agent, play, refusal
from tests.support.agent import agent_connection
from tests.support.loopbacks import free_udp_port, own_address

ADDRESS = own_address()
UDP = Endpoint(ADDRESS, free_udp_port(), "udp")


def test_an_older_agent_is_told_of_where_its_ports_are_listed(short_dir: Path) -> None:
    """H6, I3: what is published and leads nowhere says so, and what would help."""
    path = SocketPath(str(short_dir / "s"))
    asked = 0

    async def script(agent: Agent) -> None:
        nonlocal asked
        await agent.greet()
        for number in (1, 2):
            heard = await agent.hear(FrameType.OPEN)
            assert heard.stream == number
            agent.say(refusal(number, b"bad-request"))
            asked += 1

    async def body(connection: GuestConnection) -> None:
        async def connect() -> GuestConnection:
            return connection

        async with PortForwards(ADDRESS, connect) as forwards:
            forwards.publish([Forward(UDP, GuestPort(53, "udp")), Forward(path, GuestSocket("/x"))])
            for _ in range(2):
                found = [await forwards.find_lack(host) for host in (UDP, path)]
                assert [str(each) for each in found] == [
                    "Until it is restarted, the VM runs the agent of an older banger, which cannot "
                    f"{what}."
                    for what in ("relay UDP", "connect to Unix sockets")
                ]
            assert await forwards.find_lack(SocketPath("/not/open")) is None

    play(script, body)
    assert asked == 2


def test_the_present_agent_lacks_nothing(agent_binary: Path, short_dir: Path) -> None:
    """And no server in the guest gets anything to see."""
    path, tcp = SocketPath(str(short_dir / "s")), SocketPath(str(short_dir / "t"))

    async def work() -> None:
        async with agent_connection(agent_binary) as connection:

            async def connect() -> GuestConnection:
                return connection

            with socket.socket(socket.AF_UNIX) as server:
                server.setblocking(False)
                server.bind(str(short_dir / "app"))
                server.listen()
                async with PortForwards(ADDRESS, connect) as forwards:
                    forwards.publish(
                        [
                            Forward(UDP, GuestPort(53, "udp")),
                            Forward(path, GuestSocket(str(short_dir / "app"))),
                            Forward(tcp, GuestPort(80)),
                        ]
                    )
                    for host in (UDP, path, tcp):
                        assert await forwards.find_lack(host) is None
                try:
                    server.accept()
                except BlockingIOError:
                    return
                raise AssertionError("the server has a client")

    asyncio.run(work())
