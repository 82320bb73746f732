"""Run a command in a VM on our own terminal, stdin and stdout: `exec`, `shell`, `run`."""

from __future__ import annotations

import contextlib
import os
import stat
import sys

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.options.env import add_env
from banger.cli.terminal.raw import GaveUp, GuestSignals, raw_mode, terminal_size
from banger.client.relay import Relay
from banger.client.stream import ClientStream
from banger.errors import DeadlineExceeded

TIMED_OUT = 124
"""Same status as timeout(1); banger's other failures are 125."""

LOGIN_SHELL = ("/bin/sh", "-c", 'exec "${SHELL:-/bin/sh}" -l')
"""The agent sets SHELL from the guest's user database."""

STDIN = 0
STDOUT = 1


class GuestCommand:
    """A guest command, and how its input and output are attached."""

    def __init__(
        self,
        argv: list[str],
        *,
        env: dict[str, str],
        tty: bool,
        stdin: bool,
        user: str | None = None,
        cwd: str | None = None,
        timeout_s: float | None = None,
        if_stale: str | None = None,
    ) -> None:
        self.argv = argv
        self.env = env
        self.tty = tty
        self.stdin = stdin
        self.user = user
        self.cwd = cwd
        self.timeout_s = timeout_s
        self.if_stale = if_stale

    def params(self, ref: str) -> dict[str, object]:
        """Return the parameters of `vm.exec`."""
        env = self.env
        if self.tty and "TERM" in os.environ:
            env = {"TERM": os.environ["TERM"], **env}
        given = {
            "ref": ref,
            "argv": self.argv,
            "env": env,
            "stdin": self.stdin,
            "terminal": terminal_size(STDOUT) if self.tty else None,
            "user": self.user,
            "cwd": self.cwd,
            "timeout_s": self.timeout_s,
            "if_stale": self.if_stale,
        }
        return {name: value for name, value in given.items() if value is not None}


def add_command_options(parser: Parser) -> None:
    """Add the options that say how a command runs: user, directory, environment."""
    add = parser.add_argument
    add("-u", "--user", metavar="USER", help="USER or USER:GROUP, names or numbers (default: root)")
    add(
        "-w",
        "--workdir",
        metavar="DIR",
        help="working directory (default: the workspace, else the user's home)",
    )
    add_env(parser)


def has_terminal() -> bool:
    """Tell whether both stdin and stdout are terminals."""
    return os.isatty(STDIN) and os.isatty(STDOUT)


def has_input() -> bool:
    """Tell whether to forward stdin by default: true for a pipe, a file or a socket.

    A terminal's keys belong to the shell, unless the guest command has a TTY; /dev/null exists in
    the guest too.
    """
    return not stat.S_ISCHR(os.fstat(STDIN).st_mode)


def run_in_guest(command: GuestCommand, ref: str, context: Context, *, quiet: bool = False) -> int:
    """Run the command; return its exit status as a shell reports it, 124 after a timeout.

    `quiet`: no notice when the command has to wait.
    """
    on_event = None if quiet else context.show_note
    sys.stdout.flush()
    with context.client() as client:
        stream = client.stream("vm.exec", command.params(ref), on_event=on_event)
    with contextlib.closing(stream):
        try:
            ended = _join(stream, command)
        except GaveUp as gave_up:
            return gave_up.status
        except DeadlineExceeded as error:
            context.complain(error)
            return TIMED_OUT
    return 128 + ended["signal"] if ended.get("signal") else ended.get("status", 0)


def _join(stream: ClientStream, command: GuestCommand) -> dict[str, int]:
    signals = GuestSignals(stream, terminal=STDOUT if command.tty else None)
    raw = raw_mode(STDIN) if command.tty else contextlib.nullcontext()
    with signals.caught(), raw:
        return Relay(
            stream,
            stdin=STDIN if command.stdin else None,
            wakeup=signals.fd,
            on_wakeup=signals.obey,
        ).run()
