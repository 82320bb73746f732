"""`vm port add/list/delete`: ports and sockets of VMs that the user publishes on this host."""

from __future__ import annotations

import contextlib
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.values import published_name, published_port
from banger.cli.commands.list import has_nothing
from banger.cli.commands.ports import format_host
from banger.cli.options.show import add_list_options
from banger.cli.options.targets import each_target
from banger.cli.terminal.output import Column, format_json, render_table, terminal_width
from banger.errors import VmNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import PublishedPort

COLUMNS = (
    Column("VM", least=8, is_vital=True),
    Column("PROTO", spare=1),
    Column("HOST", is_vital=True),
    Column("GUEST", least=9),
    Column("STATE"),
)
_ADD = """\
PORT is [ADDRESS:][HOST:]GUEST, followed by /udp for UDP. ADDRESS is an address
of this host (default: 127.0.0.1); 0.0.0.0 means all of them, which lets other
machines connect. HOST defaults to the guest's port number, or a higher one if
that is taken; the result is printed.

GUEST may be the path of a Unix socket in the guest (8080:/run/app.sock). HOST
may be the path of a Unix socket to create on this host, accessible only to you
(./app.sock:/run/app.sock or ./web.sock:80).

The port is published for as long as the VM exists, and open while the VM runs.
TCP ports need no publishing to be reached from this host: see banger vm ports."""


def _configure_add(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    parser.add_argument("port", metavar="PORT", type=published_port, help="such as 8080:80")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.text = _ADD


def _add(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        port = client.call("port.add", {"ref": arguments.ref, "port": arguments.port})
    if arguments.json:
        context.out(format_json(port))
    else:
        context.out(_name(port))
        if port["notice"]:
            context.say(port["notice"])
    return 0


def _configure_list(parser: Parser) -> None:
    parser.add_argument("ref", nargs="?", metavar="VM", help="default: all VMs")
    add_list_options(parser, what="places on the host")


def _list(arguments: Namespace, context: Context) -> int:
    ports = _load(arguments.ref, context)
    if arguments.json:
        context.out(format_json(ports))
    elif arguments.quiet:
        for port in ports:
            context.out(_name(port))
    else:
        context.out(render_table(COLUMNS, [_row(port) for port in ports], width=terminal_width()))
        for port in ports:
            if port["notice"]:
                context.say(port["notice"])
    return 0


def _load(ref: str | None, context: Context) -> list[PublishedPort]:
    if ref is None and has_nothing(context):
        return []
    with context.client() as client:
        if ref is not None:
            return client.call("port.list", {"ref": ref})
        ports: list[PublishedPort] = []
        for vm in client.call("vm.list", {"states": [], "labels": {}}):
            with contextlib.suppress(VmNotFound):  # deleted meanwhile
                ports.extend(client.call("port.list", {"ref": vm["id"]}))
    return ports


def _row(port: PublishedPort) -> list[str]:
    guest = str(port["guest_path"] or port["guest_port"])
    return [port["vm"], port["protocol"], format_host(port), guest, port["state"]]


def _name(port: PublishedPort) -> str:
    """Return what names a published port and no other."""
    return format_host(port) + ("/udp" if port["protocol"] == "udp" else "")


def _configure_delete(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    text = "[ADDRESS:]HOST[:GUEST][/udp] as in banger vm port list, or GUEST"
    parser.add_argument("ports", nargs="+", metavar="PORT", type=published_name, help=text)


def _delete(arguments: Namespace, context: Context) -> int:
    with context.client() as client:

        def act(text: str) -> None:
            port = client.call("port.remove", {"ref": arguments.ref, "port": text})
            context.say(f"{_name(port)} is no longer published")

        return each_target(arguments.ports, act, context)


COMMANDS = {
    "vm port add": (_configure_add, _add),
    "vm port list": (_configure_list, _list),
    "vm port delete": (_configure_delete, _delete),
}
