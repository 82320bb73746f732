"""The front's HTTP/1.1: real clients and servers, and what hostile ones of both kinds get."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import websockets.sync.client
import websockets.sync.server

from banger.names.server import plan_ports
from tests.component.names.fronts import (
    ask,
    curl,
    fetch,
    open_all,
    open_front,
    raw_server,
    run,
    web_server,
)
from tests.support.loopbacks import free_front_port


class Quiet(BaseHTTPRequestHandler):
    """Of a server that says who it is, and what it was asked."""

    name = ""
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its parent's name
        pass

    def answer(self, body: bytes, status: int = 200, **fields: str) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **fields}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        seen = f"{self.name} {self.path} {self.headers['Host']} {self.headers['Connection']}"
        self.answer(seen.encode(), X_Seen="yes", Keep_Alive="timeout=9")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        digest, size = hashlib.sha256(), 0
        while piece := self.read_piece():
            digest.update(piece)
            size += len(piece)
        self.answer(f"{size} {digest.hexdigest()}".encode())

    do_PUT = do_POST

    def read_piece(self) -> bytes:
        if self.headers["Transfer-Encoding"] == "chunked":
            piece = self.rfile.read(int(self.rfile.readline(), 16))
            self.rfile.readline()
            return piece
        left = getattr(self, "left", int(self.headers["Content-Length"]))
        piece = self.rfile.read(min(left, 65536))
        self.left = left - len(piece)
        return piece


class One(Quiet):
    name = "one"


class Two(Quiet):
    name = "two"


def test_a_link_leads_to_its_vm_and_port_in_both_families(agent_binary: Path) -> None:
    """I1, I2: by name and port, and by name alone; the server sees the host of the link."""

    async def work() -> None:
        with web_server(One) as one, web_server(Two) as two:
            async with open_front(agent_binary, one=one, two=two) as port:
                for family in ("-4", "-6"):
                    for label, name in ((f"{one}-one", "one"), ("two", "two")):
                        host = f"{label}.localhost:{port}"
                        said = await fetch(family, f"http://{host}/a?b=c")
                        assert said == f"{name} /a?b=c {host} close"

    run(work)


def test_each_request_of_a_kept_connection_reaches_its_own_vm(agent_binary: Path) -> None:
    """E4: as a proxy would send them; also those that are sent before the first is answered."""

    async def work() -> None:
        with web_server(One) as one, web_server(Two) as two:
            async with open_front(agent_binary, one=one, two=two) as port:

                def request(name: str, more: str = "") -> bytes:
                    return f"GET /{name} HTTP/1.1\r\nHost: {name}.localhost\r\n{more}\r\n".encode()

                end = "Connection: close\r\n"
                answers = await ask(port, request("one") + request("two") + request("one", end))
                said = [line for line in answers.split(b"\r\n") if b" /" in line]
                assert [line.split()[0] for line in answers.split(b"\r\n\r\n")[1:]] == [
                    b"one",
                    b"two",
                    b"one",
                ], said
                assert b"keep-alive: timeout" not in answers.lower()

                def talk() -> list[str]:
                    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as kept:
                        found = []
                        for name in ("one", "two", "one"):
                            kept.request("GET", "/", headers={"Host": f"{name}.localhost"})
                            found.append(kept.getresponse().read().decode().split()[0])
                            assert kept.sock is not None  # it was not closed in between
                        return found

                assert await asyncio.to_thread(talk) == ["one", "two", "one"]

    run(work)


@pytest.mark.parametrize("how", ["length", "chunked", "expect"])
def test_bodies_arrive_whole(agent_binary: Path, tmp_path: Path, how: str) -> None:
    """H7: 5 MB up, with a checksum."""
    sent = os.urandom(5_000_000)
    file = tmp_path / "body"
    file.write_bytes(sent)
    fields = {
        "length": ("-H", "Expect:"),
        "chunked": ("-H", "Expect:", "-H", "Transfer-Encoding: chunked"),
        "expect": ("-H", "Expect: 100-continue"),
    }[how]

    async def work() -> None:
        with web_server(One) as one:
            async with open_front(agent_binary, one=one) as port:
                said = await fetch(*fields, "-T", str(file), f"http://one.localhost:{port}/")
                assert said == f"{len(sent)} {hashlib.sha256(sent).hexdigest()}"

    run(work)


def test_answers_of_every_shape_arrive(agent_binary: Path) -> None:
    """H7: with a length, chunked, up to the end of the connection, and without a body."""
    body = os.urandom(1_000_000)

    class Shapes(Quiet):
        def do_GET(self) -> None:
            if self.path == "/chunked":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for i in range(0, len(body), 70_000):
                    piece = body[i : i + 70_000]
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")
            elif self.path == "/end":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True
            elif self.path.startswith("/status"):
                self.send_response(int(self.path.removeprefix("/status")))
                self.end_headers()
            else:
                self.answer(body)

        do_HEAD = do_GET

    async def work() -> None:
        with web_server(Shapes) as one:
            async with open_front(agent_binary, one=one) as port:
                link = f"http://one.localhost:{port}"
                for version in ("--http1.1", "--http1.0"):
                    for path in ("/length", "/chunked", "/end"):
                        assert (await curl(version, link + path)).stdout == body
                for path in ("/status204", "/status304"):
                    found = await fetch("-w", "%{http_code} %{size_download}", link + path)
                    assert found == f"{path.removeprefix('/status')} 0"
                assert f"Content-Length: {len(body)}" in await fetch("-I", f"{link}/length")

    run(work)


def test_events_arrive_one_by_one(agent_binary: Path) -> None:
    """SSE: the next event is sent when the one before has arrived."""
    arrived = threading.Semaphore(0)

    class Events(Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for number in range(3):
                self.wfile.write(b"data: %d\n\n" % number)
                self.wfile.flush()
                if not arrived.acquire(timeout=30):
                    return
            self.close_connection = True

    def listen(port: int) -> list[bytes]:
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        ) as client:
            client.request("GET", "/", headers={"Host": "one.localhost"})
            answer, found = client.getresponse(), []
            while line := answer.readline():
                if line != b"\n":
                    found.append(line)
                    arrived.release()
            return found

    async def work() -> None:
        with web_server(Events) as one:
            async with open_front(agent_binary, one=one) as port:
                assert await asyncio.to_thread(listen, port) == [
                    b"data: %d\n" % n for n in range(3)
                ]

    run(work)


def test_web_sockets_pass(agent_binary: Path) -> None:
    """With a subprotocol, frames of every size both ways, and the end's own code."""

    def echo(server: websockets.sync.server.ServerConnection) -> None:
        for message in server:
            server.send(message)
            if message == "enough":
                server.close(4001, "as asked")
                return

    def talk(port: int) -> None:
        with (
            socket.create_connection(("127.0.0.1", port)) as sock,
            websockets.sync.client.connect(
                f"ws://one.localhost:{port}/chat", sock=sock, subprotocols=["chat"], max_size=None
            ) as client,
        ):
            assert client.subprotocol == "chat"
            for message in ("a", os.urandom(70_000), os.urandom(900_000), "enough"):
                client.send(message)
                assert client.recv(timeout=30) == message
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                client.recv(timeout=30)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 4001

    async def work() -> None:
        with websockets.sync.server.serve(
            echo, "127.0.0.1", 0, subprotocols=["chat"], max_size=None
        ) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                one = server.socket.getsockname()[1]
                async with open_front(agent_binary, one=one) as port:
                    await asyncio.to_thread(talk, port)
                    # A server that would not change is asked as it would be without the front.
                    plain = await fetch("-w", "%{http_code}", f"http://one.localhost:{port}/")
                    assert plain.endswith("426")
            finally:
                server.shutdown()
                thread.join()

    run(work)


