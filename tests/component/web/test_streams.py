"""Progress, output and events of VMs as they come, on a real front and a scripted daemon."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator
from http.client import HTTPResponse, IncompleteRead
from typing import Any

import pytest

from banger.web.sse import STREAMS, format_event
from tests.component.daemon.running import banger, read_events, wait_until
from tests.component.daemon.scripted import PATCH
from tests.component.web.fronts import Environ, Front

EVENTS = {"Accept": "text/event-stream"}


def test_progress_comes_before_the_result(front: Front) -> None:
    """H9."""
    answer = front.call("vm.create", {"name": "told"}, **EVENTS)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = parse_events(answer.body)
    assert [kind for kind, _ in events] == ["progress", "note", "progress", "result"]
    assert events[0][1]["stage"] == "boot"
    assert events[-1][1]["name"] == "told"


def test_an_error_is_the_last_event(front: Front) -> None:
    ((kind, content),) = parse_events(front.call("vm.show", {"ref": "none"}, **EVENTS).body)
    assert (kind, content["code"], content["hint"]) == ("error", "vm-not-found", "banger vm list")


def test_a_command_gives_both_outputs_and_its_status(front: Front, box: str) -> None:
    """H1."""
    params = {"ref": box, "argv": ["sh", "-c", "cat; echo out; echo err >&2; exit 3"]}
    *events, (kind, result) = parse_events(front.call("vm.exec", params, **EVENTS).body)
    assert (kind, result["exit"]) == ("result", {"status": 3})
    got = {c["channel"]: base64.b64decode(c["data"]) for k, c in events if k == "output"}
    assert got == {1: b"out\n", 2: b"err\n"}


def test_a_stream_is_bytes_if_asked_for(front: Front, box: str) -> None:
    """H7."""
    bytes_ = {"Accept": "application/octet-stream"}
    assert front.call("workspace.export", {"ref": box}, **bytes_).body == PATCH
    assert front.call("vm.logs", {"ref": box}, **bytes_).body.startswith(b"\x1b[31mbooting")
    missing = front.call("workspace.export", {"ref": "none"}, **bytes_)
    assert (missing.status, missing.json["code"]) == (404, "vm-not-found")


def test_a_stream_that_fails_breaks_off(front: Front) -> None:
    """What came is not taken for whole."""
    front.call("vm.create", {"name": "unsafe", "labels": {"unsafe": "yes"}})
    bytes_ = {"Accept": "application/octet-stream"}
    with pytest.raises(IncompleteRead):
        front.call("workspace.export", {"ref": "unsafe"}, **bytes_)


def test_a_stream_is_no_document(front: Front, box: str) -> None:
    asked = {"ref": box, "argv": ["sh", "-c", "echo out; echo err >&2"]}
    assert front.call("vm.exec", asked, Accept="application/json").status == 406
    both = front.call("vm.exec", asked, Accept="*/*")
    assert sorted(both.body.splitlines()) == [b"err", b"out"]


def test_a_client_that_leaves_ends_its_stream(front: Front, environ: Environ) -> None:
    """H3."""
    body = json.dumps({"name": "hangs"}).encode()
    before = read_events(environ).count("create cancelled")
    headers = {**headers_of(front), **EVENTS, "Content-Length": str(len(body))}
    with front.sending("POST", "/api/vm.create", headers, body) as answer:
        assert read_until(answer, b"event: note")
    wait_until(lambda: read_events(environ).count("create cancelled") > before, "cancelled")


def test_events_of_vms_come_with_their_ids(real: Front) -> None:
    """Resumed by the last of them, nothing is told twice."""
    path = f"/api/events?kind=changed&since={time.time()}"
    with watching(real, path) as lines:
        assert real.call("vm.set", {"ref": "first", "labels": {"a": "1"}}).status == 200
        event = next_event(lines)
    assert (event["name"], event["kind"]) == ("first", "changed")
    assert real.call("vm.set", {"ref": "second", "labels": {"a": "1"}}).status == 200
    with watching(real, path, {"Last-Event-ID": repr(event["at"])}) as lines:
        assert next_event(lines)["name"] == "second"


def test_events_go_on_with_the_next_daemon(real: Front, real_environ: Environ) -> None:
    with watching(real, f"/api/events?kind=changed&since={time.time()}") as lines:
        assert banger(real_environ, "daemon", "restart").returncode == 0
        assert real.call("vm.set", {"ref": "first", "labels": {"b": "2"}}).status == 200
        kinds = []
        while kinds[-1:] != ["changed"]:
            kinds.append(next_event(lines)["kind"])
    assert set(kinds) <= {"missed", "changed"}


@pytest.mark.parametrize("query", ["since=x", "since=nan", "since=inf"])
def test_a_time_that_is_none_is_refused(front: Front, query: str) -> None:
    assert front.request("GET", f"/api/events?{query}").status == 400


def test_idle_streams_are_bounded(real: Front) -> None:
    """E2: beyond that they are refused, other requests are served, and leaving makes room."""
    with contextlib.ExitStack() as stack:
        for _ in range(STREAMS):
            request = real.sending("GET", "/api/events", {**headers_of(real), **EVENTS})
            assert read_until(stack.enter_context(request), b": begun")
        answers = [real.request("GET", "/api/events") for _ in range(500 - STREAMS)]
        assert {answer.status for answer in answers} == {503}
        assert real.call("vm.list").status == 200

    def has_room() -> bool:
        with real.sending("GET", "/api/events", headers_of(real)) as answer:
            return answer.status == 200

    wait_until(has_room, "the streams have ended")


def test_no_text_adds_a_line_to_an_event() -> None:
    text = format_event((None, {"name": "a\n\ndata: {}\r\u2028"}, None))
    assert len(text.splitlines()) == 2
    assert json.loads(text.removeprefix("data: "))["name"] == "a\n\ndata: {}\r\u2028"


def headers_of(front: Front) -> dict[str, str]:
    return {
        "Host": front.host,
        "Authorization": f"Bearer {front.token}",
        "Content-Type": "application/json",
    }


@contextlib.contextmanager
def watching(
    front: Front, path: str, headers: dict[str, str] | None = None
) -> Iterator[HTTPResponse]:
    sent = {**headers_of(front), **EVENTS, **(headers or {})}
    with front.sending("GET", path, sent) as answer:
        assert answer.status == 200
        yield answer


def read_until(answer: HTTPResponse, text: bytes) -> bool:
    """Read lines until one begins with a text; tell whether one did."""
    return any(line.startswith(text) for line in iter(answer.readline, b""))


def next_event(answer: HTTPResponse) -> dict[str, Any]:
    found = next(line for line in iter(answer.readline, b"") if line.startswith(b"data: "))
    event: dict[str, Any] = json.loads(found.removeprefix(b"data: "))
    return event


def parse_events(body: bytes) -> list[tuple[str, Any]]:
    """Return the kinds and contents of events that have come whole."""
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if "data" in fields:
            found.append((fields.get("event", ""), json.loads(fields["data"])))
    return found
