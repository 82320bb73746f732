"""Parameters and results of `session.*`: programs that a VM's agent keeps, whoever is connected."""

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
    """Output is sent on channels 1 and 2, from the latest of `position`, `tail` and `since` on.

    A position counts the bytes of output since the session's start, of both channels. Whoever goes
    on at `position` plus all that came, bytes and gaps, misses nothing. A control frame `gap` says
    how many bytes are no longer kept. Channel 0 goes to the session's input; `eof` ends that, and
    leaves the input open. The end of the connection does not end the session.
    """

    ref: str
    name: str
    position: int = 0
    tail: int | None = None
    """Start with the last N lines."""
    since: float | None = None
    """Unix time; to a second."""
    follow: bool = True
    """Until the session ends, with its exit; else the output of now."""
    stdin: bool = False
    """Write as well; one client at a time can."""
    terminal: Terminal | None = None
    """Resize the session's terminal."""


class SessionSend(Params, frozen=True):
    """Send on channel 0, then the control `eof`; the exit says that the session took all."""

    ref: str
    name: str
    end_input: bool = False
    """Close the session's input afterwards; on a terminal, send the end-of-file character."""


class SessionSignal(Params, frozen=True):
    ref: str
    name: str
    signal: int = 9
    """1 to 64, to the process group; 9 reaches everything that the session has started."""


class SessionStop(Params, frozen=True):
    ref: str
    name: str
    deadline_s: float = 10.0
    """Seconds from SIGTERM to SIGKILL."""


class SessionDelete(Params, frozen=True):
    ref: str
    name: str
    force: bool = False
    """Kill it if it runs."""


class SessionView(Struct, frozen=True, kw_only=True):
    """A session, as the VM's agent tells of it."""

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
    """Of one that has ended; null if a signal ended it."""
    signal: int | None
    pid: int | None
    """In the guest, while it runs."""
    output_bytes: int
    kept_from: int
    """Position of the oldest output that is kept."""
    readers: int


class StartedAttach(Struct, frozen=True, kw_only=True):
    """The connection is a stream from here on."""

    session: SessionView
    position: int
    """Of the first byte, or gap, of the stream."""
