"""Verbs on several targets: the good ones are done even if others fail."""

from __future__ import annotations

from collections.abc import Callable

from banger.cli.context import Context
from banger.cli.parser import Parser
from banger.errors import BangerError, DaemonUnreachable


def add_refs(
    parser: Parser, *, what: str = "VM", text: str = "name, id, or the beginning of either"
) -> None:
    """Add the argument that takes one or more names."""
    parser.add_argument("refs", nargs="+", metavar=what, help=text)


def each_target(refs: list[str], act: Callable[[str], None], context: Context) -> int:
    """Call `act` for each target; say what failed; return the exit status.

    0 if all went well; the errors' own status if they agree; else 1. Without a daemon
    the rest is not tried.
    """
    failures: list[int] = []
    # A target that was named twice is done once.
    for ref in dict.fromkeys(refs):
        try:
            act(ref)
        except DaemonUnreachable:
            raise
        except BangerError as error:
            context.complain(error)
            failures.append(error.exit_code)
    if not failures:
        return 0
    return failures[0] if len(set(failures)) == 1 else 1
