"""`vm workspace status/diff/apply`: show changes, and apply them on the host."""

from __future__ import annotations

import contextlib
import os
from argparse import Namespace
from collections.abc import Iterator

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.terminal.guest_text import harmless
from banger.cli.terminal.output import format_json, printable, terminal_width
from banger.cli.terminal.progress import Stages
from banger.errors import ChangesConflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import AppliedChanges, WorkspaceStatus
    from banger.client.stream import ClientStream

WIDTH = 80
"""Columns of the statistics if stdout is no terminal."""


def _configure_status(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", metavar="VM", help="name, ID or unique prefix")
    add("--json", action="store_true", help="print JSON")
    parser.text = (
        "Lists what changed in the guest since the repository was copied in, committed or\n"
        "not: A added, M modified, D deleted, T another type. Says whether the host's\n"
        "files have changed since."
    )


def _status(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        status = client.call("workspace.status", {"ref": arguments.ref})
    if arguments.json:
        context.out(format_json(status))
        return 0
    for line in render_status(status, arguments.ref):
        context.out(line)
    for notice in status["notices"]:
        context.say(printable(notice))
    return 0


def render_status(status: WorkspaceStatus, vm: str) -> Iterator[str]:
    """Yield the lines that a person reads. Pure."""
    paths = f"{printable(status['guest_path'])} from {printable(status['host_path'])}"
    yield f"workspace: {paths}{', read-only' if status['is_read_only'] else ''}"
    if status["commit"]:
        yield f"copied:    {_place(status['branch'], status['commit'])}"
    if status["guest_commit"] and status["guest_commits"] is not None:
        since = f", {_count(status['guest_commits'], 'commit')} since"
        yield f"guest:     {_place(status['guest_branch'], status['guest_commit'])}{since}"
    if status["is_stale"] is not None:
        yield f"host:      {_describe_host(status, vm)}"
    yield f"changes:   {_count(len(status['changes']), 'file')}"
    for change in status["changes"]:
        yield f"{change['status']} {printable(change['name'])}"


def _describe_host(status: WorkspaceStatus, vm: str) -> str:
    where = _place(status["host_branch"], status["host_commit"]) if status["host_commit"] else ""
    if not status["is_stale"]:
        return ", ".join(filter(None, (where, "as it was copied")))
    changed = f"{_count(len(status['host_changes']), 'file')} changed since"
    prepare = f"to copy again: banger vm workspace prepare {vm} PATH"
    return f"{', '.join(filter(None, (where, changed)))} ({prepare})"


def _place(branch: str | None, commit: str) -> str:
    return f"{printable(branch) if branch else 'no branch'} {commit[:12]}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _configure_diff(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", metavar="VM", help="name, ID or unique prefix")
    add("--stat", action="store_true", help="only the number of changed lines of each file")
    add("--word", action="store_true", help="show changed words, not lines")
    add("--since-commit", action="store_true", help="diff against the commit that was copied")
    add("--no-pager", action="store_true", help="print to the terminal directly")
    parser.text = (
        "Shows what changed in the guest since the repository was copied in. On a\n"
        "terminal, in colour and in $BANGER_PAGER, $PAGER or less. For a patch that\n"
        "`git apply` takes, use `banger vm workspace export`."
    )


def _diff(arguments: Namespace, context: Context) -> int:
    if arguments.stat and arguments.word:
        raise UsageError("--stat and --word exclude each other.")
    style = "stat" if arguments.stat else "word" if arguments.word else "patch"
    params = {
        "ref": arguments.ref,
        "style": style,
        "since_commit": arguments.since_commit,
        "width": min(max(terminal_width() or WIDTH, 40), 1000),
    }
    with context.client() as client:
        stream = client.stream("workspace.diff", params)
    with contextlib.closing(stream):
        assert isinstance(stream.result, dict)
        for notice in stream.result["notices"]:
            context.say(printable(notice))
        if os.isatty(1):
            _page(stream, style, use_pager=not arguments.no_pager)
        else:
            from banger.cli.terminal.guest_text import copy_out

            copy_out(stream)
    return 0


def _page(stream: ClientStream, style: str, *, use_pager: bool) -> None:
    from banger.cli.terminal.pager import colour, colour_words, page

    paint = {"patch": colour, "word": colour_words}.get(style)
    if paint is None or os.environ.get("NO_COLOR"):
        page(_lines(stream), use_pager=use_pager)
    else:
        page(map(paint, _lines(stream)), use_pager=use_pager)


def _lines(stream: ClientStream) -> Iterator[bytes]:
    """Yield the lines of a stream, without what could steer a terminal (hazard E3)."""
    line = b""
    for _, data in stream:
        *lines, line = (line + data).split(b"\n")
        yield from map(harmless, lines)
    if line:
        yield harmless(line)


def _configure_apply(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", metavar="VM", help="name, ID or unique prefix")
    add("--3way", dest="three_way", action="store_true", help="write also if there are conflicts")
    add("--check", action="store_true", help="show what would be done; write nothing")
    add("--json", action="store_true", help="print JSON")
    parser.text = (
        "Writes what changed in the guest to the files of the repository on the host.\n"
        "Changes to files that the host changed too are merged line by line. Neither the\n"
        "index nor any branch is touched. If changes conflict, they are listed, and\n"
        "nothing is written. With --3way the other changes are written, files with\n"
        "conflicts get git's conflict markers, and the exit status is 1."
    )


def _apply(arguments: Namespace, context: Context) -> int:
    params = {"ref": arguments.ref, "three_way": arguments.three_way, "check": arguments.check}
    with context.client() as client, Stages(quiet=arguments.json) as stages:
        done = client.call(
            "workspace.apply", params, on_event=stages.on_event, on_tick=stages.on_tick
        )
    if arguments.json:
        context.out(format_json(done))
    else:
        lines = list(render_applied(done))
        for line in lines:
            context.out(line)
        if not lines:
            context.say("There is nothing to apply.")
        for notice in done["notices"]:
            context.say(printable(notice))
    if done["conflicts"] and not done["done"] and not arguments.check:
        raise ChangesConflict(
            f"{_count(len(done['conflicts']), 'change')} of the guest cannot be applied; "
            "nothing was written.",
            hint=f"banger vm workspace apply {arguments.ref} --3way (writes the rest)",
        )
    return 1 if done["conflicts"] else 0


def render_applied(done: AppliedChanges) -> Iterator[str]:
    """Yield a line for each file, with what happens to it. Pure."""
    marked = set(done["marked"])
    every = {"write": done["written"], "delete": done["removed"], "merge": done["merged"]}
    for what, names in every.items():
        yield from (f"{what} {printable(name)}" for name in names)
    for each in done["conflicts"]:
        more = ", marked in the file" if each["name"] in marked else ""
        yield f"conflict {printable(each['name'])}: {each['reason']}{more}"


COMMANDS = {
    "vm workspace status": (_configure_status, _status),
    "vm workspace diff": (_configure_diff, _diff),
    "vm workspace apply": (_configure_apply, _apply),
}
