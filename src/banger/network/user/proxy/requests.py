"""The requests of one connection, written anew with values in the place of placeholders. Pure.

Each request has to be for the host that was connected to. Requests follow each other on the
connection, since what the server answers is passed on as it comes. After one that asks for another
protocol the caller tells what the server said.
"""

from __future__ import annotations

import h11

from banger.network.user.proxy.denials import Refused
from banger.network.user.proxy.http import HEAD_MAX, NotHttp, find_host
from banger.network.user.proxy.secrets import Scan, Secrets


class Requests:
    """What a client sends to a host that secrets are for."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port, self._target = host, port, f"{host}:{port}/tcp"
        self.asks_upgrade = False
        """Nothing more is read until `answered`."""
        self._has_upgrade, self._is_raw, self._rest = False, False, b""
        self._begin()

    def _begin(self, data: bytes = b"") -> None:
        self._in = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MAX)
        self._out = h11.Connection(h11.CLIENT)
        self._scan = Scan(self._target)
        if data:
            self._in.receive_data(data)

    def feed(self, untrusted_data: bytes, secrets: Secrets) -> bytes:
        """Return what to send on.

        Raises:
            Refused: it is no request to the host, or has a placeholder in the wrong place.
        """
        data, self._rest = self._rest + untrusted_data, b""
        if self._is_raw:
            return data
        try:
            if data:
                self._in.receive_data(data)
            return self._write(secrets)
        except h11.ProtocolError as error:
            raise Refused(self._target, "not HTTP") from error
        except NotHttp as error:
            raise Refused(self._target, str(error)) from error

    def _write(self, secrets: Secrets) -> bytes:
        written = b""
        while not self.asks_upgrade:
            event = self._in.next_event()
            if event is h11.NEED_DATA:
                break
            if isinstance(event, h11.Request):
                event = self._fill(event, secrets)
            elif isinstance(event, h11.Data):
                self._scan.feed(secrets, bytes(event.data))
            assert isinstance(event, h11.Request | h11.Data | h11.EndOfMessage)
            written += self._out.send(event) or b""
            if isinstance(event, h11.EndOfMessage):
                self._end(event, secrets)
        return written

    def _fill(self, request: h11.Request, secrets: Secrets) -> h11.Request:
        host = find_host(request, self._port)
        if host != self._host:
            raise Refused(self._target, f"HTTP for {host}")
        self._has_upgrade = any(name == b"upgrade" for name, _ in request.headers)
        secrets.require_none(self._target, request.method + b" " + request.target)
        headers = [
            (name, secrets.fill(self._host, self._port, name, value))
            for name, value in request.headers.raw_items()
        ]
        return h11.Request(method=request.method, target=request.target, headers=headers)

    def _end(self, end: h11.EndOfMessage, secrets: Secrets) -> None:
        for name, value in end.headers:
            secrets.require_none(self._target, name + b" " + value)
        if self._has_upgrade:
            self.asks_upgrade = True
        else:
            self._begin(self._in.trailing_data[0])

    def answered(self, *, switched: bool) -> None:
        """Go on after the answer to a request that asked for another protocol."""
        self.asks_upgrade, self._is_raw = False, switched
        self._rest = self._in.trailing_data[0]
        self._begin()
