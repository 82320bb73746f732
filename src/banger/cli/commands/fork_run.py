"""`vm run --fork N`: run one command in N forks of a VM that is prepared once.

Each fork has a thread with its own connections, which runs the command, copies the output with
the fork's number before each line, then exports the result as a branch. Threads do not wait for
each other, so a fork whose VM dies fails alone (hazard H2). While commands run, their output shows
progress; after the last command, a stage does (H9). The threads are daemon threads: an interrupt
does not wait for them, and our exit closes their connections, which kills the commands.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from argparse import Namespace
from queue import Empty, SimpleQueue

from banger.api.stream import STDERR, STDOUT
from banger.cli.app.context import Context
from banger.cli.commands.guest_command import TIMED_OUT, GuestCommand
from banger.cli.commands.results import OWN_FAILURE, collect_branch, describe_kept
from banger.cli.commands.run_vms import RunVms
from banger.cli.options.env import chosen_env
from banger.cli.terminal.output import Column, printable, render_table, terminal_width
from banger.cli.terminal.prefixed_output import Lines, Output, OutputClosed
from banger.cli.terminal.progress import Stages
from banger.client.stream import ClientStream
from banger.errors import BangerError, DeadlineExceeded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import VmView

PASSED_ON = (126, 127)
NOTHING = "-"
TICK_S = 0.1

COLUMNS = (
    Column("N", is_number=True),
    Column("STATUS", is_number=True),
    Column("SECONDS", is_number=True),
    Column("FILES", is_number=True),
    Column("BRANCH", least=12),
)


class Fork:
    """One fork's command and its outcome."""

    def __init__(self, number: int, view: VmView, command: GuestCommand) -> None:
        self.number = number
        self.vm_id = str(view["id"])
        self.vm_name = str(view["name"])
        self.command = command
        self.status = OWN_FAILURE
        """Exit status of the command, as a shell reports it."""
        self.has_begun = False
        """True: the command has started, so there may be a result to keep."""
        self.seconds = 0.0
        self.files = NOTHING
        self.branch = NOTHING
        self.complaint: BangerError | None = None
        """Why the result could not be exported as a branch."""
        self.bug: BaseException | None = None
        self.lines = {
            fd: Lines(f"[{number}] ", for_terminal=os.isatty(fd)) for fd in (STDOUT, STDERR)
        }

    def row(self) -> list[str]:
        """Return the fork's row of the table."""
        seconds = f"{self.seconds:.1f}"
        return [str(self.number), str(self.status), seconds, self.files, self.branch]


def run_in_forks(
    arguments: Namespace,
    context: Context,
    *,
    stages: Stages,
    base: str,
    views: list[VmView],
    vms: RunVms,
    cwd: str | None,
) -> int:
    """Run the command in every fork and print the table; return the exit status of the run.

    The status is 0 if all forks succeeded, else that of the first failed fork: the command's
    status, or 125 if the result could not be exported.
    """
    forks = [
        Fork(number, view, _number_command(arguments, number, cwd=cwd))
        for number, view in enumerate(views, 1)
    ]
    sys.stdout.flush()
    branches = None if arguments.path is None else f"banger/{base}"
    _run_all(forks, context, branches=branches, stages=stages)
    stages.end()
    for fork in forks:
        if fork.complaint is not None:
            context.say(_describe(fork, fork.complaint))
            if vms.keep(fork.vm_id):
                kept = describe_kept(fork.vm_name, f"{branches}-{fork.number}")
                context.say(f"[{fork.number}]   {kept}")
    rows = [fork.row() for fork in forks]
    context.out(render_table(COLUMNS, rows, width=terminal_width()))
    statuses = [fork.status or (OWN_FAILURE if fork.complaint else 0) for fork in forks]
    return next((status for status in statuses if status), 0)


