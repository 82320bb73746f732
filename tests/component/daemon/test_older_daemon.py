"""A client meets a daemon that does not know the member `caller` (hazard B11)."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from banger.client import Client
from banger.daemon.lifecycle import daemon_lock
from banger.errors import VersionMismatch
from banger.host.files import ensure_private_dir
from tests.component.daemon.running import layout_of

Environ = dict[str, str]
REFUSAL = {
    "code": -32600,
    "message": "A request has the unknown member 'caller'.",
    "data": {
        "code": "invalid-request",
        "message": "A request has the unknown member 'caller'.",
        "exit_code": 2,
        "retryable": False,
    },
}


def answer(listener: socket.socket, seen: list[dict[str, object]]) -> None:
    """Answer two requests as the older daemon does: `caller` is refused, anything else is done."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb") as stream:
        for _ in range(2):
            request = json.loads(stream.readline())
            seen.append(request)
            outcome = {"error": REFUSAL} if "caller" in request else {"result": {}}
            stream.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], **outcome}).encode())
            stream.write(b"\n")
            stream.flush()


def test_an_older_daemon_is_another_version(private_environ: Environ) -> None:
    """B11: so the client restarts it; what asks for it and ends it is understood."""
    layout = layout_of(private_environ)
    ensure_private_dir(Path(layout.daemon_socket).parent)
    seen: list[dict[str, object]] = []
    with daemon_lock(layout), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(layout.daemon_socket))
        listener.listen()
        server = threading.Thread(target=answer, args=(listener, seen))
        server.start()
        with Client(layout, autostart=False) as client:
            with pytest.raises(VersionMismatch):
                client.call("vm.list")
            assert client.call("daemon.status") == {}
        server.join(30)
    assert [request["method"] for request in seen] == ["vm.list", "daemon.status"]
    assert "caller" not in seen[1]
