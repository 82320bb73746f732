"""What becomes of bugs in the front, and of clients that leave, by HTTP and by WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.errors import TokenInvalid
from banger.web.app import make_app
from banger.web.front import Front
from banger.web.streams import Streaming

HOST = "127.0.0.1:7782"
CALL = {"type": "http", "method": "POST", "path": "/api/vm.list"}
TERMINAL = {
    "type": "websocket",
    "path": "/api/vms/box/terminal",
    "extensions": {"websocket.http.response": {}},
}


class Output:
    """A stream that has output at once, and does not end."""

    def start(self, streaming: Streaming) -> None:
        streaming.output(1, b"x")

    def control(self, content: object) -> None:
        """Take it."""

    resume = close = lambda self: None


def ask(
    reports: Path,
    scope: Mapping[str, object],
    *,
    check: Exception | None = None,
    begin: Exception | None = None,
    gone_at: str | None = None,
) -> list[dict[str, Any]]:
    """Return what is sent by a front whose ways to the daemon raise these errors.

    The client has gone when a message of the type `gone_at` is sent.
    """
    sent: list[dict[str, Any]] = []
    body = {"type": "http.request", "body": b""}
    coming = [body if scope["type"] == "http" else {"type": "websocket.connect"}]

    async def call(_: str, __: object) -> object:
        if check is not None:
            raise check
        return {"scope": "manage"}

    async def open_connection(*_: object) -> object:
        if begin is not None:
            raise begin
        return Output()

    async def receive() -> Any:
        return coming.pop() if coming else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == gone_at:
            raise OSError
        sent.append(message)

    daemon: Any = SimpleNamespace(call=call, open_connection=open_connection)
    app = make_app(Front(daemon, "cookie"), hosts=[HOST], reports=reports)
    headers = [(b"host", HOST.encode()), (b"authorization", b"Bearer x")]
    whole = {"headers": headers, "query_string": b"", **scope}
    asyncio.run(asyncio.wait_for(app(whole, receive, send), 60))
    return sent


@pytest.mark.parametrize("scope", [CALL, TERMINAL], ids=["http", "websocket"])
@pytest.mark.parametrize("where", ["check", "begin"])
def test_a_bug_is_reported_and_told(
    tmp_path: Path, scope: Mapping[str, object], where: str
) -> None:
    """G6: the answer has no value of the request; a report tells where it was."""
    raised: dict[str, Any] = {where: KeyError("secret")}
    sent = ask(tmp_path, scope, **raised)
    (report,) = tmp_path.glob("web-*.txt")
    assert "Traceback" in report.read_text()
    told = json.dumps([{**message, "headers": None} for message in sent], default=bytes.decode)
    assert "internal-error" in told and str(report) in told and "secret" not in told
    if scope is CALL or where == "check":
        assert sent[0]["type"].endswith("http.response.start") and sent[0]["status"] == 500
    else:
        kinds = [message["type"] for message in sent]
        assert kinds == ["websocket.accept", "websocket.send", "websocket.close"]
        assert sent[-1]["code"] == 1011


@pytest.mark.parametrize(
    ("gone_at", "check"),
    [
        ("websocket.http.response.start", TokenInvalid("It is not valid.")),
        ("websocket.accept", None),
        ("websocket.send", None),
    ],
)
def test_a_browser_that_leaves_is_no_bug(
    tmp_path: Path, gone_at: str, check: Exception | None
) -> None:
    ask(tmp_path, TERMINAL, check=check, gone_at=gone_at)
    assert list(tmp_path.iterdir()) == []
