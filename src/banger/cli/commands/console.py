"""`vm console`: attach our terminal to a VM's serial console."""

from __future__ import annotations

import contextlib
import signal
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.commands.guest_command import STDIN, has_terminal
from banger.cli.terminal.raw import GaveUp, GuestSignals, raw_mode
from banger.client.relay import Relay

DETACH = b"\x1d"
"""ctrl-], as in telnet and virsh."""

HUNG_UP = 128 + signal.SIGHUP

_TEXT = (
    "Use it to watch a guest boot, or to reach one whose agent does not answer. On\n"
    "the default image, press Enter for a root shell. One client at a time; ctrl-]\n"
    "detaches."
)


def _configure(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    parser.text = _TEXT


def _console(arguments: Namespace, context: Context) -> int:
    if not has_terminal():
        raise UsageError(
            "The console needs a terminal: stdin or stdout is not one.",
            hint=f"banger vm logs --follow {arguments.ref}",
        )
    with context.client() as client:
        stream = client.stream("vm.console", {"ref": arguments.ref})
    context.say(f"Attached to the console of {arguments.ref}. Press Enter; ctrl-] detaches.")
    signals = GuestSignals(stream, terminal=STDIN)
    with contextlib.closing(stream):
        try:
            with signals.caught(), raw_mode(STDIN):
                relay = Relay(
                    stream,
                    stdin=STDIN,
                    end_keys=DETACH,
                    wakeup=signals.fd,
                    on_wakeup=signals.obey,
                )
                relay.run()
        except GaveUp as gave_up:
            return gave_up.status
    if relay.stdin_ended:
        return HUNG_UP
    end = "Detached from the console." if relay.end_keys_typed else "The console has closed."
    context.say(f"\n{end}")
    return 0


COMMANDS = {"vm console": (_configure, _console)}
