"""E6: what pages of strangers and of guests may try on a front of the same machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.component.daemon.running import layout_of
from tests.component.web.fronts import Answer, Environ, Front, running_front

PATHS = ("/", "/api/vm.list", "/static/x", "/session", "/x/../api/vm.list", "//api/vm.list")
NAMES = (
    "attacker.example",
    "127.0.0.1",
    "127.0.0.1:1",
    "localhost.attacker.example",
    "127.0.0.1:{port}.attacker.example",
    "8000-box.localhost:{port}",
    "user@127.0.0.1:{port}",
    "",
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", PATHS)
def test_a_name_bound_to_this_host_is_refused(front: Front, name: str, path: str) -> None:
    """DNS rebinding: also with a token, and before a path is looked at."""
    host = name.format(port=front.port)
    for method in ("GET", "POST"):
        answer = front.request(method, path, headers={"Host": host})
        assert (answer.status, answer.json["code"]) == (403, "denied"), method


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "[::1]"])
def test_the_names_of_loopback_are_accepted(front: Front, name: str) -> None:
    answer = front.request("POST", "/api/vm.list", headers={"Host": f"{name}:{front.port}"})
    assert answer.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/x/../api/vm.list",
        "//api/vm.list",
        "/api//vm.list",
        "/api/vm.list/",
        "/static/..%2f..%2fguards.py",
        "/static/%2e%2e/guards.py",
        "/static/../guards.py",
        "/static//etc/passwd",
        "http://attacker.example/api/vm.list",
    ],
)
def test_a_path_that_looks_like_another_leads_nowhere(front: Front, path: str) -> None:
    assert front.request("GET", path).status == 404
    assert front.request("POST", path).status in (404, 405)


def test_an_encoded_path_needs_a_token_as_well(front: Front) -> None:
    answer = front.request("POST", "/api/vm%2elist", headers={"Authorization": "Bearer x"})
    assert answer.status == 401


@pytest.mark.parametrize("origin", ["https://attacker.example", "null", "http://127.0.0.1:1", ""])
def test_a_request_of_another_page_is_refused(front: Front, origin: str) -> None:
    """CSRF by fetch; a guest's page on another port of the same address is another origin."""
    assert _is_denied(front.call("vm.list", Origin=origin))
    assert _is_denied(front.request("GET", "/openapi.json", headers={"Origin": origin}))


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_a_request_that_a_browser_marks_is_refused(front: Front, site: str) -> None:
    """Also of a page of the same site, which is another port of the same address."""
    headers = {"Sec-Fetch-Site": site}
    assert _is_denied(front.request("GET", "/", headers=headers))
    assert _is_denied(front.request("POST", "/api/vm.list", headers=headers))


def test_a_form_changes_nothing(front: Front) -> None:
    """CSRF by form: no Origin of ours, no JSON."""
    headers = {
        "Host": front.host,
        "Content-Type": "text/plain",
        "Cookie": "banger=1",
        "Content-Length": "2",
    }
    assert _is_denied(front.send("POST", "/api/vm.prune", b"{}", headers))
    ours = {**headers, "Origin": front.origin}
    assert front.send("POST", "/api/vm.prune", b"{}", ours).status == 401


def test_a_preflight_gives_no_permission(front: Front) -> None:
    """So no page of another origin can send a token."""
    headers = {
        "Host": front.host,
        "Origin": "https://attacker.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = front.send("OPTIONS", "/api/vm.list", None, headers)
    assert answer.status == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/api/vm.list", "/nothing"])
def test_every_answer_forbids_frames_and_other_sources(front: Front, path: str) -> None:
    """Clickjacking; and a refused request's answer, too."""
    for headers in ({}, {"Host": "attacker.example"}):
        answer = front.request("GET", path, headers=headers)
        names = {name.lower(): value for name, value in answer.headers.items()}
        assert "frame-ancestors 'none'" in names["content-security-policy"]
        assert "default-src 'self'" in names["content-security-policy"]
        assert names["x-frame-options"] == "DENY"
        assert names["referrer-policy"] == "no-referrer"
        assert names["x-content-type-options"] == "nosniff"
        assert names["cache-control"] == "no-store"
        assert "server" not in names


def test_nothing_of_a_request_is_logged(environ: Environ, front: Front, tmp_path: Path) -> None:
    """G6: neither a token nor a name, even of a request that fails."""
    output = tmp_path / "front.txt"
    with running_front(environ, output) as port:
        other = Front(port, front.token, output)
        assert other.call("vm.list").status == 200
        assert other.request("GET", "/secret-name?token=secret-token").status == 404
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(
                b"GET / HTTP/1.1\r\nAuthorization: Bearer secret-token\r\nnonsense\r\n\r\n"
            )
            assert sock.recv(100).startswith(b"HTTP/1.1 400")
    assert output.read_text() == ""


def test_a_client_that_leaves_in_its_body_is_no_bug(
    environ: Environ, front: Front, tmp_path: Path
) -> None:
    """E2: neither a report, which replaces an older one, nor a line is written."""
    output = tmp_path / "front.txt"
    with running_front(environ, output) as port:
        head = (
            f"POST /api/vm.list HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9\r\n"
            f"Authorization: Bearer {front.token}\r\nContent-Type: application/json\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
            sock.sendall(head.encode() + b"{")
        other = Front(port, front.token, output)
        assert other.call("vm.list").status == 200
    assert output.read_text() == ""
    assert not layout_of(environ).reports.exists()


def test_a_head_without_an_end_is_not_waited_for(front: Front) -> None:
    """A slow request: the connection is closed, whatever trickles in."""
    with socket.create_connection(("127.0.0.1", front.port), timeout=60) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert sock.recv(100) == b""


def test_a_head_that_is_too_long_is_refused(front: Front) -> None:
    with socket.create_connection(("127.0.0.1", front.port), timeout=60) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: " + b"x" * 100_000)
        assert sock.recv(100).startswith(b"HTTP/1.1 400")


def _is_denied(answer: Answer) -> bool:
    return (answer.status, answer.json["code"]) == (403, "denied")