def test_a_client_that_offers_h2c_is_answered_in_http_1(agent_binary: Path) -> None:
    async def work() -> None:
        with web_server(One) as one:
            async with open_front(agent_binary, one=one) as port:
                said = await fetch(
                    "--http2", "-w", " %{http_version}", f"http://one.localhost:{port}/"
                )
                assert said == f"one / one.localhost:{port} close 1.1"

    run(work)


HOSTS = {
    "example.com": 421,
    "localhost": 421,
    "127.0.0.1": 421,
    "[::1]": 421,
    "one.localhost.example.com": 421,
    "a.one.localhost": 421,
    "-one.localhost": 421,
    "one_.localhost": 421,
    "one.localhost:x": 421,
    "one.localhost@example.com": 421,
    "70000-one.localhost": 421,
    "<script>.localhost": 421,
    "one.localhost,two.localhost": 421,
    "\xff.localhost": 421,
    "": 400,
    "three.localhost": 404,
    "8000-three.localhost": 404,
    "stopped.localhost": 503,
    "9-one.localhost": 502,
}


def test_a_host_that_is_no_running_vm_gets_a_page_and_reaches_none(agent_binary: Path) -> None:
    """E4: DNS rebinding ends here; nothing is said of other VMs, nothing unescaped comes back."""

    async def work() -> None:
        with web_server(One) as one:
            async with open_front(agent_binary, one=one) as port:
                for host, status in HOSTS.items():
                    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
                    said = await ask(port, request.encode("latin-1") + b"\r\n")
                    assert said.startswith(b"HTTP/1.1 %d " % status), (host, said)
                    assert b"text/plain" in said and b"script" not in said and b"one /" not in said
                    assert b"one " not in said or "one" in host
                page = await ask(
                    port,
                    b"GET / HTTP/1.1\r\nHost: three.localhost\r\nAccept: text/html\r\n"
                    b"Connection: close\r\n\r\n",
                )
                assert b"<p>There is no VM three.</p>" in page and b"banger vm list" in page
                assert b"content-security-policy: default-src 'none'" in page.lower()
                # The connection goes on where the request is known to its end.
                both = await ask(
                    port,
                    b"GET / HTTP/1.1\r\nHost: three.localhost\r\n\r\n"
                    b"GET / HTTP/1.1\r\nHost: one.localhost\r\nConnection: close\r\n\r\n",
                )
                assert both.startswith(b"HTTP/1.1 404 ") and both.endswith(
                    b"one / one.localhost close"
                )

    run(work)


