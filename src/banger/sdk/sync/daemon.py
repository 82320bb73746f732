"""The way to the daemon, for calls that wait."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from banger.client import Client as Connection
from banger.layout import layout_from_environment
from banger.sdk.sync.stream import Stream

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
            with self._connect() as connection:
                return connection.call(*args, **options)

    else:
        _request: Call

    def open(self, method: str, params: Mapping[str, object]) -> Stream:
        """Call a method and keep the connection, for streams of the API."""
        with self._connect() as connection:
            return Stream(connection.request_stream(method, params))

    def _connect(self) -> Connection:
        return Connection(self._layout, autostart=self._autostart)
