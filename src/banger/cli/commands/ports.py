"""`vm ports`: listening sockets in VMs, and where they appear on the host."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.commands.list import has_nothing
from banger.cli.options.targets import each_target
from banger.cli.terminal.output import Column, format_json, render_table, terminal_width
from banger.errors import VmNotFound, WrongState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import Listener

COLUMNS = (
    Column("VM", least=8, is_vital=True),
    Column("PROTO", spare=1),
    Column("GUEST", least=15),
    Column("HOST", is_vital=True),
    Column("STATE"),
    Column("LINK", spare=2),
)
_TEXT = """\
Within a second, each TCP port that a guest listens on appears at the VM's own
address on this host (HOST) under the same number. Ports below 1024 appear 10000
higher if the host reserves them for root. GUEST is the guest's own address;
0.0.0.0 and [::] mean all of its addresses. Published ports (banger vm port
list) come last, without a guest address.

LINK is for browsers, curl and other HTTP clients: HTTP/1.1, WebSocket,
server-sent events and h2c. http://NAME.localhost:7780/ leads to the VM's lowest
port, well-known ports of other protocols excepted."""


def _configure(parser: Parser) -> None:
    parser.add_argument("refs", nargs="*", metavar="VM", help="default: all running VMs")
    parser.add_argument("--json", action="store_true", help="print JSON (an array)")
    parser.text = _TEXT


def _ports(arguments: Namespace, context: Context) -> int:
    found: list[Listener] = []
    status = 0
    if arguments.refs or not has_nothing(context):
        found, status = _load(arguments.refs, context)
    if arguments.json:
        context.out(format_json(found))
    elif found or not status:
        context.out(render_table(COLUMNS, [_row(each) for each in found], width=terminal_width()))
        for notice in dict.fromkeys(str(each["notice"]) for each in found if each["notice"]):
            context.say(notice)
    return status


def _load(refs: list[str], context: Context) -> tuple[list[Listener], int]:
    found: list[Listener] = []
    with context.client() as client:

        def look(ref: str) -> None:
            found.extend(client.call("vm.ports", {"ref": ref}))

        if refs:
            return found, each_target(refs, look, context)
        running = client.call("vm.list", {"states": ["running"], "labels": {}})
        # A VM that stops meanwhile has no ports.
        gone = (VmNotFound, WrongState)
        return found, each_target([vm["id"] for vm in running], look, context, passed_over=gone)


def _row(listener: Mapping[str, object]) -> list[str]:
    return [
        str(listener["vm"]),
        str(listener["protocol"]),
        _format_guest(listener),
        format_host(listener),
        str(listener["state"]),
        str(listener["link"] or "-"),
    ]


def _format_guest(listener: Mapping[str, object]) -> str:
    if listener["is_published"]:
        return str(listener["path"] or listener["port"])
    return format_endpoint(listener["address"], listener["port"])


def format_host(entry: Mapping[str, object]) -> str:
    """Return where a port or a socket appears on the host; `-` where it does not."""
    path = entry["host_path"]
    return str(path) if path else format_endpoint(entry["host_address"], entry["host_port"])


def format_endpoint(address: object, port: object) -> str:
    """Return an address and a port as one word; `-` where there is none."""
    if address is None:
        return "-"
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


COMMANDS = {"vm ports": (_configure, _ports)}
