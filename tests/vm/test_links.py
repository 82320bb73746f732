"""Links to what VMs serve: browsers' and curl's way into guests, without a resolver or root."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import websockets.sync.client

from banger.names.server import plan_ports
from tests.support.installations import Installation, finish, wait_for
from tests.support.loopbacks import free_front_port
from tests.support.vms import TINY
from tests.vm.test_ports import serve

FRONT_PORT = "BANGER_NAMES_HTTP_PORT"
SOCKS_PORT = "BANGER_NAMES_SOCKS_PORT"
DNS_PORT = "BANGER_NAMES_DNS_PORT"

WEB = """
import socket, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for number in range(3 if self.path == "/events" else 1):
            self.wfile.write(b"data: %d %b\\n\\n" % (number, socket.gethostname().encode()))
            self.wfile.flush()
            if self.path == "/events" and not self.rfile.readline():
                return  # the client's word, which the next event waits for

ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""
ECHO = """
import websockets.sync.server

def echo(client):
    for message in client:
        client.send(message)

websockets.sync.server.serve(echo, "127.0.0.1", 8765).serve_forever()
"""
H2C = """
import asyncio, h2.config, h2.connection, h2.events

async def serve(reader, writer):
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    http.initiate_connection()
    writer.write(http.data_to_send())
    while data := await reader.read(65536):
        for event in http.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                http.send_headers(event.stream_id, [(":status", "200")])
                http.send_data(event.stream_id, b"by HTTP/2", end_stream=True)
        writer.write(http.data_to_send())

async def main():
    server = await asyncio.start_server(serve, "::1", 8080)
    await server.serve_forever()

asyncio.run(main())
"""


@pytest.fixture
def linked(own: Installation) -> Installation:
    """An installation with a front, a proxy and a DNS server of its own."""
    chosen: list[int] = []
    for variable in (FRONT_PORT, SOCKS_PORT, DNS_PORT):
        chosen.append(free_front_port(*chosen))
        own.environ[variable] = str(chosen[-1])
    return own


def fetch(*args: str) -> str:
    command = ("curl", "-sS", "--max-time", "120", *args)
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=True).stdout


@contextmanager
def python_server(banger: Installation, vm: str, program: str) -> Iterator[None]:
    """A server in a guest, with the libraries that were copied there."""
    command = ("env", "PYTHONPATH=/root/lib", "python3", "-c", program)
    server = banger.start("vm", "exec", "-t", vm, "--", *command)
    try:
        yield
    finally:
        server.terminate()
        finish(server)


def link_of(banger: Installation, vm: str, port: int) -> str:
    """Return the link to a port once something listens there."""

    def find() -> str | None:
        return next((p["link"] for p in banger.json("vm", "ports", vm) if p["port"] == port), None)

    wait_for(find, f"a link to port {port}")
    return str(find())


