"""`vm list`, `vm show`."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.app.values import label
from banger.cli.options.show import add_list_options, add_show_options, show_each
from banger.cli.terminal.output import (
    Column,
    format_age,
    format_json,
    format_mib,
    printable,
    render_table,
    terminal_width,
)
from banger.durations import format_duration

COLUMNS = (
    Column("ID"),
    Column("NAME", least=8, is_vital=True),
    Column("STATE"),
    Column("IMAGE", least=6, spare=6),
    Column("ADDRESS", spare=8),
    Column("VCPU", is_number=True, spare=4),
    Column("MEM", is_number=True, spare=5),
    Column("DISK", is_number=True, spare=3),
    Column("WORKSPACE", least=9, spare=2),
    Column("AGE", is_number=True, spare=7),
    Column("LINK", spare=1),
)

_TEXT = """\
ADDRESS is the VM's own on this host; the guest's ports appear there. LINK leads
to its web server. Columns that do not fit the terminal are left out: banger vm
ports lists the links of all ports."""

HEALTH = {"ok": "its agent answers", "no-answer": "its agent does not answer"}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

View = Mapping[str, "Any"]


def _configure_list(parser: Parser) -> None:
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="state=STATE",
        help="only VMs in this state; repeatable (any matches)",
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="K=V",
        type=label,
        help="only VMs with this label; repeatable (all must match)",
    )
    add_list_options(parser)
    parser.text = _TEXT


def _list(arguments: Namespace, context: Context) -> int:
    views = _load(arguments, context)
    if arguments.json:
        context.out(format_json(views))
    elif arguments.quiet:
        for view in views:
            context.out(str(view["id"]))
    else:
        now = time.time()
        rows = [_row(view, now=now) for view in views]
        context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


def _load(arguments: Namespace, context: Context) -> Sequence[View]:
    params: dict[str, object] = {
        "states": _states(arguments.filter),
        "labels": dict(arguments.label),
    }
    if has_nothing(context):
        return []
    with context.client() as client:
        return client.call("vm.list", params)


def has_nothing(context: Context) -> bool:
    """Tell whether banger was never used: a query must not start a daemon, which writes (B8)."""
    layout = context.layout
    return not (os.path.exists(layout.daemon_socket_name) or os.path.exists(layout.database_name))


def _states(filters: list[str]) -> list[str]:
    for text in filters:
        if not text.startswith("state=") or text == "state=":
            raise UsageError(f"{text!r} is not a filter.", hint="--filter state=running")
    return [text.removeprefix("state=") for text in filters]


def _row(view: View, *, now: float) -> list[str]:
    return [
        view["id"],
        view["name"],
        view["state"] + _remark(view, now=now),
        view["image"],
        view["address"] or "-",
        str(view["vcpu"]),
        format_mib(view["memory_mib"]),
        format_mib(view["disk_mib"]),
        (view["workspace"] or {}).get("guest_path", "-"),
        format_age(now - view["created_at"]),
        view["link"] or "-",
    ]


def _remark(view: View, *, now: float) -> str:
    """Return the most important remark to print beside the state."""
    if view["health"] == "no-answer":
        return " (silent)"
    return f" ({format_age(view['ends_at'] - now)} left)" if view["ends_at"] else ""


def _configure_show(parser: Parser) -> None:
    add_show_options(parser, what="VM", text="name, ID or unique prefix")


def _show(arguments: Namespace, context: Context) -> int:
    return show_each("vm.show", _describe, arguments, context)


def _describe_size(view: View) -> str:
    return (
        f"{view['vcpu']} vcpu, {format_mib(view['memory_mib'])} memory, "
        f"{format_mib(view['disk_mib'])} disk"
    )


def _describe_egress(egress: View) -> str:
    return ", ".join((*egress["rules"], egress["profile"]))


def _describe(view: View) -> str:
    workspace = view["workspace"]
    lines = {
        "name": view["name"],
        "id": view["id"],
        "state": view["state"] + (f": {view['error']}" if view["error"] else ""),
        "busy": view["busy"] and f"{view['busy']} ({view['operation']})",
        "image": f"{view['image']} ({view['image_digest'][:12]})",
        "kernel": view["kernel_digest"][:12],
        "size": _describe_size(view),
        "next boot": view["pending"]
        and f"{_describe_size(view['pending'])}, network {view['pending']['network']}",
        "driver": f"{view['driver']}/{view['accel']}",
        "network": view["network"],
        "egress": view["network"] != "none" and _describe_egress(view["egress"]),
        "secrets": " ".join(view["secrets"]),
        "address": view["address"],
        "link": view["link"],
        "guest ip": ", ".join(filter(None, (view["guest_address"], view["guest_address6"]))),
        "pid": view["pid"],
        "workspace": workspace and f"{workspace['guest_path']} from {workspace['host_path']}",
        "runs": " ".join(view["entrypoint"]),
        "health": view["health"] and HEALTH[view["health"]],
        "ends": _ends(view),
        "restart": view["restart"] if view["restart"] != "no" else None,
        "notice": view["notice"],
        "labels": " ".join(f"{key}={value}" for key, value in sorted(view["labels"].items())),
        "created": format_age(time.time() - view["created_at"]) + " ago",
    }
    return "\n".join(f"{k:<11}{printable(str(v))}" for k, v in lines.items() if v)


def _ends(view: View) -> str | None:
    """Describe when a VM will end by itself; empty if never."""
    rules = []
    if view["ttl_s"]:
        rules.append(f"{format_duration(view['ttl_s'])} after its start")
    if view["auto_stop_s"]:
        rules.append(f"when idle for {format_duration(view['auto_stop_s'])}")
    text = ", or ".join(rules)
    if view["ends_at"]:
        text += f": in {format_age(view['ends_at'] - time.time())} as things stand"
    return text


COMMANDS = {"vm list": (_configure_list, _list), "vm show": (_configure_show, _show)}
