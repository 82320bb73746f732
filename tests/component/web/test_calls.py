"""Methods of the API by HTTP, on a real front and a scripted daemon."""

from __future__ import annotations

import http.client
import json
import threading
from pathlib import Path

import pytest

from banger.api.table import METHODS
from banger.model.scopes import Scope
from tests.component.daemon.running import banger, read_events, scripted_daemon, wait_until
from tests.component.web.conftest import make_token
from tests.component.web.fronts import Environ, Front, running_front
from tests.support.environs import make_environ, make_short_dir


def test_a_method_is_called_with_its_parameters(front: Front) -> None:
    made = front.call("vm.create", {"name": "box", "labels": {"a": "b"}})
    assert (made.status, made.json["name"], made.json["labels"]) == (200, "box", {"a": "b"})
    assert made.headers["content-type"] == "application/json"
    assert [view["name"] for view in front.call("vm.list").json] == ["box"]
    assert front.call("vm.delete", {"ref": "box"}).json == {"ids": [made.json["id"]]}


def test_a_request_without_a_body_has_no_parameters(front: Front) -> None:
    assert front.request("POST", "/api/vm.list").json == []


@pytest.mark.parametrize(
    ("method", "params", "status", "code"),
    [
        ("vm.show", {"ref": "none"}, 404, "vm-not-found"),
        ("vm.show", {}, 400, "invalid-request"),
        ("vm.create", {"name": "unbootable"}, 422, "boot-failed"),
        ("vm.create", {"labels": {"fails": "vm-busy"}}, 409, "vm-busy"),
        ("vm.create", {"labels": {"fails": "no-space"}}, 503, "no-space"),
        ("vm.create", {"labels": {"fails": "deadline-exceeded"}}, 504, "deadline-exceeded"),
        ("vm.create", {"labels": {"fails": "registry-denied"}}, 403, "registry-denied"),
        ("vm.create", {"name": "bug"}, 500, "internal-error"),
        ("vm.nothing", {}, 404, "unknown-method"),
    ],
)
def test_an_error_has_the_status_of_its_family(
    front: Front, method: str, params: object, status: int, code: str
) -> None:
    answer = front.call(method, params)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.json["message"].endswith(".")
    assert "hint" in answer.json


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"[]", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"ref=box", "application/x-www-form-urlencoded", 415),
        (b" " * (8 * 1024 * 1024 + 1), "application/json", 413),
    ],
    ids=["array", "cut", "bytes", "deep", "text", "form", "long"],
)
def test_a_body_that_is_no_object_is_refused(
    front: Front, body: bytes, kind: str, status: int
) -> None:
    try:
        answer = front.request("POST", "/api/vm.list", body, {"Content-Type": kind})
    except ConnectionError:
        assert status == 413  # refused before everything was sent
    else:
        assert answer.status == status


def test_names_that_are_not_text_go_through(front: Front) -> None:
    """H7: a lone surrogate is a byte that is no UTF-8; such a name is refused, not a bug."""
    assert front.call("vm.show", {"ref": "\udc80"}).status == 400
    hostile = "<script>alert(1)</script>\x1b]0;x\x07"
    answer = front.call("vm.show", {"ref": hostile})
    assert (answer.status, hostile in answer.json["message"]) == (404, True)
    assert b"\x1b" not in answer.body


def test_a_request_needs_a_token(front: Front) -> None:
    answers = [
        front.call("vm.list", Authorization=value)
        for value in ("Bearer nonsense", "Basic abc", "Bearer ", f"Basic {front.token}")
    ]
    assert [(each.status, each.json["code"]) for each in answers] == [(401, "token-invalid")] * 4


@pytest.mark.parametrize("scope", [Scope.READ, Scope.USE, Scope.MANAGE])
def test_a_token_allows_the_methods_of_its_scope(
    front: Front, environ: Environ, scope: Scope
) -> None:
    """Whatever the method is and its parameters: what is not allowed is refused first."""
    own = front.with_token(make_token(environ, f"narrow-{scope.value}", scope.value))
    for method in METHODS.values():
        if scope.allows(method.scope):
            continue
        answer = own.call(method.name, {"nonsense": 1})
        assert (answer.status, answer.json["code"]) == (403, "token-too-narrow"), method.name
    assert own.call("vm.list").status == 200


def test_a_token_that_is_deleted_or_expired_is_refused(front: Front, environ: Environ) -> None:
    own = front.with_token(make_token(environ, "short", "read"))
    assert own.call("vm.list").status == 200
    listed = json.loads(banger(environ, "web", "token", "list", "--json").stdout)
    (view,) = [token for token in listed if token["name"] == "short"]
    assert view["used_at"] >= view["created_at"]
    assert banger(environ, "web", "token", "delete", "short").returncode == 0
    assert own.call("vm.list").status == 401
    made = front.call("token.create", {"name": "brief", "scope": "read", "expires_s": 0.01})
    brief = front.with_token(made.json["token"])
    wait_until(lambda: brief.call("vm.list").status == 401, "the token expires")


def test_a_token_is_kept_nowhere(front: Front, environ: Environ) -> None:
    """G6: the database has a hash of it."""
    kept = [
        path
        for variable in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
        for path in _files(environ[variable])
        if front.token.encode() in path.read_bytes()
    ]
    assert kept == []


def test_a_client_that_leaves_cancels_its_request(front: Front, environ: Environ) -> None:
    """H3."""
    body = json.dumps({"name": "hangs"}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", front.port)
    headers = {"Authorization": f"Bearer {front.token}", "Content-Type": "application/json"}
    connection.request("POST", "/api/vm.create", body, headers)
    wait_until(lambda: "hangs" in read_events(environ), "the request began")
    connection.close()
    wait_until(lambda: "create cancelled" in read_events(environ), "the daemon knows")


def test_a_daemon_of_another_version_is_left_alone(front: Front, run_dir: Path) -> None:
    """A front that outlived an upgrade says so; it does not replace the daemon at each request."""
    environ = make_environ(make_short_dir(run_dir)) | {"BANGER_TEST_VERSION": "9.9.9"}
    output = Path(environ["HOME"]) / "front.txt"
    with scripted_daemon(environ) as daemon, running_front(environ, output) as port:
        answer = Front(port, front.token, output).call("vm.list")
        assert (answer.status, answer.json["code"]) == (503, "version-mismatch")
        assert daemon.poll() is None


def test_many_calls_at_once(front: Front) -> None:
    answers: list[int] = []

    def call() -> None:
        answers.append(front.call("vm.list").status)

    threads = [threading.Thread(target=call) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 30


def _files(directory: str) -> list[Path]:
    return [path for path in Path(directory).rglob("*") if path.is_file()]