def _number_command(arguments: Namespace, number: int, *, cwd: str | None) -> GuestCommand:
    return GuestCommand(
        [word.replace("{n}", str(number)) for word in arguments.command],
        env=chosen_env(arguments),
        tty=False,
        stdin=False,
        cwd=cwd,
        timeout_s=arguments.timeout,
    )


def _run_all(forks: list[Fork], context: Context, *, branches: str | None, stages: Stages) -> None:
    """Run every fork to its end; raise at once if the output cannot be written."""
    output = Output()
    ran: SimpleQueue[Fork] = SimpleQueue()
    done: SimpleQueue[Fork] = SimpleQueue()

    def work(fork: Fork) -> None:
        try:
            with contextlib.suppress(OutputClosed):
                _run_one(fork, context, output=output)
            ran.put(fork)
            if fork.has_begun and branches is not None:
                _collect(fork, context, branch=f"{branches}-{fork.number}")
        except BaseException as error:
            fork.bug = error
            ran.put(fork)
            raise
        finally:
            done.put(fork)

    for fork in forks:
        threading.Thread(target=work, args=(fork,), daemon=True).start()
    try:
        for _ in forks:
            _require_sound(ran.get(), output)
        if branches is not None:
            stages.enter("branches")
        for _ in forks:
            _require_sound(_wait(done, stages), output)
    finally:
        output.close()


def _wait(done: SimpleQueue[Fork], stages: Stages) -> Fork:
    while True:
        try:
            return done.get(timeout=TICK_S)
        except Empty:
            stages.on_tick()


def _require_sound(fork: Fork, output: Output) -> None:
    """Raise an error that ends all forks: output that cannot be written, or a bug."""
    output.require_written()
    if fork.bug is not None:
        raise fork.bug


def _run_one(fork: Fork, context: Context, *, output: Output) -> None:
    """Run one fork's command; print an error, whose status becomes the fork's.

    Raises:
        OutputClosed: the output can no longer be written.
    """
    begun = time.monotonic()
    try:
        _execute(fork, context, output=output)
    except BangerError as error:
        output.write(STDERR, (_describe(fork, error) + "\n").encode())
    finally:
        fork.seconds = time.monotonic() - begun


def _execute(fork: Fork, context: Context, *, output: Output) -> None:
    """Run the command and store its status in `fork`, also if an error is raised."""
    try:
        with context.client() as client:
            stream = client.stream("vm.exec", fork.command.params(fork.vm_id))
    except BangerError as error:
        fork.status = error.exit_code if error.exit_code in PASSED_ON else OWN_FAILURE
        raise
    fork.has_begun = True
    with contextlib.closing(stream):
        try:
            ended = _copy(stream, fork, output)
        except DeadlineExceeded:
            fork.status = TIMED_OUT
            raise
    fork.status = 128 + ended["signal"] if ended.get("signal") else ended.get("status", 0)


def _copy(stream: ClientStream, fork: Fork, output: Output) -> dict[str, int]:
    """Copy a command's output with labels; return the exit of the command."""
    try:
        for channel, untrusted_data in stream:
            if lines := fork.lines[channel].feed(untrusted_data):
                output.write(channel, lines)
    finally:
        for channel, last in fork.lines.items():
            if line := last.finish():
                output.write(channel, line)
    return stream.require_exit()


def _collect(fork: Fork, context: Context, *, branch: str) -> None:
    """Export the fork's result as a branch; keep an error for the end of the run."""
    try:
        done = collect_branch(context, fork.vm_id, branch)
    except BangerError as error:
        fork.complaint = error
        return
    fork.files = str(done["files"])
    fork.branch = done["branch"] or "none: nothing changed"


def _describe(fork: Fork, error: BangerError) -> str:
    """Format an error as lines with the fork's label."""
    lines = [f"[{fork.number}] banger: {printable(error.message)}"]
    if error.hint:
        lines.append(f"[{fork.number}]   hint: {printable(error.hint)}")
    return "\n".join(lines)
