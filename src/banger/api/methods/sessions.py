"""Methods of sessions: programs that run in a VM without a client."""

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
from banger.model.scopes import Scope

SESSIONS = (
    Method(
        name="session.start",
        params=SessionStart,
        result=SessionView,
        doc="Start a command that keeps running after the client and the daemon have ended.",
        scope=Scope.USE,
    ),
    Method(
        name="session.list",
        params=VmRef,
        result=list[SessionView],
        doc="List a VM's sessions, oldest first.",
        scope=Scope.READ,
    ),
    Method(
        name="session.show",
        params=SessionRef,
        result=SessionView,
        doc="Return one session.",
        scope=Scope.READ,
    ),
    Method(
        name="session.attach",
        params=SessionAttach,
        result=StartedAttach,
        doc="Read a session's output from a position on, and write to its input.",
        scope=Scope.USE,
        stream=True,
        takes_input=True,
    ),
    Method(
        name="session.send",
        params=SessionSend,
        result=StartedStream,
        doc="Send input to a session.",
        scope=Scope.USE,
        stream=True,
        takes_input=True,
    ),
    Method(
        name="session.signal",
        params=SessionSignal,
        result=SessionView,
        doc="Send a signal to a session's process group.",
        scope=Scope.USE,
    ),
    Method(
        name="session.stop",
        params=SessionStop,
        result=SessionView,
        doc="Ask a session to end; kill it at the deadline.",
        scope=Scope.USE,
    ),
    Method(
        name="session.wait",
        params=SessionRef,
        result=SessionView,
        doc="Wait for a session's end.",
        scope=Scope.READ,
    ),
    Method(
        name="session.delete",
        params=SessionDelete,
        result=Deleted,
        doc="Delete an ended session and its output.",
        scope=Scope.USE,
    ),
)
