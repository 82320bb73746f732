"""`init` and `trust`: write a repository's banger.toml, and mark its content as trusted."""

from __future__ import annotations

import os
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.options.project import (
    FILE,
    FoundProject,
    describe,
    find_project,
    find_top,
)
from banger.errors import Conflict, NotFound, OperationFailed

_INIT_TEXT = (
    "The file gives defaults for what neither the options of `banger vm run` nor the\n"
    "environment sets. It contains every key as a comment, and setup commands for the\n"
    "dependency files of the repository. An existing file is never overwritten."
)
_TRUST_TEXT = (
    "The file applies to VMs: it can neither read files of this host outside the\n"
    "repository nor run anything on this host. Only the present content is trusted:\n"
    "when it changes, `banger vm run` asks again."
)


def _configure_init(parser: Parser) -> None:
    add = parser.add_argument
    add("path", nargs="?", metavar="PATH", default=".", help="a directory (default: this one)")
    add("--print", action="store_true", help="print the file instead of writing it")
    parser.text = _INIT_TEXT


def _init(arguments: Namespace, context: Context) -> int:
    from banger.project.starting import render_start

    top = find_top(arguments.path)
    path, text = os.path.join(top, FILE), render_start(os.listdir(top))
    if arguments.print:
        context.out(text.rstrip("\n"))
        return 0
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Conflict(f"{path} already exists.", hint="banger init --print") from None
    except OSError as error:
        raise OperationFailed(f"{path} cannot be written: {error.strerror}.") from error
    context.say(f"Wrote {path}: uncomment what the repository needs.")
    return 0


def _configure_trust(parser: Parser) -> None:
    add = parser.add_argument
    add("path", nargs="?", metavar="PATH", default=".", help="a directory (default: this one)")
    add("--revoke", action="store_true", help="no longer trust the content")
    parser.text = _TRUST_TEXT


def _trust(arguments: Namespace, context: Context) -> int:
    from banger.project.trust import remove_trust, save_trust

    found = _require_project(find_top(arguments.path))
    if arguments.revoke:
        was_trusted = remove_trust(context.layout, found.digest)
        word = "no longer trusted" if was_trusted else "not trusted"
        context.say(f"{found.path} is {word}.")
        return 0
    context.out("\n".join(describe(found)))
    save_trust(context.layout, found.digest, found.path)
    context.say("The file is trusted until it changes.")
    return 0


def _require_project(top: str) -> FoundProject:
    found = find_project(top)
    if found is None:
        raise NotFound(f"There is no {FILE} in {top}.", hint=f"banger init {top}")
    return found


COMMANDS = {"init": (_configure_init, _init), "trust": (_configure_trust, _trust)}
