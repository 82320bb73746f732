"""`vm exec`, `vm shell`."""

from __future__ import annotations

import os
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.app.values import duration_s
from banger.cli.commands.guest_command import (
    LOGIN_SHELL,
    GuestCommand,
    add_command_options,
    has_input,
    has_terminal,
    run_in_guest,
)
from banger.cli.options.env import chosen_env

_EXEC_TEXT = (
    "Without -t or -T the command gets a terminal if stdin and stdout are terminals.\n"
    "stdin is forwarded when it is a pipe or a file.\n"
    "\n"
    "The exit status is the command's own; 128+N if signal N ended it; 126 if it\n"
    "cannot be executed, 127 if it is not found, 124 if it timed out, 125 for\n"
    "failures of banger.\n"
    "\n"
    "With --detach the command is a session: see `banger vm session`. -i keeps its\n"
    "input open, -t gives it a terminal."
)


def _add_common(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    add_command_options(parser)
    parser.add_argument(
        "--auto-prepare",
        action="store_true",
        help="first copy the repository again if its files have changed on the host",
    )


def _if_stale(arguments: Namespace) -> str | None:
    """Return what to do about changed files of the host: by default tell a person at a terminal."""
    if arguments.auto_prepare:
        return "prepare"
    return "notice" if os.isatty(2) else None


def _configure_exec(parser: Parser) -> None:
    _add_common(parser)
    add = parser.add_argument
    add("-t", "--tty", action="store_true", help="allocate a terminal even if stdin is not one")
    add("-T", "--no-tty", action="store_true", help="do not allocate a terminal")
    add("-i", "--interactive", action="store_true", help="forward stdin even from a terminal")
    add(
        "-d",
        "--detach",
        action="store_true",
        help="run in the background, as a session; print the session's name",
    )
    add(
        "--timeout",
        metavar="TIME",
        type=duration_s,
        help="kill the command after this time, such as 90s or 10m",
    )
    parser.text = _EXEC_TEXT


def _exec(arguments: Namespace, context: Context) -> int:
    if not arguments.command:
        raise UsageError(
            "There is no command to run.", hint=f"banger vm exec {arguments.ref} -- COMMAND"
        )
    _refuse_contradictions(arguments)
    if arguments.detach:
        return _start_detached(arguments, context)
    tty = arguments.tty or (has_terminal() and not arguments.no_tty)
    command = GuestCommand(
        arguments.command,
        env=chosen_env(arguments),
        tty=tty,
        stdin=tty or arguments.interactive or has_input(),
        user=arguments.user,
        cwd=arguments.workdir,
        timeout_s=arguments.timeout,
        if_stale=_if_stale(arguments),
    )
    return run_in_guest(command, arguments.ref, context)


def _refuse_contradictions(arguments: Namespace) -> None:
    if arguments.tty and arguments.no_tty:
        raise UsageError("-t and -T exclude each other.")
    for name in ("no_tty", "timeout", "auto_prepare"):
        if arguments.detach and getattr(arguments, name):
            raise UsageError(f"--detach and --{name.replace('_', '-')} exclude each other.")


def _start_detached(arguments: Namespace, context: Context) -> int:
    from banger.cli.commands.session import start_session

    command = GuestCommand(
        arguments.command,
        env=chosen_env(arguments),
        tty=arguments.tty,
        stdin=arguments.interactive,
        user=arguments.user,
        cwd=arguments.workdir,
    )
    context.out(start_session(command, arguments.ref, context))
    return 0


def _shell(arguments: Namespace, context: Context) -> int:
    require_terminal(f"banger vm exec {arguments.ref} -- COMMAND")
    command = GuestCommand(
        list(LOGIN_SHELL),
        env=chosen_env(arguments),
        tty=True,
        stdin=True,
        user=arguments.user,
        cwd=arguments.workdir,
        if_stale=_if_stale(arguments),
    )
    return run_in_guest(command, arguments.ref, context)


def require_terminal(hint: str) -> None:
    """Check that there is a terminal for a shell.

    Raises:
        UsageError: stdin or stdout is not a terminal.
    """
    for fd, name in ((0, "stdin"), (1, "stdout")):
        if not os.isatty(fd):
            raise UsageError(f"A shell needs a terminal, and {name} is not a terminal.", hint=hint)


COMMANDS = {"vm exec": (_configure_exec, _exec), "vm shell": (_add_common, _shell)}
