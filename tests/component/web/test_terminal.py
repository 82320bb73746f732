"""Terminals by WebSocket: real programs on real terminals, a real front, the real agent."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from banger.web.terminal import WINDOW
from tests.component.daemon.running import DEADLINE_S, wait_until
from tests.component.web.conftest import make_token
from tests.component.web.fronts import Environ, Front
from tests.component.web.test_logins import log_in, login_of


@contextlib.contextmanager
def terminal(
    front: Front, ref: str, headers: dict[str, str] | None = None, **query: object
) -> Iterator[ClientConnection]:
    if headers is None:
        headers = {"Authorization": f"Bearer {front.token}"}
    key = headers.get("Banger-Login-Key")
    headers = {name: value for name, value in headers.items() if name != "Banger-Login-Key"}
    address = f"ws://{front.host}/api/vms/{ref}/terminal?{urlencode(query, doseq=True)}"
    with connect(
        address,
        additional_headers=headers,
        subprotocols=[Subprotocol("banger"), Subprotocol(key)] if key else None,
        max_size=None,
        max_queue=None,
        open_timeout=DEADLINE_S,
        proxy=None,
    ) as socket:
        yield socket


def read_all(socket: ClientConnection) -> tuple[bytes, object]:
    """Return the output and the last message; acknowledge what comes."""
    output = b""
    while True:
        message = socket.recv(DEADLINE_S)
        if isinstance(message, str):
            return output, json.loads(message)
        output += message
        acknowledge(socket, len(message))


def acknowledge(socket: ClientConnection, size_bytes: int) -> None:
    with contextlib.suppress(ConnectionClosed):  # by the end, which comes next
        socket.send(json.dumps({"ack": size_bytes}))


def read_until(socket: ClientConnection, text: bytes) -> bytes:
    output = b""
    while text not in output:
        message = socket.recv(DEADLINE_S)
        assert isinstance(message, bytes), message
        output += message
        acknowledge(socket, len(message))
    return output


def test_a_command_has_a_terminal_and_a_status(front: Front, box: str) -> None:
    """H1, H7: of the size that was asked for, with colours; a signal's status is the shell's."""
    command = "stty size; printf '\\033[1;31mred\\033[0m'; echo $TERM; exit 3"
    with terminal(front, box, command=command, cols=101, rows=37) as socket:
        output, last = read_all(socket)
    assert output == b"37 101\r\n\x1b[1;31mred\x1b[0mxterm-256color\r\n"
    assert last == {"exit": 3}
    with terminal(front, box, command="kill -9 $$") as socket:
        assert read_all(socket) == (b"", {"exit": 137})


def test_what_is_typed_arrives_and_a_resize_is_told(front: Front, box: str) -> None:
    command = 'echo ready; while read line; do echo "got $line"; stty size; done'
    with terminal(front, box, command=command) as socket:
        read_until(socket, b"ready\r\n")
        socket.send(b"one\r")
        read_until(socket, b"got one\r\n24 80\r\n")
        socket.send(json.dumps({"resize": [90, 20]}))
        socket.send(b"two\r")
        read_until(socket, b"got two\r\n20 90\r\n")
        socket.send(b"\x04")
        assert read_all(socket)[1] == {"exit": 0}


def test_a_flood_waits_for_the_browser(front: Front, box: str) -> None:
    """E2: no more than a window comes before it is acknowledged; then it goes on."""
    with terminal(front, box, command="exec yes 0123456789") as socket:
        size = 0
        while size < WINDOW:
            size += len(socket.recv(DEADLINE_S))
        with contextlib.suppress(TimeoutError):
            while size < 2 * WINDOW:
                size += len(socket.recv(1.0))
        # The last piece may begin within the window and end beyond it.
        assert WINDOW <= size < WINDOW + 64 * 1024
        socket.send(json.dumps({"ack": size}))
        assert socket.recv(DEADLINE_S)


def test_a_paste_passes_while_its_echo_waits(agents: Front) -> None:
    """Neither direction waits for the other."""
    lines, size = 20_000, 40
    command = f"stty raw -echo; echo ready; head -c {lines * size}"
    with terminal(agents, "box", command=command) as socket:
        read_until(socket, b"ready")
        paste = b"".join(b"%039d\n" % number for number in range(lines))
        for start in range(0, len(paste), 16 * 1024):
            socket.send(paste[start : start + 16 * 1024])
        output, last = read_all(socket)
    assert last == {"exit": 0}
    assert output.lstrip(b"\r\n") == paste


def test_input_that_nobody_takes_is_bounded(agents: Front) -> None:
    """E2."""
    with terminal(agents, "box", command="stty raw -echo; echo ready; sleep 1000") as socket:
        read_until(socket, b"ready")
        with contextlib.suppress(ConnectionClosed):
            for _ in range(100):
                socket.send(bytes(256 * 1024))
        last = None
        with contextlib.suppress(ConnectionClosed):
            last = read_all(socket)[1]
    assert last is None or last["error"]["code"] == "invalid-request"  # type: ignore[index]
    assert agents.call("vm.show", {"ref": "box"}).status == 200


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"resize": [0, 5]}', '{"resize": ["x", 5]}', '{"ack": -1}', "[" * 50_000],
)
def test_a_message_that_is_not_valid_ends_the_terminal(front: Front, box: str, text: str) -> None:
    with terminal(front, box, command="cat") as socket:
        socket.send(text)
        assert read_all(socket)[1]["error"]["code"] == "invalid-request"  # type: ignore[index]


@pytest.mark.parametrize(
    ("ref", "query", "code"),
    [
        ("none", {}, "vm-not-found"),
        ("", {"cols": "x"}, "invalid-request"),
        ("", {"rows": "65536"}, "invalid-request"),
    ],
)
def test_what_cannot_begin_says_why(
    front: Front, box: str, ref: str, query: dict[str, str], code: str
) -> None:
    """After the handshake: a page cannot read why one failed."""
    with terminal(front, ref or box, **query) as socket:
        assert read_all(socket)[1]["error"]["code"] == code  # type: ignore[index]


def test_a_browser_that_goes_hangs_up(front: Front, box: str, tmp_path: Path) -> None:
    """H2."""
    path = tmp_path / "hung-up"
    command = f"trap 'echo yes > {path}; exit' HUP; echo ready; while :; do sleep 0.05; done"
    with terminal(front, box, command=command) as socket:
        read_until(socket, b"ready")
    wait_until(path.exists, "the program is told")


def test_a_terminal_of_another_page_is_refused(front: Front, environ: Environ, box: str) -> None:
    """E6: WebSockets are exempt from what keeps pages of other origins apart."""
    login = login_of(log_in(front))
    cookie = {"Cookie": login["Cookie"]}
    bearer = {"Authorization": f"Bearer {front.token}"}
    narrow = make_token(environ, "narrow", "read")
    for headers, status in (
        ({**login, "Origin": "https://attacker.example"}, 403),
        ({**login, "Origin": "http://127.0.0.1:8080"}, 403),
        ({**login, "Origin": "null"}, 403),
        (login, 403),
        ({**bearer, "Origin": "https://attacker.example"}, 403),
        ({**login, "Origin": front.origin, "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": front.origin}, 401),
        ({**cookie, "Origin": front.origin}, 401),
        ({**cookie, "Origin": front.origin, "Sec-WebSocket-Protocol": "banger, x"}, 401),
        ({"Authorization": f"Bearer {narrow}"}, 403),
        ({"Authorization": "Bearer x"}, 401),
    ):
        with pytest.raises(InvalidStatus) as refused, terminal(front, box, headers):
            pass
        assert refused.value.response.status_code == status, headers
    ours = {**login, "Origin": front.origin, "Sec-Fetch-Site": "same-origin"}
    with terminal(front, box, ours, command="echo in") as socket:
        assert socket.subprotocol == "banger"
        assert read_all(socket) == (b"in\r\n", {"exit": 0})


def test_a_session_goes_on_without_the_browser(agents: Front) -> None:
    """B11: it is started by the first terminal, and the second sees what came before."""
    query = {"session": "work", "command": "echo begun; read line; echo got $line; exit 4"}
    with terminal(agents, "box", **query) as socket:
        read_until(socket, b"begun\r\n")
    with terminal(agents, "box", session="work") as socket:
        read_until(socket, b"begun\r\n")
        socket.send(b"hello\r")
        output, last = read_all(socket)
    assert b"got hello\r\n" in output
    assert last == {"exit": 4}
    with terminal(agents, "box", session="work") as socket:
        output, last = read_all(socket)
    assert b"begun" in output and last == {"exit": 4}
    with terminal(agents, "box", session="work", position=len(b"begun\r\n")) as socket:
        rest, last = read_all(socket)
    assert output == b"begun\r\n" + rest and last == {"exit": 4}


def test_a_command_may_be_words(front: Front, box: str) -> None:
    with terminal(front, box, command=["printf", "%s|", "a b", "$c"]) as socket:
        assert read_all(socket) == (b"a b|$c|", {"exit": 0})
