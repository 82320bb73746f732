"""`vm session attach/send`."""

from __future__ import annotations

import contextlib
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.values import line_count
from banger.cli.commands.guest_command import STDIN, has_terminal
from banger.cli.options.sessions import add_session, exit_status, open_attachment
from banger.cli.terminal.guest_text import GuestOutput
from banger.cli.terminal.raw import GaveUp, GuestSignals, raw_mode, terminal_size
from banger.client.relay import Relay
from banger.client.stream import ClientStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DETACH = b"\x10\x11"
"""ctrl-p ctrl-q, as in docker."""
BEFORE = 20
"""Lines of earlier output that `attach` shows."""

_ATTACH_TEXT = (
    "ctrl-p ctrl-q detaches from a session with a terminal. The session keeps running\n"
    "then, and when this client is killed. One client at a time can write; with\n"
    "--no-stdin any number can read. Without a terminal, stdin is forwarded, ctrl-c\n"
    "interrupts the session, and the end of stdin leaves the session's input open.\n"
    "\n"
    "When the session ends, the exit status is the session's own."
)
_SEND_TEXT = (
    "Without TEXT, forwards stdin to its end, as fast as the session reads. TEXT is\n"
    "sent with a newline, or with a carriage return if the session has a terminal.\n"
    "The session's input stays open unless --eof is given."
)


class _Detached(Exception):
    """The keys to detach were typed."""


def _configure_attach(parser: Parser) -> None:
    add_session(parser)
    parser.add_argument("--no-stdin", action="store_true", help="only read the output")
    parser.add_argument(
        "-n",
        "--tail",
        metavar="N",
        type=line_count,
        default=BEFORE,
        help=f"start with the last N lines of output (default: {BEFORE})",
    )
    parser.text = _ATTACH_TEXT


def _attach(arguments: Namespace, context: Context) -> int:
    session = {"ref": arguments.ref, "name": arguments.name}
    with context.client() as client:
        view = client.call("session.show", session)
    writes = view["takes_input"] and not arguments.no_stdin
    is_terminal = writes and view["terminal"] and has_terminal()
    params: dict[str, object] = {**session, "tail": arguments.tail, "stdin": writes}
    if is_terminal:
        params["terminal"] = terminal_size(STDIN)
    try:
        return exit_status(_join(params, context, is_terminal=is_terminal, writes=writes))
    except GaveUp as gave_up:
        return gave_up.status
    except _Detached:
        name = f"{view['vm']} {view['name']}"
        context.say(f"\nDetached: banger vm session attach {name}")
        return 0


def _join(
    params: dict[str, object], context: Context, *, is_terminal: bool, writes: bool
) -> dict[str, int]:
    attachment = open_attachment(context, params)
    if not writes:
        output = GuestOutput()
        ended = attachment.run(output.copy)
        output.end()
        return ended
    with raw_mode(STDIN) if is_terminal else contextlib.nullcontext():
        return attachment.run(lambda stream: _relay(stream, is_terminal=is_terminal))


def _relay(stream: ClientStream, *, is_terminal: bool) -> dict[str, int]:
    signals = GuestSignals(stream, terminal=STDIN if is_terminal else None)
    with signals.caught():
        if is_terminal:  # whose size may have changed since the last daemon went away
            stream.put_control({"resize": terminal_size(STDIN)})
        return Relay(
            stream,
            stdin=STDIN,
            end_keys=DETACH if is_terminal else b"",
            on_end_keys=_detach,
            wakeup=signals.fd,
            on_wakeup=signals.obey,
        ).run()


def _detach() -> None:
    raise _Detached


def _configure_send(parser: Parser) -> None:
    add_session(parser)
    parser.add_argument("text", nargs="?", metavar="TEXT", help="one line to send")
    parser.add_argument("--eof", action="store_true", help="close the session's input afterwards")
    parser.text = _SEND_TEXT


def _send(arguments: Namespace, context: Context) -> int:
    session: dict[str, Any] = {"ref": arguments.ref, "name": arguments.name}
    line_end = b"\n"
    with context.client() as client:
        if arguments.text is not None:
            view = client.call("session.show", session)
            line_end = b"\r" if view["terminal"] else b"\n"
        stream = client.stream(
            "session.send", session | {"end_input": arguments.eof}, on_event=context.show_note
        )
    with contextlib.closing(stream):
        if arguments.text is None:
            Relay(stream, stdin=STDIN).run()
            return 0
        stream.put_stdin(arguments.text.encode("utf-8", "surrogateescape") + line_end)
        stream.put_control({"eof": True})
        Relay(stream, stdin=None).run()
    return 0


COMMANDS = {
    "vm session attach": (_configure_attach, _attach),
    "vm session send": (_configure_send, _send),
}
