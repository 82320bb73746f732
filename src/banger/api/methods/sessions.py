"""Methods of sessions: programs that go on whoever is connected."""

from __future__ import annotations

from banger.api.method import Method
from banger.api.requests import VmRef
from banger.api.results import Deleted, StartedStream
from banger.api.sessions import (
    SessionAttach,
    SessionDelete,
    SessionRef,
    SessionSend,
    SessionSignal,
    SessionStart,
    SessionStop,
    SessionView,
    StartedAttach,
)

SESSIONS = (
    Method(
        name="session.start",
        params=SessionStart,
        result=SessionView,
        doc="Start a command that goes on when the client and the daemon have gone.",
    ),
    Method(
        name="session.list",
        params=VmRef,
        result=list[SessionView],
        doc="List a VM's sessions, oldest first.",
    ),
    Method(
        name="session.show",
        params=SessionRef,
        result=SessionView,
        doc="Return one session.",
    ),
    Method(
        name="session.attach",
        params=SessionAttach,
        result=StartedAttach,
        doc="Read a session's output from a position on, and write to its input.",
        stream=True,
    ),
    Method(
        name="session.send",
        params=SessionSend,
        result=StartedStream,
        doc="Send input to a session.",
        stream=True,
    ),
    Method(
        name="session.signal",
        params=SessionSignal,
        result=SessionView,
        doc="Send a signal to a session's process group.",
    ),
    Method(
        name="session.stop",
        params=SessionStop,
        result=SessionView,
        doc="Ask a session to end; kill it at the deadline.",
    ),
    Method(
        name="session.wait",
        params=SessionRef,
        result=SessionView,
        doc="Wait for a session's end.",
    ),
    Method(
        name="session.delete",
        params=SessionDelete,
        result=Deleted,
        doc="Forget a session that has ended, and its output.",
    ),
)
