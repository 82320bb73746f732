"""The way to the daemon, for calls that wait."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from banger.client import Client as Connection
from banger.client.upload import upload
from banger.layout import layout_from_environment
from banger.sdk.command import OnOutput, Output

if TYPE_CHECKING:
    from banger.client.calls import Call


class Daemon:
    """The daemon of this user, which is started if none runs."""

    def __init__(self, *, autostart: bool = True) -> None:
        self._layout = layout_from_environment(os.environ)
        self._autostart = autostart

    @property
    def call(self) -> Call:
        """Any method of the API by its name: `client.call("vm.list")`. Not for streams."""
        return self._request

    if not TYPE_CHECKING:

        def _request(self, *args: object, **options: object) -> object:
            with self.connect() as connection:
                return connection.call(*args, **options)

    else:
        _request: Call

    def connect(self) -> Connection:
        """Return a connection, for streams of the API, and for VMs that live as long as it."""
        return Connection(self._layout, autostart=self._autostart)

    def exchange(
        self,
        method: str,
        params: Mapping[str, object],
        data: bytes | None = None,
        *,
        on_output: OnOutput | None = None,
    ) -> Output:
        """Call a `stream` method: send all data, take all that comes, up to the end."""
        output = Output(on_output)
        with self.connect() as connection:
            stream = connection.request_stream(method, params)
        with contextlib.closing(stream):
            if data is not None:
                output.exit = upload(stream, iter([data]), on_output=output.take)
                return output
            for channel, untrusted_data in stream:
                output.take(channel, untrusted_data)
            output.exit = stream.require_exit()
        return output