REQUESTS = {
    b"nonsense\r\n\r\n": 400,
    b"GET / HTTP/1.0\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: one.localhost\r\nHost: two.localhost\r\n\r\n": 400,
    b"GET http://one.localhost/ HTTP/1.1\r\nHost: one.localhost\r\n\r\n": 400,
    b"CONNECT one.localhost:80 HTTP/1.1\r\nHost: one.localhost\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: one.localhost\r\nA : b\r\n\r\n": 400,
    b"PUT / HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: +1\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nHost: one.localhost\r\nTransfer-Encoding: gzip\r\n\r\n": 501,
    b"GET / HTTP/1.1\r\nHost: one.localhost\r\nA: " + b"a" * 700_000 + b"\r\n\r\n": 431,
}


def test_requests_that_are_not_valid_are_refused(agent_binary: Path) -> None:
    """E4: none that front and guest could read differently."""

    async def work() -> None:
        with web_server(One) as one:
            async with open_front(agent_binary, one=one) as port:
                for request, status in REQUESTS.items():
                    said = await ask(port, request, is_ended=True)
                    assert said.startswith(b"HTTP/1.1 %d " % status), (request[:200], said)
                smuggled = (
                    b"POST / HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: 40\r\n"
                    b"Transfer-Encoding: chunked\r\nConnection: transfer-encoding, close\r\n\r\n"
                    b"0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: one.localhost\r\n\r\n"
                )
                assert b"hidden" not in await ask(port, smuggled)

    run(work)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nx\r\n",
    ],
)
def test_half_an_answer_is_not_taken_for_a_whole_one(agent_binary: Path, answer: bytes) -> None:
    """E2: the client sees that the connection broke."""

    async def work() -> None:
        with raw_server(lambda client: client.recv(9999) and client.sendall(answer)) as one:
            async with open_front(agent_binary, one=one) as port:
                done = await curl(f"http://one.localhost:{port}/")
                assert done.returncode in (18, 56), done

    run(work)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 700_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_told(agent_binary: Path, answer: bytes) -> None:
    """E2: a server that breaks off, is none of HTTP, or changes protocol unasked."""

    async def work() -> None:
        with raw_server(lambda client: client.recv(9999) and client.sendall(answer)) as one:
            async with open_front(agent_binary, one=one) as port:
                done = await curl("-w", "%{http_code}", f"http://one.localhost:{port}/")
                assert done.stdout.endswith(b"502"), done

    run(work)


