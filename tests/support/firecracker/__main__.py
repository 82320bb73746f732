"""A program that is like Firecracker from outside: `python -m tests.support.firecracker`.

    --api-sock PATH  where it listens; there must be no file
    --id NAME        what it says it is
    --version        prints the version and ends
    --says VERSION   which version it is to be (1.12.1)
    --agent PATH     the agent that is its guest

The last two are the tests' own; `program.write_program` makes a file of it that takes the others.
It ends with status 0 when its guest has reset, and 1 after a restore that failed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from tests.support.firecracker.machine import Machine
from tests.support.firecracker.wire import serve

VERSION = "1.12.1"


def main(words: Sequence[str]) -> int:
    """Run the program; return its exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--api-sock", default="/run/firecracker.socket")
    parser.add_argument("--id", default="anonymous-instance")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--says", default=VERSION)
    parser.add_argument("--agent", default="/bin/false")
    arguments = parser.parse_args(words)
    if arguments.version:
        print(f"Firecracker v{arguments.says}\n")
        return 0
    machine = Machine(version=arguments.says, name=arguments.id, agent=arguments.agent)
    return asyncio.run(_run(machine, arguments.api_sock))


async def _run(machine: Machine, path: str) -> int:
    if os.path.lexists(path):
        print(f"Error: the API socket {path} is there already", file=sys.stderr)
        return 1

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer, machine.answer)

    server = await asyncio.start_unix_server(converse, path)
    await machine.ended.wait()
    # The last answer is out: it is written before the task that handled the request waits again.
    # The socket's file stays, as the real one's does.
    assert server.is_serving()
    return machine.status


def run(words: Sequence[str]) -> None:
    """Be the program; ends the process."""
    status = main(words)
    sys.stdout.flush()
    # At once, whatever is under way: the real one does not wait for its clients either.
    os._exit(status)


if __name__ == "__main__":
    run(sys.argv[1:])
