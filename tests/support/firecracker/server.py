"""The stand-in's life: a machine, and the socket where it is asked."""

from __future__ import annotations

import asyncio
import json
import marshal
import os
from argparse import Namespace
from pathlib import Path

from tests.support.firecracker.description import Description
from tests.support.firecracker.faults import Refused
from tests.support.firecracker.machine import Machine
from tests.support.firecracker.wire import say, serve


def serve_machine(arguments: Namespace) -> int:
    """Be a machine until its end; return the program's exit status."""
    description = Description(marshal.loads(Path(arguments.description).read_bytes()))
    machine = Machine(
        version=arguments.says,
        name=arguments.id,
        agent=arguments.agent,
        description=description,
    )
    try:
        return asyncio.run(_run(machine, arguments))
    except CannotStart as error:
        with open(arguments.log_path or "/dev/stderr", "a") as log:
            print(f"Error: {error}", file=log)
        return error.status


class CannotStart(Exception):
    """Why the program ends, and with which status."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


async def _run(machine: Machine, arguments: Namespace) -> int:
    ready, instead = asyncio.Event(), Path(arguments.instead)

    async def answer(method: str, path: str, body: bytes) -> tuple[int, bytes | None]:
        await ready.wait()  # nothing is answered before a configured machine runs
        return await machine.answer(method, path, body)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if instead.exists():
            await say(reader, writer, instead.read_bytes())
        else:
            await serve(reader, writer, answer)

    servers = []
    if not arguments.no_api:
        if os.path.lexists(arguments.api_sock):
            raise CannotStart(f"the API socket {arguments.api_sock} is there already", 1)
        servers.append(await asyncio.start_unix_server(converse, arguments.api_sock))
    if arguments.config_file is not None:
        try:
            await machine.start_from(json.loads(Path(arguments.config_file).read_bytes()))
        except Refused as error:
            raise CannotStart(str(error), 1) from error
    ready.set()
    await machine.ended.wait()
    # The last answer is out: it is written before the task that handled the request waits again.
    # The socket's file stays, as the real one's does.
    return machine.status
