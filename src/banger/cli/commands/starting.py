"""What a repository starts in its workspace: the installation of the tools that it pins, commands
of a devcontainer.json, and sessions.

What the commands print is kept, not shown: its end is in the error when one fails. Sessions go on
by themselves, until the VM stops.
"""

from __future__ import annotations

import contextlib
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.commands.guest_command import GuestCommand
from banger.cli.terminal.output import printable
from banger.cli.terminal.progress import Stages
from banger.errors import BangerError, SetupFailed
from banger.project.file import SHELL, show_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import VmView

SHOWN_MAX = 80
TAIL_BYTES = 32 * 1024


def start_bootstrap(
    arguments: Namespace, view: VmView, context: Context, *, stages: Stages
) -> None:
    """Install the tools that the repository pins, in a session; report a failure."""
    from banger.cli.commands.session import start_session
    from banger.toolingplan.install import SESSION, render_install

    if SESSION in arguments.vm_sessions:
        return
    script = render_install(arguments.vm_tools)
    program = GuestCommand([*SHELL, script], env={}, tty=False, stdin=False, cwd=None)
    try:
        start_session(program, view["id"], context, name=SESSION)
    except BangerError as error:
        stages.say(f"The tools that the repository pins are not installed: {error.message}")
        return
    tools = printable(" ".join(arguments.vm_tools))
    stages.say(f"Tools: {tools} (log: banger vm logs {view['name']} {SESSION})")


def start_workspace(
    arguments: Namespace,
    view: VmView,
    context: Context,
    *,
    stages: Stages,
    cwd: str,
    is_new: bool,
) -> None:
    """Run what the repository has run when a workspace is new, and at each start of its VM.

    Raises:
        SetupFailed: a command ended with another status than 0; what follows was not started.
        BangerError: a session could not be started.
    """
    created = arguments.vm_on_create if is_new else ()
    _run_commands((*created, *arguments.vm_on_start), view["id"], context, stages=stages, cwd=cwd)
    for name, command in arguments.vm_sessions.items():
        from banger.cli.commands.session import start_session

        stages.enter("sessions")
        program = GuestCommand([*SHELL, command], env={}, tty=False, stdin=False, cwd=cwd)
        start_session(program, view["id"], context, name=name)
    if arguments.vm_sessions:
        stages.end()
        names = " ".join(arguments.vm_sessions)
        stages.say(f"Sessions started: {names} (banger vm session list {view['name']})")


def _run_commands(
    commands: tuple[tuple[str, ...], ...],
    ref: str,
    context: Context,
    *,
    stages: Stages,
    cwd: str,
) -> None:
    """Run commands in a VM, one after the other.

    Raises:
        SetupFailed: one ended with another status than 0; those after it were not run.
    """
    for argv in commands:
        stages.enter("set up")
        status, tail = _run(argv, ref, context, cwd=cwd)
        if status:
            stages.end()
            raise SetupFailed(
                f"The command {show_command(argv)!r:.{SHOWN_MAX}} of the repository's "
                f"devcontainer.json ended with status {status}.",
                details=tail.decode("utf-8", "replace"),
                hint="banger vm run --no-setup PATH",
            )


def _run(argv: tuple[str, ...], ref: str, context: Context, *, cwd: str) -> tuple[int, bytes]:
    tail = bytearray()
    with context.client() as client:
        stream = client.stream("vm.exec", {"ref": ref, "argv": list(argv), "cwd": cwd})
    with contextlib.closing(stream):
        for _, data in stream:
            tail += data
            del tail[:-TAIL_BYTES]
    ended = stream.require_exit()
    return 128 + ended["signal"] if ended.get("signal") else ended.get("status", 0), bytes(tail)
