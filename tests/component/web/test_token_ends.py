"""E6: what was permitted with a token, or with a browser's login, ends with it."""

from __future__ import annotations

import contextlib
import json
from http.client import IncompleteRead

import pytest

from tests.component.web.fronts import Answer, Front
from tests.component.web.test_logins import browse, log_in, login_of
from tests.component.web.test_streams import EVENTS, parse_events, read_until
from tests.component.web.test_terminal import read_all, terminal
from tests.component.web.test_terminal import read_until as read_terminal_until

ENDLESS = "echo begun; exec sleep 1000"


@pytest.mark.parametrize("kind", ["program", "login"])
def test_what_a_token_began_ends_with_it(front: Front, box: str, kind: str) -> None:
    """Streams of events and of bytes, and terminals; those of another token go on."""
    if kind == "program":
        made = front.call("token.create", {"name": "short", "scope": "use"}).json
        sent = {"Authorization": f"Bearer {made['token']}"}
    else:
        sent = {**login_of(log_in(front)), "Origin": front.origin}
    body = json.dumps({"ref": box, "argv": ["sh", "-c", ENDLESS]}).encode()
    asked = {**sent, "Host": front.host, "Content-Type": "application/json"}
    asked["Content-Length"] = str(len(body))
    with contextlib.ExitStack() as stack:
        events, output = (
            stack.enter_context(front.sending("POST", "/api/vm.exec", headers, body))
            for headers in ({**asked, **EVENTS}, asked)
        )
        own, other = (
            stack.enter_context(terminal(front, box, headers, command=ENDLESS))
            for headers in (sent, None)
        )
        assert read_until(events, b"event: output")
        assert output.readline() == b"begun\n"
        for socket in (own, other):
            read_terminal_until(socket, b"begun\r\n")
        assert end(front, kind, sent).status in (200, 204)
        *_, (last, error) = parse_events(b"event: output\n" + events.read())
        assert (last, error["code"]) == ("error", "token-invalid")
        with pytest.raises(IncompleteRead):
            output.read()
        _, ended = read_all(own)
        assert isinstance(ended, dict) and ended["error"]["code"] == "token-invalid"
        other.send(b"\x03")
        assert read_all(other)[1] == {"exit": 130}


def end(front: Front, kind: str, sent: dict[str, str]) -> Answer:
    if kind == "program":
        return front.call("token.delete", {"name": "short"})
    return browse(front, "DELETE", "/session", **sent)
