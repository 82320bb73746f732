"""SESSION_*: what the page says, byte for byte, also under the sanitizers (B11, E2)."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import pytest

from tests.unit.agent.conftest import Agent, wait_gone, wait_still
from tests.unit.agent.wire import (
    CREDIT,
    DETACH,
    LARGEST,
    PING,
    SESSION_ATTACH,
    SESSION_DELETE,
    SESSION_LIST,
    SESSION_SEND,
    SESSION_SIGNAL,
    SESSION_START,
    SESSION_WAIT,
    STDIN,
    TTY,
    Host,
    decode,
    frame,
    number,
)

FOLLOW, WITH_INPUT, ENDS_INPUT = 1, 2, 1
SESSIONS = 1


def start(host: Host, name: str, script: str, flags: int = 0) -> dict[str, bytes]:
    words = [("ARG", word) for word in ("sh", "-c", script)]
    outcome = host.call(SESSION_START, ("NAME", name), *words, ("FLAGS", flags))
    return dict(decode(outcome.result["SESSION"]))


def look(host: Host, name: str) -> dict[str, bytes]:
    return dict(decode(host.call(SESSION_LIST, ("NAME", name)).result["SESSION"]))


def records(raw: bytes) -> list[tuple[int, bytes]]:
    """The records of the page: (channel, bytes)."""
    found = []
    while raw:
        time_ns, length, channel, zero = struct.unpack_from("<qIB3s", raw)
        assert zero == bytes(3) and 0 < length <= LARGEST
        assert abs(time_ns - time.time_ns()) < 3600 * 10**9
        assert len(raw) >= 16 + length
        found.append((channel, raw[16 : 16 + length]))
        raw = raw[16 + length :]
    return found


def read(host: Host, name: str, *, flags: int = 0, offset: int = 0) -> list[tuple[int, bytes]]:
    outcome = host.call(SESSION_ATTACH, ("NAME", name), ("FLAGS", flags), ("OFFSET", offset))
    assert outcome.ended == {1}
    return records(outcome.stdout)


def send(host: Host, name: str, raw: bytes, *, flags: int = 0) -> None:
    stream = host.open(SESSION_SEND, ("NAME", name), ("FLAGS", flags))
    host.write(stream, raw)
    assert number(host.wait(stream).result["BYTES"]) == len(raw)


def fill(host: Host, stream: int) -> int:
    """Send until the agent grants no more; return how much."""
    given = 0
    while size := min(host.credit[stream], LARGEST):
        host.write(stream, bytes(size), eof=False)
        given += size
        host.call(PING).result  # noqa: B018 - asserts that it is one; credit came before it
    return given


def test_the_hello_says_that_there_are_sessions(host: Host) -> None:
    assert number(host.hello["FEATURES"]) & SESSIONS


def test_from_start_to_end(host: Host) -> None:
    made = start(host, "one", "read a; echo $a; echo err >&2; exit 3", STDIN)
    assert made["NAME"] == b"one" and number(made["FLAGS"]) == STDIN
    assert number(made["PID"]) > 1 and "ENDED_NS" not in made
    waiting = host.open(SESSION_WAIT, ("NAME", "one"))
    reader = host.open(SESSION_ATTACH, ("NAME", "one"), ("FLAGS", FOLLOW))
    event = host.wait_event(reader).fields
    assert number(event["OFFSET"]) == 0 and dict(decode(event["SESSION"]))["NAME"] == b"one"
    send(host, "one", b"word\n")
    assert number(host.wait(waiting).result["STATUS"]) == 3
    result = host.wait(reader).result
    assert (number(result["STATUS"]), number(result["OFFSET"])) == (3, 9)
    said = dict(records(host.outcomes[reader].stdout))
    assert said == {1: b"word\n", 2: b"err\n"}
    ended = look(host, "one")
    assert number(ended["STATUS"]) == 3 and "PID" not in ended
    assert host.call(SESSION_DELETE, ("NAME", "one")).result == {}
    assert host.call(SESSION_LIST, ("NAME", "one")).code == "not-found"


@pytest.mark.parametrize(
    ("kind", "items"),
    [
        (SESSION_START, [("NAME", "one")]),
        (SESSION_START, [("ARG", "true")]),
        (SESSION_START, [("NAME", ""), ("ARG", "true")]),
        (SESSION_START, [("NAME", "x" * 64), ("ARG", "true")]),
        (SESSION_START, [("NAME", "a"), ("NAME", "b"), ("ARG", "true")]),
        (SESSION_START, [("NAME", "one"), ("ARG", "true"), ("FLAGS", DETACH)]),
        (SESSION_ATTACH, [("NAME", "one"), ("FLAGS", 4)]),
        (SESSION_SEND, [("NAME", "one"), ("FLAGS", 2)]),
        (SESSION_SIGNAL, [("NAME", "sleeper"), ("SIGNAL", 0)]),
        (SESSION_SIGNAL, [("NAME", "sleeper"), ("SIGNAL", 65)]),
        (SESSION_WAIT, []),
    ],
)
def test_requests_that_the_page_does_not_know(
    host: Host, kind: int, items: list[tuple[str, int | str | bytes]]
) -> None:
    start(host, "sleeper", "sleep 1000")
    assert host.call(kind, *items).code == "bad-request"
    assert host.call(PING).result


def test_sessions_outlive_their_host_and_nothing_else_does(host: Host) -> None:
    """B11: a HELLO gives up all streams; writers and readers are gone, the session is not."""
    start(host, "one", "while read a; do echo $a; done", STDIN)
    writer = host.open(SESSION_ATTACH, ("NAME", "one"), ("FLAGS", FOLLOW | WITH_INPUT))
    host.wait_event(writer)
    assert host.call(SESSION_SEND, ("NAME", "one")).code == "busy"
    host.connect()
    assert number(look(host, "one")["READERS"]) == 0
    send(host, "one", b"x\n", flags=ENDS_INPUT)
    host.call(SESSION_WAIT, ("NAME", "one")).result  # noqa: B018 - asserts that it is one
    assert read(host, "one") == [(1, b"x\n")]


def test_programs_end_with_the_agent(agent: Agent) -> None:
    """Only where the agent is a process of a host."""
    pid = number(start(agent.host, "one", "sleep 1000; true")["PID"])
    assert agent.end() == 0
    wait_gone(pid)


def test_output_waits_for_credit_and_for_nobody_else(host: Host) -> None:
    """E2: a reader that grants nothing holds up neither the program nor the other readers."""
    start(host, "one", "head -c 2000000 /dev/zero; read a", STDIN)
    host.grants = False
    stuck = host.open(SESSION_ATTACH, ("NAME", "one"), ("FLAGS", FOLLOW))
    host.wait_event(stuck)
    while number(look(host, "one")["SIZE"]) < 2_000_000:
        time.sleep(0.005)
    host.grants = True
    assert sum(len(raw) for _, raw in read(host, "one")) == 2_000_000
    assert len(host.outcomes[stuck].stdout) <= host.window
    host.send(frame(CREDIT, stuck, struct.pack("<I", 3_000_000), channel=1))
    send(host, "one", b"\n")
    host.wait(stuck)
    assert sum(len(raw) for _, raw in records(host.outcomes[stuck].stdout)) == 2_000_000


def test_a_gap_is_a_record(host: Host) -> None:
    """E2"""
    start(host, "one", "head -c 9000000 /dev/zero; printf end")
    host.call(SESSION_WAIT, ("NAME", "one")).result  # noqa: B018 - asserts that it is one
    kept_from = number(look(host, "one")["OFFSET"])
    assert 4 * 1024 * 1024 <= 9_000_003 - kept_from < 5 * 1024 * 1024
    (first, gap), *rest = read(host, "one", offset=1)
    assert first == 0 and number(gap) == kept_from - 1
    said = b"".join(raw for _, raw in rest)
    assert said == bytes(9_000_000 - kept_from) + b"end"
    assert read(host, "one", offset=9_000_001) == [(1, b"nd")]


def test_a_session_may_be_deleted_under_its_readers(host: Host) -> None:
    """H2: one that has not yet had everything hears of it."""
    start(host, "one", "head -c 500000 /dev/zero")
    host.call(SESSION_WAIT, ("NAME", "one")).result  # noqa: B018 - asserts that it is one
    host.grants = False
    stuck = host.open(SESSION_ATTACH, ("NAME", "one"))
    host.wait_event(stuck)
    host.call(SESSION_DELETE, ("NAME", "one")).result  # noqa: B018 - asserts that it is one
    assert host.wait(stuck).code == "not-found"


def test_input_that_nobody_reads_any_more(host: Host) -> None:
    start(host, "one", "exec <&-; echo closed; sleep 1000", STDIN)
    reader = host.open(SESSION_ATTACH, ("NAME", "one"), ("FLAGS", FOLLOW))
    host.wait_output(reader, b"closed")
    stream = host.open(SESSION_SEND, ("NAME", "one"))
    host.write(stream, b"x" * 10)
    assert number(host.wait(stream).result["BYTES"]) == 0


def test_a_sender_hears_of_the_end(host: Host) -> None:
    """H2: with how much of what it has sent was taken."""
    start(host, "one", "sleep 1000", STDIN)
    stream = host.open(SESSION_SEND, ("NAME", "one"))
    host.wait_event(stream)
    given = fill(host, stream)
    host.call(SESSION_SIGNAL, ("NAME", "one"), ("SIGNAL", 9)).result  # noqa: B018 - asserts that it is one
    taken = number(host.wait(stream).result["BYTES"])
    assert 0 < taken < given
    assert number(host.call(SESSION_WAIT, ("NAME", "one")).result["SIGNAL"]) == 9
    assert host.call(SESSION_SEND, ("NAME", "one")).code == "ended"


def test_a_detached_reader_leaves_the_session(host: Host) -> None:
    start(host, "one", "sleep 1000")
    stream = host.open(SESSION_ATTACH, ("NAME", "one"), ("FLAGS", FOLLOW))
    host.wait_event(stream)
    host.close_stream(stream)
    assert host.wait(stream).code == "closed"
    assert "PID" in look(host, "one")


def test_a_terminal_that_all_have_closed(agent: Agent) -> None:
    """The session runs on without it, and the agent does not spin."""
    host = agent.host
    start(host, "one", "echo x; exec <&- >&- 2>&-; sleep 1000", TTY)
    reader = host.open(SESSION_ATTACH, ("NAME", "one"), ("FLAGS", FOLLOW))
    host.wait_output(reader, b"x\r\n")
    for _ in range(20):
        host.call(PING).result  # noqa: B018 - asserts that it is one
    wait_still(agent.process.pid, "the agent spins")
    host.call(SESSION_SIGNAL, ("NAME", "one"), ("SIGNAL", 15)).result  # noqa: B018 - asserts that it is one
    assert number(host.wait(reader).result["SIGNAL"]) == 15


def test_a_listing_of_many_with_long_commands(host: Host) -> None:
    """More than a frame holds: NUMBER says where to go on."""
    names = [f"s{each}" for each in range(60)]
    for name in names:
        items = [("ARG", "true"), ("ARG", name + "x" * 2000)]
        host.call(SESSION_START, ("NAME", name), *items).result  # noqa: B018 - asserts that it is one
    found, after = [], 0
    while True:
        outcome = host.call(SESSION_LIST, ("NUMBER", after))
        fields = decode(outcome.last.payload) if outcome.last else []
        found += [dict(decode(raw))["NAME"].decode() for tag, raw in fields if tag == "SESSION"]
        if "NUMBER" not in dict(fields):
            break
        after = number(dict(fields)["NUMBER"])
    assert found == names
    words = [
        raw
        for tag, raw in decode(host.call(SESSION_LIST, ("NAME", "s7")).result["SESSION"])
        if tag == "ARG"
    ]
    assert words[0] == b"true" and words[1].startswith(b"s7xxx") and len(words[1]) < 1024


def test_the_programs_environment_user_and_directory(host: Host, tmp_path: Path) -> None:
    items = [
        ("ARG", "sh"),
        ("ARG", "-c"),
        ("ARG", "echo $PWD $A; id -u"),
        ("ENV", "A=b"),
        ("CWD", str(tmp_path)),
    ]
    host.call(SESSION_START, ("NAME", "one"), *items, ("USER", str(os.getuid()))).result  # noqa: B018 - asserts that it is one
    host.call(SESSION_WAIT, ("NAME", "one")).result  # noqa: B018 - asserts that it is one
    said = b"".join(raw for _, raw in read(host, "one"))
    assert said == f"{tmp_path} b\n{os.getuid()}\n".encode()
