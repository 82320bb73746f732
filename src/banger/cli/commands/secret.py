"""`secret set/list/delete`: values that requests of VMs carry, and that no VM has."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.options.show import add_list_options
from banger.cli.options.targets import each_target
from banger.cli.terminal.output import (
    Column,
    format_json,
    render_table,
    terminal_width,
)
from banger.errors import ToolFailed, ToolMissing

COLUMNS = (
    Column("NAME", least=8, is_vital=True),
    Column("HOSTS", spare=1),
    Column("HEADERS", spare=2),
    Column("VMS", spare=3),
)
VALUE_MAX_BYTES = 65536
COMMAND_S = 600.0
_SET_TEXT = """\
In a VM that is created with --secret SECRET, the variable SECRET contains a
placeholder. In the headers of HTTPS requests to the secret's hosts, banger
replaces it with the value, outside the VM; requests with the placeholder
elsewhere are refused. If hosts or headers are not given, they stay as they are.
VMs that have the secret use a new value, new hosts and new headers from their
next request on. The hosts are allowed unless rules of the VM deny them.

HOST is NAME[:PORT] or *.NAME[:PORT], with port 443 by default. *.NAME stands
for names with one more label; use it only if you trust everybody who can have
such a name, because a VM can send the value to each of them.

To save a value that a command prints:

  banger secret set GH_TOKEN --command "gh auth token" --host api.github.com"""


def _configure_set(parser: Parser) -> None:
    add = parser.add_argument
    add("name", metavar="SECRET", help="name of the secret, and of the variable in VMs")
    add(
        "--host",
        action="append",
        dest="hosts",
        default=[],
        metavar="HOST",
        help="host that the secret is for, such as api.example.com; repeatable",
    )
    add(
        "--header",
        action="append",
        dest="headers",
        default=[],
        metavar="HEADER",
        help="header that the secret is for (default: Authorization and X-Api-Key); repeatable",
    )
    add(
        "--command",
        dest="printer",
        metavar="COMMAND",
        help="command that prints the value; run once, without a shell",
    )
    parser.text = _SET_TEXT


def _set(arguments: Namespace, context: Context) -> int:
    printer = arguments.printer
    params = {
        "name": arguments.name,
        "value": _read(arguments.name) if printer is None else _run(printer),
        "hosts": arguments.hosts,
        "headers": arguments.headers,
    }
    with context.client() as client:
        secret = client.call("secret.set", params)
    context.say(f"saved {secret['name']} for {', '.join(secret['hosts'])}")
    return 0


def _run(command: str) -> str:
    """Return what a command of the user's prints; nothing of it is in an error.

    Raises:
        UsageError: it is none.
        ToolMissing, ToolFailed: it cannot be run, or ended with another status than 0.
    """
    from banger.host.programs import run_sync

    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{command!r} is not a command: {error}.") from error
    if not argv:
        raise UsageError("--command has no command.")
    try:
        ended = run_sync(argv, deadline_s=COMMAND_S, env=os.environ, ok=range(-64, 256))
    except ToolMissing as error:
        raise ToolMissing(f"{argv[0]} is not installed; nothing was saved.") from error
    if ended.status:
        raise ToolFailed(
            f"{argv[0]} ended with status {ended.status}; nothing was saved.",
            details=ended.stderr.decode("utf-8", "replace"),
        )
    return ended.stdout.decode("latin-1")


def _read(name: str) -> str:
    if sys.stdin.isatty():
        from getpass import getpass

        try:
            return getpass(f"Value of {name}: ")
        except EOFError:
            return ""  # as of a pipe without one
    return sys.stdin.buffer.read(VALUE_MAX_BYTES).decode("latin-1")


def _configure_list(parser: Parser) -> None:
    add_list_options(parser, what="names")


def _list(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        secrets = client.call("secret.list")
    if arguments.json:
        context.out(format_json(secrets))
    elif arguments.quiet:
        for secret in secrets:
            context.out(secret["name"])
    else:
        rows = [
            [secret["name"], *(", ".join(secret[k]) or "-" for k in ("hosts", "headers", "vms"))]
            for secret in secrets
        ]
        context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


def _configure_delete(parser: Parser) -> None:
    parser.add_argument("names", nargs="+", metavar="SECRET", help="name of the secret")


def _delete(arguments: Namespace, context: Context) -> int:
    with context.client() as client:

        def act(name: str) -> None:
            client.call("secret.delete", {"name": name})
            context.say(f"deleted {name}")

        return each_target(arguments.names, act, context)


COMMANDS = {
    "secret set": (_configure_set, _set),
    "secret list": (_configure_list, _list),
    "secret delete": (_configure_delete, _delete),
}
