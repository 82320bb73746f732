"""Events of VMs across restarts of the daemon.

A daemon that goes away takes its events with it; the next one tells what it knows, and `missed`
where something may be lacking. While none runs nothing happens to VMs, so none is started.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator

from banger.client.client import Client
from banger.client.stream import ClientStream
from banger.errors import DaemonUnreachable, VersionMismatch
from banger.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Event = dict[str, Any]

WAIT_S = 0.5
"""Between two looks for the next daemon."""


def read_events(layout: Layout, params: dict[str, object], *, autostart: bool) -> Iterator[Event]:
    """Yield the events that `vm.watch` has for `params`; over later daemons with `follow`.

    Raises:
        DaemonUnreachable: at the beginning, no daemon runs and `autostart` is not set.
        VersionMismatch: a later daemon, or one that was not to be started, is of another version.
        BangerError: the daemon's error.
    """
    params = dict(params)
    begun = time.time()
    with Client(layout, autostart=autostart) as client:
        stream = client.stream("vm.watch", params)
    while True:
        with contextlib.closing(stream):
            try:
                for event in _parse_events(stream):
                    params["since"] = event["at"]
                    yield event
            except DaemonUnreachable:
                if not params["follow"]:
                    raise
            else:
                return
        params.setdefault("since", begun)
        stream = _next_stream(layout, params)


def _next_stream(layout: Layout, params: dict[str, object]) -> ClientStream:
    """Return the stream of the next daemon, as soon as there is one.

    Raises:
        VersionMismatch: there is one, which is not replaced for this.
    """
    while True:
        try:
            with Client(layout, autostart=False) as client:
                return client.stream("vm.watch", params)
        except VersionMismatch:
            raise
        except DaemonUnreachable:
            time.sleep(WAIT_S)


def _parse_events(stream: ClientStream) -> Iterator[Event]:
    rest = b""
    for _, data in stream:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield json.loads(line)
