"""The entry point: find the command, run it, turn exceptions into an exit status.

The boundary of the command line: only this module catches every exception. Exit statuses are
those of the product contract, section 4.4.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys

from banger.cli.app.parser import HelpAsked
from banger.cli.app.table import Command, find_command, find_group, move_help, render_group
from banger.errors import BangerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from banger.cli.app.context import Context

INTERRUPTED = 130
OWN_FAILURE = 125
"""Status of banger's own failure where a status is otherwise the guest command's."""
PASSED_ON = (126, 127)
HOST_NOT_READY = 6
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)


def main() -> int:
    """Run the command line of this process and return its exit status."""
    _open_standard_descriptors()
    # While SIGCHLD is ignored (trap '' CHLD) the exit statuses of our children would be lost.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        words = sys.argv[1:]
        status = _complete(words[1:]) if words[:1] == ["__complete"] else _main(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _die_of_sigpipe()
    except OSError as error:
        if error.errno in TOO_MANY_FILES:
            # Importing a module for a better message would fail too.
            os.write(2, b"banger: The limit of open files is too low.\n  hint: ulimit -n 1024\n")
            return HOST_NOT_READY
        # Only the flush of a help page fails here; the flush at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stderr.write(f"banger: The output cannot be written: {error.strerror}.\n")
        return 1
    return status


def _main(words: list[str]) -> int:
    words = move_help(words)
    group = find_group(words)
    if group is not None:
        sys.stdout.write(render_group(group))
        return 0
    from banger.cli.app.context import Context

    command: Command | None = None
    context = Context()
    try:
        command, rest = find_command(words)
        context.errors_as_json = not command.is_guest_command and "--json" in rest
        return _run(command, rest, context)
    except HelpAsked as page:
        sys.stdout.write(str(page))
        return 0
    except BangerError as error:
        return _fail(command, error, context)
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt.__cause__, BangerError):
            context.complain(interrupt.__cause__)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the boundary: becomes a sentence or a report
        return _fail(command, _explain(error) or _report(error), context)


def _complete(words: list[str]) -> int:
    from banger.cli.app.complete import print_candidates
    from banger.cli.app.context import Context

    return print_candidates(words, Context())


def _run(command: Command, rest: list[str], context: Context) -> int:
    parser, run = command.load()
    status = run(parser.parse(rest), context)
    context.flush()
    return status


def _fail(command: Command | None, error: BangerError, context: Context) -> int:
    context.complain(error)
    if command is not None and command.is_guest_command:
        return error.exit_code if error.exit_code in (*PASSED_ON, INTERRUPTED) else OWN_FAILURE
    return error.exit_code


def _explain(error: Exception) -> BangerError | None:
    """Return the error for a refusal by the host; None if the error is a bug of ours."""
    if not isinstance(error, (OSError, MemoryError)):
        return None
    from banger.host.refusals import explain_refusal

    return explain_refusal(error)


def _report(error: Exception) -> BangerError:
    from banger.layout import layout_from_environment
    from banger.reports import report_bug

    reports = layout_from_environment(os.environ).reports
    return report_bug(error, reports=reports, what="This command", name=f"cli-{os.getpid()}")


def _open_standard_descriptors() -> None:
    """Open /dev/null in place of each of descriptors 0, 1 and 2 that is closed.

    Otherwise the first socket would become stdout, and a guest's output would be written into our
    own protocol (hazard H7).
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - stays
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - stays
    sys.stderr = _open_stderr()


class _LossyFile(io.FileIO):
    """A file that drops writes that fail."""

    def write(self, data: ReadableBuffer) -> int:
        """Write the data; report success even if the write fails."""
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


def _open_stderr() -> io.TextIOWrapper:
    """Return a stderr that never fails: a full disk or a closed window must not end the command.

    Otherwise messages that nobody can read would change the exit status, which belongs to the
    guest command (hazard H1).
    """
    raw = io.BufferedWriter(_LossyFile(2, "w", closefd=False))
    return io.TextIOWrapper(raw, errors="backslashreplace", line_buffering=True)


def _die_of_sigpipe() -> None:
    """Die of SIGPIPE, silently, like any Unix tool whose reader has closed the pipe (H7)."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)


if __name__ == "__main__":
    sys.exit(main())
