"""An SFTP server on standard input and output, as `sftp -D` starts one: that of an agent.

    python sftp_relay.py AGENT

Runs an agent of its own and passes the bytes between our descriptors and a session in it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from banger.guest import open_sftp
from tests.support.agent import agent_connection

DEADLINE_S = 20.0


async def relay(agent: Path) -> None:
    """Serve one session, until standard input and then the session end."""
    async with (
        agent_connection(agent) as connection,
        await open_sftp(connection, deadline_s=DEADLINE_S) as session,
    ):

        async def take() -> None:
            while data := await asyncio.to_thread(os.read, 0, 65536):
                await session.write(data)
            await session.write_eof()

        taker = asyncio.create_task(take())
        while data := await session.read():
            await asyncio.to_thread(write_all, data)
        await session.wait()
        await taker


def write_all(data: bytes) -> None:
    """Write to standard output."""
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    asyncio.run(relay(Path(sys.argv[1])))
