"""`vm logs`, and how bytes from a guest are shown on a terminal."""

from __future__ import annotations

import contextlib
import os
import re
from argparse import Namespace

from banger.cli.context import Context
from banger.cli.parser import Parser
from banger.cli.values import line_count
from banger.client.relay import Relay
from banger.client.stream import ClientStream

_SEQUENCES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_STEERING = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


def _configure(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, id, or the beginning of either")
    parser.add_argument("-f", "--follow", action="store_true", help="print what is added, too")
    parser.add_argument(
        "-n", "--tail", metavar="N", type=line_count, help="only the last N lines of what is there"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--console", dest="log", action="store_const", const="console", help="the serial console"
    )
    which.add_argument("--vmm", dest="log", action="store_const", const="vmm", help="the VMM's own")
    parser.set_defaults(log="console")
    parser.text = "On a terminal, sequences that would steer it are left out."


def _logs(arguments: Namespace, context: Context) -> int:
    params = {"ref": arguments.ref, "log": arguments.log, "follow": arguments.follow}
    if arguments.tail is not None:
        params["tail"] = arguments.tail
    with context.client() as client:
        stream = client.stream("vm.logs", params)
    with contextlib.closing(stream):
        copy_out(stream)
    return 0


def copy_out(stream: ClientStream) -> None:
    """Copy a stream to stdout: byte by byte, or made harmless when that is a terminal."""
    if not os.isatty(1):
        Relay(stream, stdin=None).run()
        return
    line = b""
    for _, data in stream:
        # Whole lines only, so that no sequence is cut in two.
        *lines, line = (line + data).split(b"\n")
        _write_all(b"".join(harmless(one) + b"\n" for one in lines))
    _write_all(harmless(line))


def harmless(line: bytes) -> bytes:
    """Return a line without what could steer a terminal (hazard E3)."""
    return _STEERING.sub(b"", _SEQUENCES.sub(b"", line.rstrip(b"\r")))


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


COMMANDS = {"vm logs": (_configure, _logs)}
