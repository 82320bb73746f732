"""A forward proxy on loopback that leads every name to where its test says."""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class ForwardProxy:
    """Where names lead, and what was asked for."""

    address: str = ""
    places: dict[str, str] = field(default_factory=dict)
    """`HOST:PORT` as clients say it, and where the proxy connects to instead."""
    credentials: str = ""
    """`USER:PASSWORD` that clients must have."""
    asked: list[str] = field(default_factory=list)
    """`CONNECT HOST:PORT` and `GET URL`, those that were refused included."""

    @property
    def url(self) -> str:
        user = f"{self.credentials}@" if self.credentials else ""
        return f"http://{user}{self.address}"


class _Handler(http.server.BaseHTTPRequestHandler):
    proxy: ForwardProxy
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        place = self._admit(self.path)
        if place is None:
            return
        with socket.create_connection(place) as server:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_copy, args=(server, self.connection))
            back.start()
            _copy(self.connection, server)
            back.join()

    def do_GET(self) -> None:
        scheme, _, rest = self.path.partition("://")
        host, _, path = rest.partition("/")
        place = self._admit(host if ":" in host else f"{host}:80") if scheme == "http" else None
        if place is None:
            return
        with contextlib.closing(http.client.HTTPConnection(*place)) as server:
            sent = {k: v for k, v in self.headers.items() if k != "Proxy-Authorization"}
            server.request("GET", f"/{path}", headers=sent)
            answer = server.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def _admit(self, name: str) -> tuple[str, int] | None:
        """Return where a name leads; None: the client has had its refusal."""
        self.close_connection = True
        self.proxy.asked.append(f"{self.command} {self.path}")
        pair = base64.b64encode(self.proxy.credentials.encode()).decode()
        if self.proxy.credentials and self.headers["Proxy-Authorization"] != f"Basic {pair}":
            self._refuse(407)
        elif name not in self.proxy.places:
            self._refuse(502)
        else:
            host, _, port = self.proxy.places[name].partition(":")
            return host, int(port)
        return None

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def forward_proxy() -> Iterator[ForwardProxy]:
    proxy = ForwardProxy()
    handler = type("Bound", (_Handler,), {"proxy": proxy})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        proxy.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
