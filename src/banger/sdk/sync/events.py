"""Events of VMs across restarts of the daemon.

A daemon that goes away takes its events with it; the next one tells what it knows, and `missed`
where something may be lacking. While none runs nothing happens to VMs, so none is started.

Made by `make docs` from `sdk/aio/events.py`; do not edit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator

from banger.client.events import WAIT_S
from banger.errors import DaemonUnreachable, VersionMismatch
from banger.sdk.options import Event
from banger.sdk.sync.daemon import Daemon
from banger.sdk.sync.lines import read_lines
from banger.sdk.sync.stream import Stream

Params = dict[str, object]


@contextlib.contextmanager
def open_events(daemon: Daemon, params: Params) -> Iterator[Iterator[Event]]:
    """Listen for a block; what happens from its beginning on is not missed."""
    begun = time.time()
    with (
        daemon.open("vm.watch", params) as first,
        contextlib.closing(_read_events(first, params, begun)) as events,
    ):
        yield events


def _read_events(stream: Stream, params: Params, begun: float) -> Generator[Event, None, None]:
    later = {"since": begun, **params}
    while True:
        with stream:
            try:
                for event in read_lines(stream):
                    later["since"] = event["at"]
                    yield event
            except DaemonUnreachable:
                if not params["follow"]:
                    raise
            else:
                return
        stream = _next_stream(later)


def _next_stream(params: Params) -> Stream:
    """Return the stream of the next daemon, as soon as there is one.

    Raises:
        VersionMismatch: there is one, which is not replaced for this.
    """
    daemon = Daemon(autostart=False)
    while True:
        try:
            return daemon.open("vm.watch", params)
        except VersionMismatch:
            raise
        except DaemonUnreachable:
            time.sleep(WAIT_S)
