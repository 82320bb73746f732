"""A program that is like Firecracker from outside: `python -m tests.support.firecracker`.

    --api-sock PATH     where it listens; there must be no file
    --id NAME           what it says it is
    --config-file PATH  a machine that it starts by itself
    --no-api            do not listen; needs a machine
    --log-path PATH     where its log goes instead of stdout
    --level LEVEL       taken; it logs nothing but why it ends
    --version           prints the version and ends
    --says VERSION      which version it is to be (1.12.1)
    --agent PATH        the agent that is its guest
    --instead PATH      what it answers instead, whatever it is asked, while the file is there

The last three are the tests' own; `program.write_program` makes a file of it that takes the others.
It ends with status 0 when its guest has reset, and as the real one does when it cannot start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.firecracker.faults import Refused
from tests.support.firecracker.machine import Machine
from tests.support.firecracker.wire import say, serve

VERSION = "1.12.1"


def main(words: Sequence[str]) -> int:
    """Run the program; return its exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--api-sock", default="/run/firecracker.socket")
    parser.add_argument("--id", default="anonymous-instance")
    parser.add_argument("--config-file")
    parser.add_argument("--no-api", action="store_true")
    parser.add_argument("--log-path")
    parser.add_argument("--level")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--says", default=VERSION)
    parser.add_argument("--agent", default="/bin/false")
    parser.add_argument("--instead", type=Path, default=Path("/nonexistent"))
    arguments = parser.parse_args(words)
    if arguments.version:
        print(f"Firecracker v{arguments.says}\n")
        return 0
    machine = Machine(version=arguments.says, name=arguments.id, agent=arguments.agent)
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


async def _run(machine: Machine, arguments: argparse.Namespace) -> int:
    ready = asyncio.Event()

    async def answer(method: str, path: str, body: bytes) -> tuple[int, bytes | None]:
        await ready.wait()  # nothing is answered before a configured machine runs
        return await machine.answer(method, path, body)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if arguments.instead.exists():
            await say(reader, writer, arguments.instead.read_bytes())
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


def run(words: Sequence[str]) -> None:
    """Be the program; ends the process."""
    status = main(words)
    sys.stdout.flush()
    # At once, whatever is under way: the real one does not wait for its clients either.
    os._exit(status)


if __name__ == "__main__":
    run(sys.argv[1:])
