"""`vm stats`: the VMs' use of host resources: once, repeatedly, or over the last day."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator, Mapping

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.app.values import past_time_s
from banger.cli.commands.list import has_nothing
from banger.cli.options.refresh import print_each
from banger.cli.options.targets import each_target
from banger.cli.terminal.output import (
    Column,
    format_json,
    format_mib,
    render_table,
    terminal_width,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from banger.client import Client

INTERVAL_S = 0.5
FOLLOW_INTERVAL_S = 2.0
COLUMNS = (
    Column("NAME", least=8, is_vital=True),
    Column("STATE"),
    Column("CPU", is_number=True),
    Column("MEMORY", is_number=True),
    Column("PRIVATE", is_number=True),
    Column("SHARED", is_number=True, spare=2),
    Column("DISK", is_number=True),
    Column("AGENT", is_number=True, spare=1),
)
HISTORY_COLUMNS = (
    Column("SINCE"),
    Column("FOR", is_number=True),
    Column("CPU", is_number=True),
    Column("MEMORY", is_number=True),
    Column("PRIVATE", is_number=True),
    Column("DISK", is_number=True),
)
NOTHING: Mapping[str, Any] = {
    "interval_s": INTERVAL_S,
    "vms": [],
    "total": {
        "vms": 0,
        "cpu_percent": 0.0,
        "memory_bytes": 0,
        "private_bytes": 0,
        "shared_bytes": 0,
        "disk_allocated_bytes": 0,
    },
}


def _configure(parser: Parser) -> None:
    add = parser.add_argument
    add("refs", nargs="*", metavar="VM", help="VMs to show (default: all running and paused VMs)")
    add("-f", "--follow", action="store_true", help="refresh every 2 s until ctrl-C")
    add("--history", action="store_true", help="print a VM's usage over the last 24 hours")
    add(
        "--since",
        metavar="TIME",
        type=past_time_s,
        help="with --history: since then, such as 10m (ago) or 2026-11-29T12:00",
    )
    add("--json", action="store_true", help="print JSON; with --follow one line per refresh")
    parser.text = (
        f"CPU: percent of one core, over {INTERVAL_S:g} s ({FOLLOW_INTERVAL_S:g} s with -f).\n"
        "MEMORY: on the host. PRIVATE is used by this VM only; SHARED is also used by\n"
        "others, such as unchanged memory of a template. TOTAL counts it once.\n"
        "DISK: space used by the data disk, and its size. AGENT: its response time.\n"
        "\n"
        "--history: a sample every 10 s (stats_interval_s) of the last half hour, one per\n"
        "minute of the last 4 hours, one per 10 minutes before; since the daemon's start.\n"
        "CPU is the mean of the sample's time, memory its largest value."
    )


def _stats(arguments: Namespace, context: Context) -> int:
    if arguments.history:
        return _history(arguments, context)
    if arguments.since is not None:
        raise UsageError("--since needs --history.", hint="banger vm stats --history VM")
    if not arguments.refs and has_nothing(context):
        _print(NOTHING, arguments, context)
        return 0
    with context.client() as client:
        refs, status = None, 0
        if arguments.refs:
            refs, status = _find(client, arguments.refs, context)
        if arguments.follow and refs != []:
            tables = _follow(client, refs, as_json=arguments.json)
            print_each(tables, context, in_place=not arguments.json)
        _print(_ask(client, refs, INTERVAL_S), arguments, context)
    return status


def _history(arguments: Namespace, context: Context) -> int:
    if len(arguments.refs) != 1 or arguments.follow:
        raise UsageError(
            "--history needs one VM, and no --follow.", hint="banger vm stats --history VM"
        )
    with context.client() as client:
        params = {"ref": arguments.refs[0], "since": arguments.since}
        samples = client.call("vm.history", params)
    if arguments.json:
        context.out(format_json(samples))
    else:
        rows = [_sample_row(sample) for sample in samples]
        context.out(render_table(HISTORY_COLUMNS, rows, width=terminal_width()))
    return 0


def _sample_row(sample: Mapping[str, Any]) -> list[str]:
    begun = time.localtime(sample["ended_at"] - sample["interval_s"])
    return [
        time.strftime("%Y-%m-%d %H:%M:%S", begun),
        f"{sample['interval_s']:.0f}s",
        _percent(sample["cpu_percent"]),
        *(_size(sample[f"{kind}_bytes"]) for kind in ("resident", "private", "disk_allocated")),
    ]


def _find(client: Client, refs: list[str], context: Context) -> tuple[list[str], int]:
    """Return the IDs of the VMs found, and the exit status; print an error for each other."""
    ids: list[str] = []

    def find(ref: str) -> None:
        view = client.call("vm.show", {"ref": ref})
        ids.append(view["id"])

    status = each_target(refs, find, context)
    return ids, status


def _ask(client: Client, refs: list[str] | None, interval_s: float) -> Mapping[str, Any]:
    return client.call("vm.stats", {"refs": refs, "interval_s": interval_s})


def _follow(client: Client, refs: list[str] | None, *, as_json: bool) -> Iterator[str]:
    """Yield a table, or a line of JSON, for each interval."""
    interval_s = INTERVAL_S
    while True:
        stats = _ask(client, refs, interval_s)
        yield format_json(stats, indent=None) if as_json else _render(stats)
        interval_s = FOLLOW_INTERVAL_S


def _print(stats: Mapping[str, Any], arguments: Namespace, context: Context) -> None:
    if arguments.json:
        context.out(format_json(stats))
        return
    if stats["vms"] or not arguments.refs:
        context.out(_render(stats))
    for use in stats["vms"]:
        if use["notice"]:
            context.say(f"banger: {use['name']}: {use['notice']}")


def _render(stats: Mapping[str, Any]) -> str:
    rows = [_row(use) for use in stats["vms"]]
    if len(rows) > 1:
        rows.append(_total(stats["total"]))
    return render_table(COLUMNS, rows, width=terminal_width())


def _row(use: Mapping[str, Any]) -> list[str]:
    return [
        use["name"],
        use["state"],
        _percent(use["cpu_percent"]),
        *(_size(use[f"{kind}_bytes"]) for kind in ("resident", "private", "shared")),
        f"{_size(use['disk_allocated_bytes'])}/{_size(use['disk_bytes'])}",
        _answer(use),
    ]


def _total(total: Mapping[str, Any]) -> list[str]:
    return [
        "TOTAL",
        "",
        _percent(total["cpu_percent"]),
        *(_size(total[f"{kind}_bytes"]) for kind in ("memory", "private", "shared")),
        _size(total["disk_allocated_bytes"]),
        "",
    ]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}%"


def _size(value: int | None) -> str:
    return "-" if value is None else format_mib(round(value / 2**20))


def _answer(use: Mapping[str, Any]) -> str:
    if use["agent_ms"] is not None:
        return f"{use['agent_ms']:.1f} ms"
    return "silent" if use["state"] == "running" else "-"


COMMANDS = {"vm stats": (_configure, _stats)}
