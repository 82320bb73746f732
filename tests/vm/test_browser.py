"""A browser on the links of VMs: pages, WebSockets, and what two links have of each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browsers import find_browser, open_page
from tests.support.installations import Installation
from tests.support.vms import TINY
from tests.vm.test_links import HELLO, copy_library, link_of, linked, python_server
from tests.vm.test_ports import serve

__all__ = ["linked"]

PROGRAM = find_browser()
SITE = """
import http, threading, websockets.sync.server

def echo(client):
    for message in client:
        client.send(message.upper())

def page(connection, request):
    if "Upgrade" not in request.headers:
        return connection.respond(http.HTTPStatus.OK, f"page of {request.headers['Host']}")

for port in (8000, 8001):
    server = websockets.sync.server.serve(echo, "127.0.0.1", port, process_request=page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
thread.join()
"""
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

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no browser is installed")


def test_a_browser_follows_links(linked: Installation, tmp_path: Path) -> None:
    """I1, E4: a secure context; each port of each VM is a site of its own, with its own cookies."""
    assert PROGRAM is not None
    linked.do("vm", "create", "--name", "heron", *TINY)
    serve(linked, "heron", "127.0.0.1", 8000, says=HELLO)
    linked.do("vm", "create", "--name", "otter")
    linked.do("vm", "exec", "otter", "--", "mkdir", "-p", "/root/lib")
    copy_library(linked, "otter", "websockets")
    with python_server(linked, "otter", SITE):
        first, *others = (
            link_of(linked, vm, port)
            for vm, port in (("otter", 8000), ("otter", 8001), ("heron", 8000))
        )
        with open_page(PROGRAM, tmp_path) as page:
            page.visit(first)
            host = first.removeprefix("http://").rstrip("/")
            assert page.run(ASK) == [True, f"page of {host}", "BY WEBSOCKET"]
            page.run(KEEP)
            for other in others:
                page.visit(other)
                assert page.run(KEPT) == ["", ""]
            page.visit(first)
            assert page.run(KEPT) == ["mine=yes", "yes"]
