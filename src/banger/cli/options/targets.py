"""Verbs on several targets, where a failed target does not stop the others; confirmation."""

from __future__ import annotations

import sys
from collections.abc import Callable

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.terminal.asking import ask
from banger.errors import BangerError, DaemonUnreachable


def add_refs(parser: Parser, *, what: str = "VM", text: str = "name, ID or unique prefix") -> None:
    """Add the argument that takes one or more names."""
    parser.add_argument("refs", nargs="+", metavar=what, help=text)


def each_target(
    refs: list[str],
    act: Callable[[str], None],
    context: Context,
    *,
    passed_over: type[BangerError] | tuple[type[BangerError], ...] = (),
) -> int:
    """Call `act` for each target; print errors; return the exit status.

    The status is 0 if all calls succeeded, the errors' status if all errors have the same, else 1.
    Errors of a class in `passed_over` count as success. If the daemon is unreachable, stop.
    """
    failures: list[int] = []
    # A target that is named twice is processed once.
    for ref in dict.fromkeys(refs):
        try:
            act(ref)
        except passed_over:
            continue
        except DaemonUnreachable:
            raise
        except BangerError as error:
            context.complain(error)
            failures.append(error.exit_code)
    if not failures:
        return 0
    return failures[0] if len(set(failures)) == 1 else 1


def confirm_deletion(what: str, command: str, context: Context) -> bool:
    """Ask on the terminal whether to delete `what`.

    Raises:
        UsageError: stdin is not a terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            "There is no terminal to ask on; --force deletes without asking.",
            hint=f"{command} --dry-run",
        )
    if ask(f"Delete {what}?"):
        return True
    context.say("Nothing was deleted.")
    return False
