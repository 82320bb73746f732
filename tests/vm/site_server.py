"""Run in a guest by its Python, whose standard library is all it needs: a server of every kind.

On the guest's loopback: ports 8000 and 8001 in IPv4, 8080 in IPv6 alone. Each answers HTTP/1 with
a page or events, echoes by WebSocket, and answers one request of HTTP/2.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import socketserver
import threading

NAME = socket.gethostname()
PLACES = (("127.0.0.1", 8000), ("127.0.0.1", 8001), ("::1", 8080))
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Of each handshake (RFC 6455, 1.3)."""
CLOSE = 8
HEADERS, DATA, SETTINGS = 1, 0, 4
END_HEADERS, END_STREAM, ACK = 4, 1, 1
STATUS_200 = b"\x88"


class Handler(socketserver.StreamRequestHandler):
    """One connection, with one request."""

    def handle(self) -> None:
        _, path, _ = self.rfile.readline().split()
        fields = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        if path == b"*":
            self.speak_http_2()
        elif key := fields.get(b"sec-websocket-key"):
            self.echo(key)
        else:
            self.wfile.write(b"HTTP/1.0 200 OK\r\n")
            if path == b"/events":
                self.send_events()
            else:
                self.wfile.write(b"Content-Type: text/plain\r\n\r\n%b at " % NAME.encode())
                self.wfile.write(fields[b"host"])

    def send_events(self) -> None:
        """Wait for the client's word after each."""
        self.wfile.write(b"Content-Type: text/event-stream\r\n\r\n")
        for number in range(3):
            self.wfile.write(b"data: %d %b\n\n" % (number, NAME.encode()))
            if not self.rfile.readline():
                return

    def echo(self, key: bytes) -> None:
        """Be a WebSocket that says what it hears."""
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade"
        self.wfile.write(b"%b\r\nSec-WebSocket-Accept: %b\r\n\r\n" % (switch, accept))
        kind = 0
        while kind & 15 != CLOSE:
            kind, length = self.rfile.read(2)
            more = self.rfile.read({126: 2, 127: 8}.get(length & 127, 0))
            size = int.from_bytes(more, "big") if more else length & 127
            mask = self.rfile.read(4) * (size // 4 + 1)
            said = int.from_bytes(self.rfile.read(size), "big") ^ int.from_bytes(mask[:size], "big")
            self.wfile.write(bytes((kind, length & 127)) + more + said.to_bytes(size, "big"))

    def speak_http_2(self) -> None:
        """Answer a request for whatever it is."""
        self.rfile.read(len(b"SM\r\n\r\n"))
        self.send(SETTINGS, 0, 0, b"")
        self.send(SETTINGS, ACK, 0, b"")
        kind = SETTINGS
        while kind != HEADERS:
            head = self.rfile.read(9)
            self.rfile.read(int.from_bytes(head[:3], "big"))
            kind, stream = head[3], int.from_bytes(head[5:], "big")
        self.send(HEADERS, END_HEADERS, stream, STATUS_200)
        self.send(DATA, END_STREAM, stream, b"by HTTP/2")

    def send(self, kind: int, flags: int, stream: int, data: bytes) -> None:
        head = len(data).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
        self.wfile.write(head + data)


class Server(socketserver.ThreadingTCPServer):
    def __init__(self, place: tuple[str, int]) -> None:
        self.address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        super().__init__(place, Handler)


if __name__ == "__main__":
    for place in PLACES:
        threading.Thread(target=Server(place).serve_forever).start()