def test_a_client_that_leaves_ends_the_servers_connection(agent_binary: Path) -> None:
    """H2: also while the server has nothing to say."""
    asked, ended = threading.Event(), threading.Event()

    def wait(server: socket.socket) -> None:
        server.recv(9999)
        asked.set()
        if server.recv(1) == b"":
            ended.set()

    async def work() -> None:
        with raw_server(wait) as one:
            async with open_front(agent_binary, one=one) as port:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.1\r\nHost: one.localhost\r\n\r\n")
                assert await asyncio.to_thread(asked.wait, 30)
                writer.close()
                assert await asyncio.to_thread(ended.wait, 30)
                await writer.wait_closed()

    run(work)


def test_an_answer_before_the_end_of_the_request_is_read(agent_binary: Path) -> None:
    """A server that refuses a body of 50 MB: its answer arrives, and the connection ends."""

    def refuse(server: socket.socket) -> None:
        server.recv(1000)
        server.sendall(b"HTTP/1.1 413 Too Big\r\nContent-Length: 4\r\n\r\nbig!")
        server.shutdown(socket.SHUT_WR)
        while server.recv(65536):
            pass

    async def work() -> None:
        with raw_server(refuse) as one:
            async with open_front(agent_binary, one=one) as port:
                reader, writer = await asyncio.open_connection("::1", port)
                head = b"POST / HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: 50000000\r\n\r\n"
                writer.write(head + bytes(100_000))
                said = await reader.read()
                assert said.startswith(b"HTTP/1.1 413 Too Big") and said.endswith(b"big!")
                writer.close()
                await writer.wait_closed()

    run(work)


def test_a_reader_that_is_slow_holds_up_the_server(agent_binary: Path) -> None:
    """E2: what a client does not read stays in the guest."""
    sent = 0

    def flood(server: socket.socket) -> None:
        nonlocal sent
        server.recv(9999)
        server.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(3200):
            server.sendall(bytes(65536))
            sent += 65536

    async def work() -> None:
        with raw_server(flood) as one:
            async with open_front(agent_binary, one=one) as port:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65536)
                writer.write(b"GET / HTTP/1.1\r\nHost: one.localhost\r\n\r\n")
                still, before = 0, -1
                while still < 50:
                    still, before = (still + 1, before) if sent == before else (0, sent)
                    await asyncio.sleep(0.02)
                assert 0 < sent < 40_000_000
                writer.transport.abort()
                await asyncio.sleep(0)
                del reader

    run(work)


def test_where_a_port_is_taken_a_spare_one_is_used(agent_binary: Path) -> None:
    """C6: in both families or in none, so that no link leads to another program."""

    async def work() -> None:
        async with open_all(agent_binary) as names:
            front = names.http
            port = free_front_port()
            with socket.create_server(("::1", port), family=socket.AF_INET6):
                await front.listen(port)
                assert front.port in plan_ports(port, spares=True)[1:] and front.problem is None
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", port)
            spare = front.port
            await front.listen(port)
            assert front.port == spare  # links stay good while they can

    run(work)


def test_ports_that_are_all_taken_are_told_and_tried_again(agent_binary: Path) -> None:
    """H6: `problem` says so; another port of the settings is listened on instead of the first."""

    async def work() -> None:
        async with open_all(agent_binary) as names:
            front = names.http
            port = free_front_port()
            with contextlib.ExitStack() as taken:
                for each in plan_ports(port, spares=True):
                    with contextlib.suppress(OSError):  # somebody else has it
                        taken.enter_context(socket.create_server(("127.0.0.1", each)))
                await front.listen(port)
                assert front.port is None
                assert front.problem is not None and f"127.0.0.1:{port}" in front.problem
            await front.listen(port)
            assert front.port == port and front.problem is None
            other = free_front_port()
            await front.listen(other)
            assert front.port == other
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            await front.listen(0)
            assert front.port is None and front.problem is None

    run(work)


def test_the_vms_end_ends_what_it_serves(agent_binary: Path) -> None:
    """H2: nobody waits for a guest that is gone."""

    def begin(server: socket.socket) -> None:
        server.recv(9999)
        server.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")
        server.recv(1)

    async def work() -> None:
        with raw_server(begin) as one:
            async with open_front(agent_binary, one=one) as port:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.1\r\nHost: one.localhost\r\n\r\n")
                await reader.readuntil(b"hello")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

    run(work)
