"""Parameters and results of `session.*`: programs that run in a VM without a client."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from banger.api.requests import GuestCommand, Params, Terminal


class SessionStart(GuestCommand, frozen=True):
    name: str | None = None
    """Same rules as for VM names, and unique in the VM; default: a word pair."""


class SessionRef(Params, frozen=True):
    ref: str
    """The VM: name, ID, or a unique prefix of either."""
    name: str


class SessionAttach(Params, frozen=True):
    """Output is sent on channels 1 and 2, starting at the latest of `position`, `tail`, `since`.

    A position is the number of bytes before it in the session's output, on both channels together.
    A client that continues at `position` plus all bytes and gaps that it got misses nothing. A
    control frame `gap` has the number of bytes that are no longer kept. Channel 0 goes to the
    session's input; `eof` ends channel 0 and leaves the input open. The session outlives the
    connection.
    """

    ref: str
    name: str
    position: int = 0
    tail: int | None = None
    """Start with the last N lines."""
    since: float | None = None
    """Seconds of the Unix epoch; precise to a second."""
    follow: bool = True
    """Continue until the session ends, and send its exit; false: only the output so far."""
    stdin: bool = False
    """Write to the session as well; only one client at a time can."""
    terminal: Terminal | None = None
    """Resize the session's terminal."""


class SessionSend(Params, frozen=True):
    """Send on channel 0, then the control `eof`; the exit means that the session took all."""

    ref: str
    name: str
    end_input: bool = False
    """Close the session's input afterwards; on a terminal, send the end-of-file character."""


class SessionSignal(Params, frozen=True):
    ref: str
    name: str
    signal: int = 9
    """1 to 64, sent to the process group; 9 also to everything else that the session started."""


class SessionStop(Params, frozen=True):
    ref: str
    name: str
    deadline_s: float = 10.0
    """Seconds from SIGTERM to SIGKILL."""


class SessionDelete(Params, frozen=True):
    ref: str
    name: str
    force: bool = False
    """Kill the session if it is running."""


class SessionView(Struct, frozen=True, kw_only=True):
    """A session, as reported by the VM's agent."""

    name: str
    vm_id: str
    vm: str
    """The VM's name."""
    state: Literal["running", "ended"]
    argv: list[str]
    """The first KiB of the command line."""
    terminal: bool
    takes_input: bool
    started_at: float
    ended_at: float | None
    status: int | None
    """Exit status of an ended session; null if a signal ended it."""
    signal: int | None
    pid: int | None
    """PID in the guest, while the session is running."""
    output_bytes: int
    kept_from: int
    """Position of the oldest output that is kept."""
    readers: int


class StartedAttach(Struct, frozen=True, kw_only=True):
    """The connection is a stream from here on."""

    session: SessionView
    position: int
    """Position of the first byte, or gap, of the stream."""
