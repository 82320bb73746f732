"""`vm wait`."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.options.sessions import exit_status
from banger.errors import DaemonUnreachable, OutcomeUnknown

_TEXT = (
    "With a SESSION, waits for its end and exits with its status: 128+N if signal N\n"
    "ended it, 125 for failures of banger. Without, waits until the VM no longer\n"
    "runs, and prints its state."
)
TRIES = 10


def _configure(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    parser.add_argument("name", nargs="?", metavar="SESSION", help="name of a session of the VM")
    parser.text = _TEXT


def _wait(arguments: Namespace, context: Context) -> int:
    if arguments.name is not None:
        params = {"ref": arguments.ref, "name": arguments.name}
        return exit_status(_ask("session.wait", params, context))
    context.out(str(_ask("vm.wait", {"ref": arguments.ref}, context)["state"]))
    return 0


def _ask(method: str, params: dict[str, object], context: Context) -> dict[str, object]:
    """Return the answer, also of a daemon that follows one which has gone while we waited."""
    for _ in range(TRIES - 1):
        try:
            return _ask_once(method, params, context)
        except OutcomeUnknown:
            continue
        except DaemonUnreachable as error:
            if not error.retryable:
                raise
    return _ask_once(method, params, context)


def _ask_once(method: str, params: dict[str, object], context: Context) -> dict[str, object]:
    with context.client() as client:
        answer = client.request(method, params, on_event=context.show_note)
    assert isinstance(answer, dict)
    return answer


COMMANDS = {"vm wait": (_configure, _wait)}
