"""`vm workspace prepare/export`."""

from __future__ import annotations

import contextlib
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.options.workspace import (
    add_exclude,
    add_full,
    add_plain,
    add_read_only,
    find_place,
)
from banger.cli.terminal.guest_text import copy_out
from banger.cli.terminal.outfile import open_output
from banger.cli.terminal.output import format_bytes, format_json, printable
from banger.cli.terminal.progress import Stages


def _configure_prepare(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", metavar="VM", help="name, ID or unique prefix")
    add("path", nargs="?", default=".", metavar="PATH", help="a directory in a repository")
    add("--guest-path", metavar="DIR", help="path of the copy in the guest (default: /root/NAME)")
    add("--branch", metavar="NAME", help="create this branch in the guest")
    add("--from", dest="from_ref", metavar="REF", help="start point of --branch")
    add("--include-untracked", action="store_true", help="also copy untracked files")
    add_full(parser)
    add_plain(parser)
    add_exclude(parser)
    add_read_only(parser)
    add("--json", action="store_true", help="print JSON")
    add("-q", "--quiet", action="store_true", help="no progress, no notices")


def _prepare(arguments: Namespace, context: Context) -> int:
    if arguments.from_ref and not arguments.branch:
        raise UsageError("--from needs --branch.", hint="--branch NAME --from REF")
    top, inside = find_place(arguments)
    given = {
        "ref": arguments.ref,
        "path": top,
        "directory": inside,
        "guest_path": arguments.guest_path,
        "include_untracked": arguments.include_untracked,
        "branch": arguments.branch,
        "from_ref": arguments.from_ref,
        "full": arguments.full,
        "plain": arguments.plain,
        "exclude": arguments.exclude,
        "read_only": arguments.read_only,
    }
    params = {name: value for name, value in given.items() if value is not None}
    with context.client() as client, Stages(quiet=arguments.quiet) as stages:
        done = client.call(
            "workspace.prepare", params, on_event=stages.on_event, on_tick=stages.on_tick
        )
        stages.end()
        for notice in done["notices"]:
            stages.say(notice)
    if arguments.json:
        context.out(format_json(done))
    elif not arguments.quiet:
        context.say(
            f"{done['files']} files, {format_bytes(done['bytes'])}, "
            f"are at {printable(done['guest_path'])}{', read-only' if arguments.read_only else ''}"
        )
    return 0


def _configure_export(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", metavar="VM", help="name, ID or unique prefix")
    add("-o", "--output", metavar="FILE", help="write the patch to FILE (-: stdout)")
    add(
        "--branch",
        metavar="NAME",
        help="fetch the guest's commits into this branch instead of writing a patch",
    )
    add(
        "--include-uncommitted",
        action="store_true",
        help="commit uncommitted changes on top (with --branch)",
    )
    add(
        "--since-commit",
        action="store_true",
        help="diff against the commit, so that your own uncommitted changes are included",
    )
    add("--json", action="store_true", help="print JSON (with --branch)")
    parser.text = (
        "The patch has everything that changed in the guest since the repository was\n"
        "copied in, committed or not. Apply it with `git apply`."
    )


def _export(arguments: Namespace, context: Context) -> int:
    if arguments.branch and arguments.output:
        raise UsageError("--branch and --output exclude each other.")
    if arguments.branch and arguments.since_commit:
        raise UsageError("--branch and --since-commit exclude each other.")
    if arguments.json and not arguments.branch:
        raise UsageError("--json needs --branch: a patch is not JSON.")
    if arguments.include_uncommitted and not arguments.branch:
        raise UsageError(
            "--include-uncommitted needs --branch: a patch has uncommitted changes anyway.",
            hint="--branch NAME --include-uncommitted",
        )
    if arguments.branch:
        return _export_branch(arguments, context)
    params = {"ref": arguments.ref, "since_commit": arguments.since_commit}
    with context.client() as client:
        stream = client.stream("workspace.export", params)
    with contextlib.closing(stream):
        assert isinstance(stream.result, dict)
        for notice in stream.result["notices"]:
            context.say(printable(notice))
        if arguments.output in (None, "-"):
            copy_out(stream)
        else:
            with open_output(arguments.output) as file:
                for _, data in stream:
                    file.write(data)
    return 0


def _export_branch(arguments: Namespace, context: Context) -> int:
    with context.client() as client, Stages() as stages:
        done = client.call(
            "workspace.export_branch",
            {
                "ref": arguments.ref,
                "branch": arguments.branch,
                "include_uncommitted": arguments.include_uncommitted,
            },
            on_event=stages.on_event,
            on_tick=stages.on_tick,
        )
    for notice in done["notices"]:
        context.say(printable(notice))
    if arguments.json:
        context.out(format_json(done))
    else:
        count = done["commits"]
        branch = printable(done["branch"] or arguments.branch)
        commits = "commit" if count == 1 else "commits"
        context.say(f"branch {branch}: {count} {commits}, {done['commit'][:12]}")
        if done["uncommitted"]:
            context.say(
                f"Not included: {done['uncommitted']} changed or untracked in the guest "
                "(--include-uncommitted adds them)."
            )
    return 0


COMMANDS = {
    "vm workspace prepare": (_configure_prepare, _prepare),
    "vm workspace export": (_configure_export, _export),
}
