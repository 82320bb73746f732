"""Requests whose body is the input of a stream: a real front, a real agent."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.component.daemon.running import DEADLINE_S, wait_until
from tests.component.web.fronts import Front, input_headers
from tests.component.web.test_streams import EVENTS, parse_events

DATA = bytes(range(256)) * 2**14
"""More than all buffers on the way hold."""


def command(script: str) -> dict[str, object]:
    return {"ref": "box", "argv": ["sh", "-c", script]}


@contextlib.contextmanager
def giving(front: Front, script: str) -> Iterator[http.client.HTTPConnection]:
    """Call `vm.exec`; its input is sent in the block, in chunks."""
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=DEADLINE_S)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/api/vm.exec")
        headers = {**input_headers(command(script)), "Authorization": f"Bearer {front.token}"}
        for name, value in {**headers, "Transfer-Encoding": "chunked"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        yield connection


def chunk(data: bytes) -> bytes:
    """Return a piece of a body as it is sent; an empty one is the end."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_a_body_is_the_input_of_a_command(agents: Front) -> None:
    """H1, H7: all of it, up to its end."""
    assert agents.give("vm.exec", command("cat; echo end"), b"\x00\xff\r\n").body == (
        b"\x00\xff\r\nend\n"
    )
    answer = agents.give("vm.exec", command("sha256sum; exit 3"), DATA, **EVENTS)
    *output, (kind, result) = parse_events(answer.body)
    assert (kind, result["exit"]) == ("result", {"status": 3})
    digest = hashlib.sha256(DATA).hexdigest().encode()
    assert len(output) == 1 and digest in agents.give("vm.exec", command("sha256sum"), DATA).body


def test_input_and_output_go_on_at_the_same_time(agents: Front) -> None:
    with giving(agents, "cat; echo end") as connection:
        connection.send(chunk(b"one\n"))
        with connection.getresponse() as answer:
            assert answer.readline() == b"one\n"
            connection.send(chunk(b"two\n"))
            assert answer.readline() == b"two\n"
            connection.send(chunk(b""))
            assert answer.read() == b"end\n"


def test_a_program_need_not_read_its_input(agents: Front) -> None:
    """What it leaves is taken all the same, of a client that sends all before it reads."""
    assert agents.give("vm.exec", command("echo done"), DATA).body == b"done\n"


def test_input_that_breaks_off_is_not_taken_for_whole(agents: Front, tmp_path: Path) -> None:
    """H3: the program is killed; it does not see an end of its input."""
    running, whole = tmp_path / "running", tmp_path / "whole"
    script = f"echo $$ > {running}.new; mv {running}.new {running}; cat; echo > {whole}"
    with giving(agents, script) as connection:
        connection.send(chunk(b"one\n"))
        wait_until(running.exists, "the program runs")
    wait_until(lambda: not is_alive(int(running.read_text())), "the program is gone")
    assert not whole.exists()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_tar_becomes_files(agents: Front, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("data")
        member.size = len(DATA)
        archive.addfile(member, io.BytesIO(DATA))
    params = {"ref": "box", "path": str(tmp_path), "keep_owners": True}
    answer = agents.give("vm.copy_in", params, packed.getvalue(), **EVENTS)
    assert parse_events(answer.body) == [("result", {"exit": {"status": 0}})]
    assert (tmp_path / "data").read_bytes() == DATA
    ((kind, error),) = parse_events(agents.give("vm.copy_in", params, b"x" * 512, **EVENTS).body)
    assert (kind, error["code"]) == ("error", "guest-refused")


def test_a_session_gets_input(agents: Front) -> None:
    session = {"ref": "box", "name": "reads"}
    argv = ["sh", "-c", "cat; exit 3"]
    assert agents.call("session.start", {**session, "argv": argv, "stdin": True}).status == 200
    sent = agents.give("session.send", {**session, "end_input": True}, b"hello\n", **EVENTS)
    assert parse_events(sent.body) == [("result", {"exit": {"status": 0}})]
    assert agents.call("session.wait", session).json["status"] == 3
    assert agents.call("session.attach", session).body == b"hello\n"


@pytest.mark.parametrize(
    ("method", "params", "status"),
    [
        ("vm.exec", '{"argv": ["true"]}', 400),
        ("vm.exec", None, 400),
        ("vm.exec", "[]", 400),
        ("vm.exec", "{", 400),
        ("vm.exec", "\xff", 400),
        ("vm.exec", '{"ref": "none", "argv": ["true"]}', 404),
        ("vm.logs", '{"ref": "box"}', 415),
        ("vm.list", "{}", 415),
    ],
    ids=["incomplete", "missing", "array", "cut", "bytes", "nothing", "stream", "document"],
)
def test_what_is_refused(agents: Front, method: str, params: str | None, status: int) -> None:
    """E2: parameters are not taken from such a body, nor input for what reads none."""
    answer = agents.give(method, {}, b"{}", **{"Banger-Params": params})
    assert answer.status == status


def test_input_needs_a_token(agents: Front) -> None:
    answer = agents.give("vm.exec", command("true"), b"x", Authorization="Bearer x")
    assert answer.status == 401
