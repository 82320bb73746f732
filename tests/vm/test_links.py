"""Links to what VMs serve: browsers' and curl's way into guests, without a resolver or root."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
import websockets.sync.client

from banger.names.server import plan_ports
from tests.support.browsers import find_browser, open_page
from tests.support.installations import Installation, wait_for
from tests.support.loopbacks import free_front_port
from tests.support.vms import TINY, building
from tests.vm.test_ports import serve

FRONT_PORT = "BANGER_NAMES_HTTP_PORT"
SOCKS_PORT = "BANGER_NAMES_SOCKS_PORT"
DNS_PORT = "BANGER_NAMES_DNS_PORT"

SITE = Path(__file__).with_name("site_server.py")
PROGRAM = find_browser()
ASK = """(async () => {
    const page = await (await fetch('/')).text();
    const said = await new Promise((answer, fail) => {
        const socket = new WebSocket(location.href.replace('http', 'ws'));
        socket.onopen = () => socket.send('by websocket');
        socket.onmessage = event => answer(event.data);
        socket.onerror = fail;
    });
    return [isSecureContext, page, said];
})()"""
KEEP = "document.cookie = 'mine=yes'; localStorage.mine = 'yes'"
KEPT = "[document.cookie, localStorage.mine || '']"


def choose_ports(banger: Installation) -> Installation:
    """Give an installation a front, a proxy and a DNS server of its own."""
    chosen: list[int] = []
    for variable in (FRONT_PORT, SOCKS_PORT, DNS_PORT):
        chosen.append(free_front_port(*chosen))
        banger.environ[variable] = str(chosen[-1])
    return banger


@pytest.fixture
def linked(own: Installation) -> Installation:
    return choose_ports(own)


@pytest.fixture(scope="module")
def site(own_of_module: Installation) -> Installation:
    """An installation whose VM `otter` has a server of every kind."""
    banger = choose_ports(own_of_module)
    with building(banger):
        banger.do("vm", "create", "--name", "otter")
    wait_for(lambda: banger.ports("otter"), "its sshd")
    assert banger.vm("otter")["link"] is None  # of sshd there is none
    assert {each["link"] for each in banger.ports("otter")} == {None}
    banger.do("vm", "exec", "-d", "otter", "--", "python3", "-c", SITE.read_text())
    return banger


def fetch(*args: str) -> str:
    command = ("curl", "-sS", "--max-time", "120", *args)
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=True).stdout


def link_of(banger: Installation, vm: str, port: int) -> str:
    """Return the link to a port once something listens there."""

    def find() -> str | None:
        return next((p["link"] for p in banger.ports(vm) if p["port"] == port), None)

    wait_for(find, f"a link to port {port}")
    return str(find())


def test_links_lead_to_servers_of_every_kind(site: Installation) -> None:
    """I1, H7: a page, a stream of events, WebSocket, HTTP/2; `vm list` and `vm ports` say so."""
    front = site.environ[FRONT_PORT]
    link = link_of(site, "otter", 8000)
    assert link == f"http://8000-otter.localhost:{front}/"
    assert fetch(link) == f"otter at 8000-otter.localhost:{front}"
    short = site.vm("otter")["link"]
    assert short == f"http://otter.localhost:{front}/"
    assert fetch("-6", short) == f"otter at otter.localhost:{front}"
    assert short in site.do("vm", "list").text
    assert link in site.do("vm", "ports", "otter").text
    with closing(socket.create_connection(("127.0.0.1", int(front)), timeout=120)) as sock:
        head = "GET /events HTTP/1.1\r\nHost: otter.localhost\r\nContent-Length: 3\r\n\r\n"
        sock.sendall(head.encode())
        said = sock.makefile("rb")
        for number in range(3):
            while (line := said.readline()) != b"data: %d otter\n" % number:
                assert line, "the server has hung up"
            sock.sendall(b"\n")
    with (
        socket.create_connection(("127.0.0.1", int(front)), timeout=120) as sock,
        websockets.sync.client.connect(
            link.replace("http", "ws"), sock=sock, open_timeout=120
        ) as client,
    ):
        sent = os.urandom(100_000)
        client.send(sent)
        assert client.recv(timeout=120) == sent
    assert fetch("--http2-prior-knowledge", link_of(site, "otter", 8080)) == "by HTTP/2"


@pytest.mark.skipif(PROGRAM is None, reason="no browser is installed")
def test_a_browser_follows_links(site: Installation, tmp_path: Path) -> None:
    """I1, E4: a secure context; each port of each VM is a site of its own, with its own cookies."""
    assert PROGRAM is not None
    site.do("vm", "create", "--name", "heron", *TINY)
    serve(site, "heron", "127.0.0.1", 8000, says=HELLO)
    first, *others = (
        link_of(site, vm, port) for vm, port in (("otter", 8000), ("otter", 8001), ("heron", 8000))
    )
    with open_page(PROGRAM, tmp_path) as page:
        page.visit(first)
        host = first.removeprefix("http://").rstrip("/")
        assert page.run(ASK) == [True, f"otter at {host}", "by websocket"]
        page.run(KEEP)
        for other in others:
            page.visit(other)
            assert page.run(KEPT) == ["", ""]
        page.visit(first)
        assert page.run(KEPT) == ["mine=yes", "yes"]


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
        wait_for(lambda: linked.ports("one"), "the server")
        told = linked.do("vm", "ports", "one")
        assert told.err == ""
        (port,) = json.loads(linked.do("vm", "ports", "one", "--json").out)
        own = int(port["link"].rstrip("/").rpartition(":")[2])
        assert own in plan_ports(front, spares=True)[1:]
        linked.environ[FRONT_PORT] = str(own)
        wait_for(lambda: ask(linked, "one")[0] == 200, "the server at its link")