def copy_library(banger: Installation, vm: str, name: str) -> None:
    """Put a library of the tests' into a guest: Python's part of it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    banger.do("vm", "cp", str(Path(spec.origin).parent), f"{vm}:/root/lib/{name}")


def test_links_lead_to_servers_of_every_kind(linked: Installation) -> None:
    """I1, H7: a page, a stream of events, WebSocket, HTTP/2; `vm list` and `vm ports` say so."""
    front = linked.environ[FRONT_PORT]
    linked.do("vm", "create", "--name", "otter")
    linked.do("vm", "exec", "otter", "--", "mkdir", "-p", "/root/lib")
    for name in ("websockets", "h2", "hpack", "hyperframe"):
        copy_library(linked, "otter", name)
    assert linked.vm("otter")["link"] is None  # of its sshd there is none
    assert {each["link"] for each in linked.json("vm", "ports", "otter")} == {None}

    with python_server(linked, "otter", WEB):
        link = link_of(linked, "otter", 8000)
        assert link == f"http://8000-otter.localhost:{front}/"
        assert fetch(link) == "data: 0 otter\n\n"
        short = linked.vm("otter")["link"]
        assert short == f"http://otter.localhost:{front}/"
        assert fetch("-6", short) == "data: 0 otter\n\n"
        assert short in linked.do("vm", "list").text
        assert link in linked.do("vm", "ports", "otter").text
        with closing(socket.create_connection(("127.0.0.1", int(front)), timeout=120)) as sock:
            head = "GET /events HTTP/1.1\r\nHost: otter.localhost\r\nContent-Length: 3\r\n\r\n"
            sock.sendall(head.encode())
            said = sock.makefile("rb")
            for number in range(3):
                while (line := said.readline()) != b"data: %d otter\n" % number:
                    assert line, "the server has hung up"
                sock.sendall(b"\n")

    with python_server(linked, "otter", ECHO):
        link = link_of(linked, "otter", 8765)
        with (
            socket.create_connection(("127.0.0.1", int(front)), timeout=120) as sock,
            websockets.sync.client.connect(
                link.replace("http", "ws"), sock=sock, open_timeout=120
            ) as client,
        ):
            sent = os.urandom(100_000)
            client.send(sent)
            assert client.recv(timeout=120) == sent

    with python_server(linked, "otter", H2C):
        link = link_of(linked, "otter", 8080)
        assert fetch("--http2-prior-knowledge", link) == "by HTTP/2"


def ask(banger: Installation, name: str) -> tuple[int, str]:
    """Return what the front says of a VM."""
    front = int(banger.environ[FRONT_PORT])
    with closing(http.client.HTTPConnection("::1", front, timeout=120)) as client:
        client.request("GET", "/", headers={"Host": f"8000-{name}.localhost:{front}"})
        answer = client.getresponse()
        return answer.status, answer.read().decode()


def fetch_by_name(banger: Installation, url: str) -> str:
    """Return what curl gets in a shell with the variables of `banger env`."""
    script = f'eval "$(cat)"; exec curl -sS --max-time 120 {url}'
    exports = banger.do("env", "--shell", "sh").out
    done = subprocess.run(["sh", "-c", script], input=exports, capture_output=True, check=True)
    return done.stdout.decode()


def resolve(banger: Installation, vm: str) -> str | None:
    """Return the address that the DNS server has for a VM."""
    question = bytes((len(vm),)) + vm.encode() + b"\x02vm\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(120)
        sock.connect(("127.0.0.1", int(banger.environ[DNS_PORT])))
        sock.send(bytes.fromhex("123401000001000000000000") + question)
        answer = sock.recv(512)
    return socket.inet_ntoa(answer[-4:]) if answer[7] else None


HELLO = "HTTP/1.0 200 OK\r\n\r\n"


def test_a_link_follows_its_vm(linked: Installation) -> None:
    """I3, I9, B11: over the daemon's death, stop and start; never to another VM than named."""
    for vm in ("one", "two"):
        linked.do("vm", "create", "--name", vm, "--network", "none", *TINY)
        serve(linked, vm, "0.0.0.0", 8000, says=HELLO)
    for vm in ("one", "two"):
        wait_for(lambda vm=vm: ask(linked, vm) == (200, vm), f"{vm} to answer")
        assert fetch_by_name(linked, f"http://{vm}.vm:8000/") == vm
        assert resolve(linked, vm) == linked.vm(vm)["address"]
    linked.kill_daemon()
    linked.do("vm", "list")
    wait_for(lambda: ask(linked, "one") == (200, "one"), "the next daemon's front")

    linked.do("vm", "stop", "one")
    status, said = ask(linked, "one")
    assert status == 503 and "two" not in said
    assert "The VM one is stopped." in said and "banger vm start one" in said
    assert linked.vm("one")["link"] is None
    assert resolve(linked, "one") == linked.vm("one")["address"]
    linked.do("vm", "delete", "one")
    assert resolve(linked, "one") is None
    status, said = ask(linked, "one")
    assert status == 404 and "There is no VM one." in said and "two" not in said
    linked.do("vm", "create", "--name", "one", *TINY)
    assert resolve(linked, "one") == linked.vm("one")["address"]
    status, said = ask(linked, "one")
    assert status == 502 and "Nothing listens on port 8000 of one." in said
    assert ask(linked, "two") == (200, "two")


def test_a_front_whose_port_is_taken_has_another(linked: Installation) -> None:
    """C6: as where a second user of the host has a front; the links say where it is."""
    front = int(linked.environ[FRONT_PORT])
    with socket.create_server(("127.0.0.1", front)):
        linked.do("vm", "create", "--name", "one", *TINY)
        serve(linked, "one", "0.0.0.0", 8000, says=HELLO)
        wait_for(lambda: linked.json("vm", "ports", "one"), "the server")
        told = linked.do("vm", "ports", "one")
        assert told.err == ""
        (port,) = json.loads(linked.do("vm", "ports", "one", "--json").out)
        own = int(port["link"].rstrip("/").rpartition(":")[2])
        assert own in plan_ports(front, spares=True)[1:]
        linked.environ[FRONT_PORT] = str(own)
        wait_for(lambda: ask(linked, "one")[0] == 200, "the server at its link")
