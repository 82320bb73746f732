"""The context of every command: the file layout, the daemon's client, and the output."""

from __future__ import annotations

import os
import sys

from banger.cli.terminal.output import format_json, printable
from banger.errors import BangerError, OperationFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from banger.client import Client
    from banger.layout import Layout


DETAIL_LINES = 50
"""Number of last lines of an error's details to print; a kernel lacks no more options than that."""


class Context:
    """One invocation of the command line.

    The layout and the client are imported on first use: `banger version` needs neither.
    """

    def __init__(self) -> None:
        self.errors_as_json = False
        """Print an error as one line of JSON: the command line has --json."""

    @property
    def layout(self) -> Layout:
        """Paths of this user's files."""
        from banger.layout import layout_from_environment

        return layout_from_environment(os.environ)

    def client(self, *, autostart: bool = True) -> Client:
        """Return a client, whose first call starts the daemon."""
        from banger.client import Client

        return Client(self.layout, autostart=autostart)

    def out(self, text: str) -> None:
        """Print a result.

        Raises:
            OperationFailed: stdout cannot be written, as on a full disk.
        """
        _require_written(_write(lambda: sys.stdout.write(text + "\n")))

    def flush(self) -> None:
        """Write buffered output to stdout.

        Raises:
            OperationFailed: stdout cannot be written.
        """
        _require_written(_write(sys.stdout.flush))

    def say(self, text: str) -> None:
        """Print a message that is not a result."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def show_note(self, kind: str, content: dict[str, object]) -> None:
        """Print a notice among a request's notifications; of use where progress is not shown."""
        if kind == "note":
            self.say(printable(str(content.get("text"))))

    def complain(self, error: BangerError) -> None:
        """Print an error: the fact, the hint, and where to find more."""
        _write(sys.stdout.flush)
        if self.errors_as_json:
            self.say(format_json({"error": error.as_document()}, indent=None))
            return
        self.say(f"banger: {printable(error.message)}")
        if error.details:
            for line in error.details.strip().splitlines()[-DETAIL_LINES:]:
                self.say(f"  | {printable(line)}")
        if error.hint:
            self.say(f"  hint: {printable(error.hint)}")
        if error.operation_id and error.exit_code in (1, 3, 8):
            self.say(f"  operation: {error.operation_id} (banger daemon logs)")


def _write(write: Callable[[], object]) -> str | None:
    """Write to stdout; return the reason if writing fails."""
    try:
        write()
    except BrokenPipeError:
        raise
    except OSError as error:
        # The rest of the buffer must not be written again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return error.strerror
    return None


def _require_written(reason: str | None) -> None:
    if reason is not None:
        raise OperationFailed(f"The output cannot be written: {reason}.")
