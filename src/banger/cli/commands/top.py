"""`vm top`: what runs in a VM."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.options.refresh import print_each
from banger.cli.terminal.output import (
    Column,
    format_json,
    format_mib,
    render_table,
    terminal_width,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import GuestProcess
    from banger.client import Client

INTERVAL_S = 2.0
COLUMNS = (
    Column("PID", is_number=True),
    Column("USER", least=4, spare=2),
    Column("STATE", spare=1),
    Column("CPU", is_number=True),
    Column("MEMORY", is_number=True),
    Column("TIME", is_number=True),
    Column("COMMAND", least=16, is_vital=True),
)


def _configure(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", metavar="VM", help="name, ID or unique prefix")
    add("-a", "--all", action="store_true", help="also show threads of the guest's kernel")
    add("-f", "--follow", action="store_true", help="refresh every 2 s until ctrl-C")
    add("--json", action="store_true", help="print JSON; with --follow one line per refresh")
    parser.text = (
        "The VM's agent lists its processes; the image needs no ps.\n"
        "\n"
        "CPU: percent of one of the VM's CPUs since the start of the process; with -f\n"
        "since the last refresh, the busiest first. TIME: its CPU time in all."
    )


def _top(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        if arguments.follow:
            tables = _follow(client, arguments)
            print_each(tables, context, in_place=not arguments.json)
        found = _list(client, arguments)
    context.out(format_json(found) if arguments.json else _render(found))
    return 0


def _list(client: Client, arguments: Namespace) -> list[GuestProcess]:
    found = client.call("vm.processes", {"ref": arguments.ref})
    return [each for each in found if arguments.all or not each["of_kernel"]]


def _follow(client: Client, arguments: Namespace) -> Iterator[str]:
    """Yield a table, or a line of JSON, for each interval."""
    before, at = _list(client, arguments), time.monotonic()
    while True:
        time.sleep(INTERVAL_S)
        now, seconds = _list(client, arguments), time.monotonic() - at
        at += seconds
        for process, percent in zip(now, _compare(before, now, seconds), strict=True):
            process["cpu_percent"] = percent
        before = now
        if arguments.json:
            yield format_json(now, indent=None)
        else:
            busiest = sorted(now, key=lambda each: -each["cpu_percent"])
            yield _render(busiest[: _rows()])


def _compare(
    before: Sequence[GuestProcess], now: Sequence[GuestProcess], seconds: float
) -> Iterator[float]:
    """Yield the processor time of each process since before, in percent."""
    used_s = {each["pid"]: each["cpu_s"] for each in before}
    for each in now:
        # A pid that another process has meanwhile may have used less.
        yield round(100 * max(each["cpu_s"] - used_s.get(each["pid"], 0.0), 0.0) / seconds, 1)


def _rows() -> int | None:
    """Return how many rows fit the terminal below the heading; None: no terminal."""
    if not sys.stdout.isatty():
        return None
    return max(os.get_terminal_size(sys.stdout.fileno()).lines - 2, 1)


def _render(processes: Sequence[GuestProcess]) -> str:
    rows = [
        [
            str(each["pid"]),
            each["user"],
            each["state"],
            f"{each['cpu_percent']:.1f}%",
            format_mib(round(each["resident_bytes"] / 2**20)),
            _format_time(each["cpu_s"]),
            each["command"],
        ]
        for each in processes
    ]
    return render_table(COLUMNS, rows, width=terminal_width())


def _format_time(cpu_s: float) -> str:
    """Return `0:07`, `12:34`, `1:02:03`, as ps."""
    minutes, seconds = divmod(int(cpu_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


COMMANDS = {"vm top": (_configure, _top)}
