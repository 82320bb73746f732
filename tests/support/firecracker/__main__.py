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
    --description PATH  the description of its API, marshalled

The last four are the tests' own; `program.write_program` makes a file of it that takes the others.
It ends with status 0 when its guest has reset, and as the real one does when it cannot start.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

VERSION = "1.12.1"
_ARGUMENTS = slice(47, 49)
"""In /proc/self/stat, from field 1: where the arguments are (proc_pid_stat(5))."""


def run(words: Sequence[str]) -> None:
    """Be the program; ends the process."""
    status = main(words)
    sys.stdout.flush()
    # At once, whatever is under way: the real one does not wait for its clients either.
    os._exit(status)


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
    parser.add_argument("--instead", default="/nonexistent")
    parser.add_argument("--description")
    arguments = parser.parse_args(words)
    if arguments.version:
        print(f"Firecracker v{arguments.says}\n")
        return 0
    # asyncio does without TLS, whose import is a tenth of a start.
    sys.modules["ssl"] = None  # type: ignore[assignment]  # makes its import fail
    from tests.support.firecracker.server import serve_machine

    return serve_machine(arguments)


def take_name(words: Sequence[str]) -> None:
    """Have `ps` show these words as the command, and no interpreter before them.

    By them the product finds what has no record. They are shorter than what is there.
    """
    with open("/proc/self/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    start, end = map(int, (["", "", *fields])[_ARGUMENTS])
    text = b"\0".join(word.encode() for word in words) + b"\0"
    assert len(text) <= end - start
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(start)
        memory.write(text.ljust(end - start, b"\0"))


if __name__ == "__main__":
    run(sys.argv[1:])
