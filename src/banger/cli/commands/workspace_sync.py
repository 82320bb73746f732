"""`vm workspace sync`: copy changes both ways."""

from __future__ import annotations

import posixpath
from argparse import Namespace
from collections.abc import Iterator

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.terminal.output import format_json, printable
from banger.cli.terminal.progress import Stages
from banger.errors import ChangesConflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import SyncedWorkspace


def _configure(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", metavar="VM", help="name, ID or unique prefix")
    add("path", metavar="PATH", nargs="*", help="with --prefer: only this file or directory")
    add("--dry-run", action="store_true", help="show what would be done; write nothing")
    add(
        "--prefer",
        choices=("host", "guest"),
        help="resolve conflicts with the files of this side",
    )
    add("--json", action="store_true", help="print JSON")
    parser.text = (
        "Copies what changed in the guest to the host, and what changed on the host to\n"
        "the guest, since the repository was copied in or last synced. Files that\n"
        "changed on both sides are listed as conflicts and stay as they are on both;\n"
        "the others are synced. The exit status is 5 if there are conflicts. Files are\n"
        "copied, not commits: no index and no branch is touched."
    )


def _sync(arguments: Namespace, context: Context) -> int:
    # `.` is the whole repository, as for git.
    names = [name for path in arguments.path if (name := posixpath.normpath(path)) != "."]
    if names and not arguments.prefer:
        raise UsageError("A path needs --prefer.", hint="--prefer host, or --prefer guest")
    params = {
        "ref": arguments.ref,
        "check": arguments.dry_run,
        "prefer": arguments.prefer,
        "names": [] if len(names) < len(arguments.path) else names,
    }
    with context.client() as client, Stages(quiet=arguments.json) as stages:
        done = client.call(
            "workspace.sync", params, on_event=stages.on_event, on_tick=stages.on_tick
        )
    if arguments.json:
        context.out(format_json(done))
    else:
        for line in render_synced(done):
            context.out(line)
        for notice in done["notices"]:
            context.say(printable(notice))
    if number := len(done["conflicts"]):
        one, many = (
            "file conflicts and was left as it is",
            "files conflict and were left as they are",
        )
        raise ChangesConflict(
            f"{number} {one if number == 1 else many} on both sides.",
            hint=f"banger vm workspace diff {arguments.ref}",
        )
    return 0


def render_synced(done: SyncedWorkspace) -> Iterator[str]:
    """Yield a line for each file, with what happens to it. Pure."""
    for where, side in (("guest", done["guest"]), ("host", done["host"])):
        yield from (f"{where} write {printable(name)}" for name in side["written"])
        yield from (f"{where} delete {printable(name)}" for name in side["removed"])
    for each in done["conflicts"]:
        other = f" ({printable(each['other'])})" if each["other"] is not None else ""
        yield f"conflict {printable(each['name'])}: {each['reason']}{other}"


COMMANDS = {"vm workspace sync": (_configure, _sync)}
