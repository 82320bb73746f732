"""`vm session start/list/show/stop/kill/delete`."""

from __future__ import annotations

import signal
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.app.values import duration_s
from banger.cli.commands.guest_command import GuestCommand, add_command_options
from banger.cli.options.env import chosen_env
from banger.cli.options.sessions import (
    add_sessions,
    describe_state,
    format_command,
)
from banger.cli.options.show import add_list_options
from banger.cli.options.targets import each_target
from banger.cli.terminal.output import (
    Column,
    format_age,
    format_bytes,
    format_json,
    format_time,
    printable,
    render_table,
    shorten,
    terminal_width,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import SessionView

    Params = dict[str, object]

COMMAND_CHARACTERS = 80
"""Of a command in a list, also where no terminal limits it; `session show` has all of it."""

COLUMNS = (
    Column("NAME", least=8, is_vital=True),
    Column("STATE"),
    Column("COMMAND", least=12),
    Column("OUTPUT", is_number=True, spare=1),
    Column("AGE", is_number=True),
)

_START_TEXT = (
    "Prints the session's name. The command keeps running when this client, the\n"
    "terminal or the daemon ends, and in snapshots and forks of the VM; it ends when\n"
    "the VM stops. Its exit status and the newest 4 MiB of its output are kept until\n"
    "`banger vm session delete`. A VM keeps up to 512 sessions; for a new one, the\n"
    "session that ended first is deleted."
)


def _configure_start(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    parser.add_argument("--name", metavar="NAME", help="name of the session (default: a word pair)")
    parser.add_argument("-t", "--tty", action="store_true", help="allocate a terminal")
    parser.add_argument(
        "--no-stdin", action="store_true", help="connect the command's stdin to /dev/null"
    )
    add_command_options(parser)
    parser.text = _START_TEXT


def _start(arguments: Namespace, context: Context) -> int:
    if not arguments.command:
        raise UsageError(
            "There is no command to run.",
            hint=f"banger vm session start {arguments.ref} -- COMMAND",
        )
    if arguments.tty and arguments.no_stdin:
        raise UsageError("--tty and --no-stdin exclude each other.")
    command = GuestCommand(
        arguments.command,
        env=chosen_env(arguments),
        tty=arguments.tty,
        stdin=not arguments.no_stdin,
        user=arguments.user,
        cwd=arguments.workdir,
    )
    context.out(start_session(command, arguments.ref, context, name=arguments.name))
    return 0


def start_session(
    command: GuestCommand, ref: str, context: Context, *, name: str | None = None
) -> str:
    """Start a session and return its name."""
    params = command.params(ref) | ({} if name is None else {"name": name})
    with context.client() as client:
        view = client.call("session.start", params, on_event=context.show_note)
    return str(view["name"])


def _configure_list(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    add_list_options(parser, what="names")


def _list(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        views = client.call("session.list", {"ref": arguments.ref})
    if arguments.json:
        context.out(format_json(views))
    elif arguments.quiet:
        for view in views:
            context.out(view["name"])
    else:
        now = time.time()
        rows = [_row(view, now=now) for view in views]
        context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


def _row(view: SessionView, *, now: float) -> list[str]:
    return [
        view["name"],
        describe_state(view),
        shorten(format_command(view), COMMAND_CHARACTERS),
        format_bytes(view["output_bytes"]),
        format_age(now - view["started_at"]),
    ]


def _configure_show(parser: Parser) -> None:
    add_sessions(parser)
    parser.add_argument(
        "--json", action="store_true", help="print JSON (an object, or an array for several)"
    )


def _show(arguments: Namespace, context: Context) -> int:
    views: list[SessionView] = []
    with context.client() as client:

        def show(name: str) -> None:
            view = client.call("session.show", {"ref": arguments.ref, "name": name})
            views.append(view)

        status = each_target(arguments.names, show, context)
    if arguments.json and views:
        context.out(format_json(views if len(arguments.names) > 1 else views[0]))
    elif views:
        context.out("\n\n".join(_describe(view) for view in views))
    return status


def _describe(view: SessionView) -> str:
    kept = view["output_bytes"] - view["kept_from"]
    lines = {
        "name": view["name"],
        "vm": view["vm"],
        "state": describe_state(view),
        "command": printable(format_command(view)),
        "started": format_time(view["started_at"]),
        "ended": "-" if view["ended_at"] is None else format_time(view["ended_at"]),
        "pid": "-" if view["pid"] is None else str(view["pid"]),
        "terminal": "yes" if view["terminal"] else "no",
        "input": "open" if view["takes_input"] else "none",
        "output": f"{format_bytes(view['output_bytes'])}, {format_bytes(kept)} kept",
        "attached": str(view["readers"]),
    }
    return "\n".join(f"{name + ':':<10} {value}" for name, value in lines.items())


def _verb(
    method: str, done: str, params: Callable[[Namespace], Params]
) -> Callable[[Namespace, Context], int]:
    """Return a verb's function, which calls `method` for each session and prints its name."""

    def run(arguments: Namespace, context: Context) -> int:
        given = params(arguments)
        with context.client() as client:

            def act(name: str) -> None:
                client.request(method, {"ref": arguments.ref, "name": name, **given})
                context.say(f"{done} {name}")

            return each_target(arguments.names, act, context)

    return run


def _configure_stop(parser: Parser) -> None:
    add_sessions(parser)
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=duration_s,
        default=10.0,
        help="time from SIGTERM to SIGKILL (default: 10s)",
    )


def _configure_kill(parser: Parser) -> None:
    add_sessions(parser)
    parser.add_argument(
        "-s",
        "--signal",
        metavar="SIGNAL",
        type=signal_number,
        default=int(signal.SIGKILL),
        help="signal to send, such as TERM or 15 (default: KILL)",
    )
    parser.text = "KILL goes to all processes of the session, other signals to its process group."


def signal_number(untrusted_text: str) -> int:
    """Return the number of `TERM`, `SIGTERM` or `15`."""
    name = untrusted_text.upper().removeprefix("SIG")
    if name.isascii() and name.isdigit() and 0 < int(name) <= 64:
        return int(name)
    found = getattr(signal, f"SIG{name}", None)
    if isinstance(found, signal.Signals):
        return int(found)
    raise ArgumentTypeError(f"{untrusted_text!r} is not a signal such as TERM or 15")


def _configure_delete(parser: Parser) -> None:
    add_sessions(parser)
    parser.add_argument("-f", "--force", action="store_true", help="kill running sessions first")


COMMANDS = {
    "vm session start": (_configure_start, _start),
    "vm session list": (_configure_list, _list),
    "vm session show": (_configure_show, _show),
    "vm session stop": (
        _configure_stop,
        _verb("session.stop", "stopped", lambda given: {"deadline_s": given.timeout}),
    ),
    "vm session kill": (
        _configure_kill,
        _verb("session.signal", "signalled", lambda given: {"signal": given.signal}),
    ),
    "vm session delete": (
        _configure_delete,
        _verb("session.delete", "deleted", lambda given: {"force": given.force}),
    ),
}
