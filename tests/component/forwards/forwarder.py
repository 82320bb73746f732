"""A process that does nothing but forward one port of a guest, so that its memory can be measured.

`python -m tests.component.forwards.forwarder AGENT ADDRESS PORT` says a line when the port is
there, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from banger.forwards import Endpoint, Forward, GuestPort, PortForwards
from banger.guest import GuestConnection
from tests.support.agent import agent_connection


async def forward(binary: Path, address: str, port: int) -> None:
    """Forward a port until stdin ends."""
    async with agent_connection(binary) as connection:

        async def connect() -> GuestConnection:
            return connection

        async with PortForwards(address, connect) as forwards:
            host = Endpoint(address, port)
            forwards.publish([Forward(host, GuestPort(port))])
            print(forwards.find_problem(host) or "open", flush=True)
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(forward(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
