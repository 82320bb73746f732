"""The servers of `with_secrets.py`: HTTPS that tells what it was asked, files behind a password.

Each host has a certificate by the authority of the test's world, but for `bad.example`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import ssl
import subprocess
from pathlib import Path
from typing import Any

import h11
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

HOSTS = (
    *("api.example", "other.example", "plain.example", "files.example", "socket.example"),
    *("registry.example", "later.example", "v1.wild.example", "a.v1.wild.example"),
)
BIG = 8 << 20


def openssl(*argv: str) -> None:
    subprocess.run(["openssl", *argv], check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    """An authority, a certificate by it for the hosts, and one by nobody for `bad.example`."""
    folder.mkdir()
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")
    ca, key = str(folder / "ca.pem"), str(folder / "ca.key")
    openssl("req", "-x509", *curve, "-keyout", key, "-out", ca, "-subj", "/CN=world")
    good = ("good", HOSTS, ("-CA", ca, "-CAkey", key))
    for name, hosts, by in (good, ("bad", ("bad.example",), ())):
        names = "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts)
        files = ("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem"))
        openssl("req", "-x509", *curve, *by, *files, "-subj", f"/CN={name}", "-addext", names)


async def serve(
    certificates: Path, files: Path, *, good: str, bad: str, sockets: str, password: str
) -> None:
    """Listen at three addresses, at one also without TLS and at another port."""
    world = World(files, password)
    for address, name in ((good, "good"), (bad, "bad")):
        await asyncio.start_server(world.serve, address, 443, ssl=_load(certificates, name))
    await asyncio.start_server(world.serve, good, 8443, ssl=_load(certificates, "good"))
    await asyncio.start_server(world.serve, good, 80)
    await serve_websockets(_echo, sockets, 443, ssl=_load(certificates, "good"))


def _load(certificates: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    return context


async def _echo(side: ServerConnection) -> None:
    """Say who came, and send back what comes."""
    assert side.request is not None
    await side.send(side.request.headers["Authorization"])
    async for message in side:
        await side.send(message)


class World:
    """What the servers share."""

    def __init__(self, files: Path, password: str) -> None:
        self._files, self._password = files, password
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        with contextlib.suppress(ConnectionError, ssl.SSLError, h11.RemoteProtocolError):
            http = h11.Connection(h11.SERVER)
            while await self._answer(http, reader, writer, number):
                http.start_next_cycle()
        writer.close()

    async def _answer(self, http: h11.Connection, reader: Any, writer: Any, number: int) -> bool:
        request, body = None, b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                if http.they_are_waiting_for_100_continue:
                    writer.write(http.send(h11.InformationalResponse(status_code=100, headers=[])))
                http.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        assert request is not None
        status, answer = self._choose(request, body, number)
        headers = [("content-length", str(len(answer))), ("content-type", "text/html")]
        if status == 401:
            headers.append(("www-authenticate", 'Basic realm="files"'))
        writer.write(http.send(h11.Response(status_code=status, headers=headers)))
        writer.write(http.send(h11.Data(data=answer)) or b"")
        writer.write(http.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        return http.our_state is h11.DONE

    def _choose(self, request: h11.Request, body: bytes, number: int) -> tuple[int, bytes]:
        target = request.target.decode().partition("?")[0]
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        if headers["host"] == "files.example":
            return self._find_file(target, headers.get("authorization", ""))
        if target == "/big":
            return 200, b"b" * BIG
        told = {
            "target": request.target.decode(),
            "headers": headers,
            "body": [len(body), hashlib.sha256(body).hexdigest()],
            "connection": number,
        }
        return 200, json.dumps(told).encode()

    def _find_file(self, target: str, authorization: str) -> tuple[int, bytes]:
        user = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        if user.partition(":")[2] != self._password:
            return 401, b""
        path = self._files / target.lstrip("/")
        path = path / "index.html" if path.is_dir() else path
        return (200, path.read_bytes()) if path.is_file() else (404, b"")
