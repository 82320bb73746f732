"""`vm start/stop/restart/kill/pause/resume/delete/prune`: one verb on several VMs."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.values import duration_s
from banger.cli.options.targets import add_refs, confirm_deletion, each_target
from banger.cli.options.vm import add_force
from banger.cli.terminal.output import format_age
from banger.cli.terminal.progress import Stages
from banger.errors import VmNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client import Client

Params = dict[str, object]


def _configure(parser: Parser) -> None:
    add_refs(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


def _configure_start(parser: Parser) -> None:
    _configure(parser)
    add_force(parser)


def _configure_delete(parser: Parser) -> None:
    _configure(parser)
    parser.add_argument("-f", "--force", action="store_true", help="ignore VMs that do not exist")
    parser.text = "Asks nothing, even for a running VM. Its disk and snapshots are deleted too."


def _configure_stop(parser: Parser) -> None:
    _configure(parser)
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=duration_s,
        help="time to shut down before the VM is killed (default: 60s)",
    )
    parser.text = (
        "Most of that time is for the guest to flush its data to disk. A notice says if\n"
        "the time was too short and the last writes may be missing."
    )


def _configure_restart(parser: Parser) -> None:
    _configure_stop(parser)
    add_force(parser)


def _delete(arguments: Namespace, context: Context) -> int:
    gone = VmNotFound if arguments.force else ()
    arguments.force = False
    return _verb("vm.delete", "deleted", passed_over=gone)(arguments, context)


def _verb(
    method: str, done: str, *, passed_over: type[VmNotFound] | tuple[()] = ()
) -> Callable[[Namespace, Context], int]:
    """Return a verb's function, which calls `method` for each VM and prints the VM's name."""

    def run(arguments: Namespace, context: Context) -> int:
        params: Params = {}
        if getattr(arguments, "timeout", None) is not None:
            params["deadline_s"] = arguments.timeout
        if getattr(arguments, "force", False):
            params["force"] = True
        with context.client() as client, Stages(quiet=arguments.quiet) as stages:

            def act(ref: str) -> None:
                result = client.request(
                    method,
                    {"ref": ref, **params},
                    on_event=stages.on_event,
                    on_tick=stages.on_tick,
                )
                stages.end()
                assert isinstance(result, dict)
                if result.get("notice"):
                    context.say(f"banger: {result['notice']}")
                if not arguments.quiet:
                    context.say(f"{done} {_name(result, ref)}")

            return each_target(arguments.refs, act, context, passed_over=passed_over)

    return run


def _name(result: dict[str, object], ref: str) -> str:
    return str(result.get("name", ref))


def _configure_prune(parser: Parser) -> None:
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the IDs to delete; do nothing"
    )
    parser.text = "Prints the IDs of the deleted VMs."


def _prune(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        found = client.call("vm.prune", {"dry_run": True})
        ids = found["ids"]
        if ids and not arguments.dry_run:
            if not arguments.force and not _confirm(_describe(ids, client), context):
                return 1
            # Only the VMs that were confirmed: others may have stopped since.
            deleted = client.call("vm.prune", {"ids": ids})
            ids = deleted["ids"]
        for vm_id in ids:
            context.out(vm_id)
    if not ids:
        context.say("There are no VMs to delete.")
    return 0


def _describe(ids: list[str], client: Client) -> list[str]:
    """Return a line for each VM: its name and a description."""
    views = client.call("vm.list", {})
    now = time.time()
    return [
        f"  {view['name']} ({view['state']}, created {format_age(now - view['created_at'])} ago)"
        for view in views
        if view["id"] in ids
    ]


def _confirm(lines: list[str], context: Context) -> bool:
    context.say("\n".join(lines))
    what = (
        "this VM with its disk" if len(lines) == 1 else f"these {len(lines)} VMs with their disks"
    )
    return confirm_deletion(what, "banger vm prune", context)


COMMANDS = {
    "vm start": (_configure_start, _verb("vm.start", "started")),
    "vm stop": (_configure_stop, _verb("vm.stop", "stopped")),
    "vm restart": (_configure_restart, _verb("vm.restart", "restarted")),
    "vm kill": (_configure, _verb("vm.kill", "killed")),
    "vm pause": (_configure, _verb("vm.pause", "paused")),
    "vm resume": (_configure, _verb("vm.resume", "resumed")),
    "vm delete": (_configure_delete, _delete),
    "vm prune": (_configure_prune, _prune),
}
