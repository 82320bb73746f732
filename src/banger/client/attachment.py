"""A session's output across restarts of the daemon: each daemon continues where the last ended.

The agent keeps the output by position, so a client that counts what it has had misses nothing,
whoever ends the daemon. What the agent no longer keeps is told as a gap. Input is not sent again:
that some may be lost is told.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from banger.api.wire import Document
from banger.client.client import Client
from banger.client.stream import ClientStream
from banger.errors import DaemonUnreachable, SessionEnded, SessionTakesNoInput

Exit = dict[str, int]

TRIES = 10
PAUSE_S = 0.2
"""Before the second try to reach a daemon; once more longer each time."""


class Attachment:
    """What `session.attach` gives, attached again whenever a daemon goes away."""

    def __init__(self, open_client: Callable[[], Client], params: Document) -> None:
        self._open_client = open_client
        self._params = params
        self._position = 0
        self.on_gap: Callable[[int], None] | None = None
        """Called with the number of bytes that are lost at this place."""
        self.on_lost_input: Callable[[], None] | None = None
        """Called when a daemon has gone, perhaps before it took all input."""

    def run(self, join: Callable[[ClientStream], Exit]) -> Exit:
        """Have `join` read one stream after the other; return the exit that the last has given.

        Raises: what `join` raises, but for a daemon that has gone; and as `Client.stream`.
        """
        stream = self._attach(self._params)
        while True:
            with contextlib.closing(stream):
                try:
                    return join(stream)
                except DaemonUnreachable:
                    self._position += stream.passed
                    if self.on_lost_input is not None and stream.may_have_lost_input:
                        self.on_lost_input()
            stream = self._attach_again()

    def _attach(self, params: Document) -> ClientStream:
        with self._open_client() as client:
            stream = client.stream("session.attach", params)
        stream.on_gap = self.on_gap
        assert isinstance(stream.result, dict)
        self._position = stream.result["position"]
        # Another VM may get the name meanwhile, and this one another name.
        self._params = {**self._params, "ref": stream.result["session"]["vm_id"]}
        return stream

    def _attach_again(self) -> ClientStream:
        kept = ("ref", "name", "follow", "stdin")
        params = {name: value for name, value in self._params.items() if name in kept}
        params["position"] = self._position
        for attempt in range(1, TRIES):
            with contextlib.suppress(DaemonUnreachable):
                return self._attach_while_it_lasts(params)
            time.sleep(PAUSE_S * attempt)
        return self._attach_while_it_lasts(params)

    def _attach_while_it_lasts(self, params: Document) -> ClientStream:
        """Attach; only to read if the session has ended meanwhile."""
        try:
            return self._attach(params)
        except (SessionEnded, SessionTakesNoInput):
            return self._attach({**params, "stdin": False})
