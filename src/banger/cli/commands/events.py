"""`events`: what happens to VMs."""

from __future__ import annotations

import time
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.app.values import VM_STATES, past_time_s
from banger.cli.commands.list import has_nothing
from banger.cli.terminal.output import format_json, format_time, printable
from banger.client.events import read_events
from banger.errors import DaemonSilent, DaemonUnreachable, OutcomeUnknown, VersionMismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KINDS = ("created", "state", "changed", "deleted", "notice", "missed")
_TEXT = (
    "Prints the newest 1,024 events since the daemon's start. --follow continues with\n"
    "new events until ctrl-C, or until the VM is deleted, across restarts of the\n"
    "daemon. If events are lost, for example because the reader is too slow, an event\n"
    "of kind missed is printed in their place.\n"
    f"Kinds: {', '.join(KINDS)}."
)


def _configure(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", nargs="?", metavar="VM", help="only events of this VM (default: all VMs)")
    add("-f", "--follow", action="store_true", help="print events as they happen")
    add(
        "--since",
        metavar="TIME",
        type=past_time_s,
        help="start with the events since then: 10m (ago) or 2026-11-29T12:00",
    )
    add(
        "--filter",
        action="append",
        default=[],
        metavar="K=V",
        help="only kind=KIND or state=STATE; repeatable (any of the same key matches)",
    )
    add("--json", action="store_true", help="print JSON, one line for each event")
    parser.text = _TEXT


def _events(arguments: Namespace, context: Context) -> int:
    params: dict[str, object] = {
        "kinds": _filtered(arguments.filter, "kind"),
        "states": _filtered(arguments.filter, "state"),
        "follow": arguments.follow,
    }
    if arguments.since is not None:
        params["since"] = arguments.since
    if has_nothing(context) and not arguments.follow:
        return 0
    if arguments.ref is not None:
        with context.client() as client:
            view = client.call("vm.show", {"ref": arguments.ref})
        params["ref"] = view["id"]
    try:
        for event in read_events(context.layout, params, autostart=arguments.follow):
            context.out(_format_json(event) if arguments.json else _format(event))
            context.flush()
    except (DaemonSilent, OutcomeUnknown, VersionMismatch):
        raise
    except DaemonUnreachable:
        if arguments.follow:
            raise  # else none runs, and nothing is kept
    return 0


def _filtered(filters: list[str], key: str) -> list[str]:
    """Return the values of a key among the filters."""
    known = {"kind": KINDS, "state": VM_STATES}
    for text in filters:
        name, _, value = text.partition("=")
        if value not in known.get(name, ()):
            raise UsageError(f"{text!r} is not a filter.", hint="--filter kind=notice")
    return [text.partition("=")[2] for text in filters if text.startswith(f"{key}=")]


def _format_json(event: dict[str, Any]) -> str:
    return format_json(event | {"at": format_time(event["at"])}, indent=None)


def _format(event: dict[str, Any]) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"]))
    if event["kind"] == "missed":
        lost = f"{event['lost']} events" if event["lost"] else "earlier events"
        return f"{at}  missed: {lost} were lost"
    what = event["state"] if event["kind"] == "state" else event["kind"]
    text = f": {printable(event['text'])}" if event["text"] else ""
    return f"{at}  {event['name']}  {what}{text}"


COMMANDS = {"events": (_configure, _events)}
