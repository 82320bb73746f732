"""The agent's frames and connection: HELLO, recovery, limits, the end of a host."""

from __future__ import annotations

import platform
import re
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.agent import current_version
from tests.unit.agent.conftest import Agent, wait_gone
from tests.unit.agent.wire import (
    CLOSE,
    CREDIT,
    DATA,
    EOF,
    ERROR,
    EVENT,
    EXEC,
    HELLO,
    LARGEST,
    OPEN,
    PING,
    PREAMBLE,
    RESULT,
    STAT,
    STDIN,
    WINDOW,
    Host,
    fields,
    frame,
    number,
)

QUIET_S = 0.3
SESSIONS, ADDRESS6 = 1, 2
"""What agents can do."""


def assert_silent(host: Host) -> None:
    """Nothing comes. The one wait here that is for time: silence has no other sign."""
    host.sock.settimeout(QUIET_S)
    with pytest.raises(TimeoutError):
        host.sock.recv(1)


def test_hello_says_who_the_agent_is(host: Host) -> None:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    features = SESSIONS | (ADDRESS6 if Path("/proc/net/if_inet6").exists() else 0)
    assert host.version == 2
    assert host.hello == {
        "AGENT_VERSION": current_version().encode(),
        "BOOT_ID": boot_id.encode(),
        "STATE": b"booted",
        "ARCH": platform.machine().encode(),
        "STREAMS": struct.pack("<Q", 2048),
        "FEATURES": struct.pack("<Q", features),
    }


def test_version_string_is_package_version_and_source_hash() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\+[0-9a-f]{12}", current_version())


def test_ping_tells_the_clock(host: Host) -> None:
    """D1: by this the host sees that a guest's clock is wrong."""
    before = time.time_ns()
    answer = host.call(PING).result
    assert list(answer) == ["CLOCK_NS"]
    assert before <= struct.unpack("<q", answer["CLOCK_NS"])[0] <= time.time_ns()


def test_no_common_version_means_zero_and_silence(host: Host) -> None:
    host.connect(low=3, high=9)
    assert host.version == 0
    host.send(frame(OPEN, 1, bytes([PING])))
    assert_silent(host)
    host.connect(low=1, high=9)
    assert host.version == 2
    assert host.call(PING).result


def test_zeros_between_frames_are_skipped(host: Host) -> None:
    host.send(bytes(1000))
    assert host.call(PING).result


def test_hello_drops_what_was_in_flight(host: Host) -> None:
    """D6, H2: a new host does not see the streams of an old one, and its programs are dead."""
    stream = host.start("sleep", "1000")
    pid = number(host.wait_event(stream).fields["PID"])
    host.connect()
    wait_gone(pid)
    assert host.call(PING).result


def test_stream_numbers_start_again_after_hello(host: Host) -> None:
    for _ in range(3):
        assert host.call(PING).result
    host.connect()
    assert host.next_stream == 1
    assert host.call(PING).result


def test_host_gone_kills_what_runs(agent: Agent) -> None:
    """B1, H2: the host's end closes, the agent ends its programs and itself."""
    stream = agent.host.start("sh", "-c", "sleep 1000 & echo $!; wait")
    pid = number(agent.host.wait_event(stream).fields["PID"])
    child = int(agent.host.wait_output(stream, b"\n"))
    assert agent.end() == 0
    wait_gone(pid)
    wait_gone(child)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(frame(OPEN, 1, bytes([PING]))[:-1] + b"\x00", id="wrong end byte"),
        pytest.param(b"\x02\x00\x00\x07" + frame(OPEN, 1, bytes([PING]))[4:], id="byte 3"),
        pytest.param(struct.pack("<BBBBII", OPEN, 0, 0, 0, 1, LARGEST + 1), id="too long"),
        pytest.param(struct.pack("<BBBBII", DATA, 0, 0, 0, 1, 0xFFFFFFFF), id="far too long"),
        pytest.param(frame(11, 1), id="type 11"),
        pytest.param(frame(255, 1), id="type 255"),
        pytest.param(b"\xff" * 64, id="noise"),
    ],
)
def test_protocol_error_is_forgotten_until_hello(host: Host, broken: bytes) -> None:
    """E2 (from the host's side): nothing after a broken frame is acted on; HELLO recovers."""
    host.send(broken + frame(OPEN, 2, bytes([PING])))
    assert_silent(host)
    host.connect()
    assert host.call(PING).result


@pytest.mark.parametrize("kind", [EVENT, RESULT, ERROR])
def test_frames_of_the_agent_are_refused_from_the_host(host: Host, kind: int) -> None:
    stream = host.start("cat", flags=STDIN)
    host.wait_event(stream)
    host.send(frame(kind, stream) + frame(OPEN, stream + 1, bytes([PING])))
    assert_silent(host)
    host.connect()
    assert host.call(PING).result


def test_data_beyond_the_credit_is_a_protocol_error(host: Host) -> None:
    stream = host.start("sleep", "1000", flags=STDIN)
    host.wait_event(stream)
    # What the pipe holds, the window, and the same once more: too much in any case.
    for _ in range(3 * WINDOW // LARGEST):
        host.send(frame(DATA, stream, bytes(LARGEST)))
    host.send(frame(OPEN, stream + 1, bytes([PING])))
    host.sock.settimeout(QUIET_S)
    seen = b""
    try:
        while raw := host.sock.recv(65536):
            seen += raw
    except TimeoutError:
        pass
    assert frame(RESULT, stream + 1) not in seen
    host.connect()
    assert host.call(PING).result


def test_credit_of_a_wrong_shape_is_a_protocol_error(host: Host) -> None:
    stream = host.start("cat", flags=STDIN)
    host.wait_event(stream)
    host.send(frame(CREDIT, stream, b"\x01", channel=1) + frame(OPEN, stream + 1, bytes([PING])))
    assert_silent(host)
    host.connect()


def test_a_cut_at_every_byte_of_a_request(host: Host) -> None:
    """B5: a host can die between any two bytes; the next one is served."""
    whole = frame(OPEN, 1, bytes([EXEC]) + fields(("ARG", "true")))
    for cut in range(len(whole)):
        host.send(whole[:cut])
        host.connect()
        assert host.call(PING).result


CONVERSATION = b"".join(
    [
        frame(OPEN, 1, bytes([EXEC]) + fields(("ARG", "cat"), ("FLAGS", STDIN))),
        frame(DATA, 1, bytes(range(256)) * 100),
        frame(OPEN, 2, bytes([STAT]) + fields(("PATH", "/")), flags=1),
        frame(OPEN, 2, fields(("PATH", "/"))),
        frame(EOF, 1),
        frame(CREDIT, 1, struct.pack("<I", 70000), channel=1),
        frame(CLOSE, 1),
        frame(HELLO, 0, b"BANGER\x00\x01" + bytes(20)),
    ]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, len(CONVERSATION)),
    changes=st.lists(st.tuples(st.integers(0, len(CONVERSATION) - 1), st.integers(0, 255))),
    noise=st.binary(max_size=400),
)
def test_broken_bytes_then_hello_recovers(
    host: Host, cut: int, changes: list[tuple[int, int]], noise: bytes
) -> None:
    """E2, D3: whatever a host sent before, the preamble and HELLO bring the agent back."""
    raw = bytearray(CONVERSATION)
    for at, value in changes:
        raw[at] = value
    host.send(bytes(raw[:cut]) + noise)
    host.connect()
    assert host.exec("cat", stdin=b"still here").stdout == b"still here"


def test_hello_is_found_right_behind_noise(host: Host) -> None:
    """The pattern may begin anywhere, also inside something that looks like its beginning."""
    host.send(b"\xff" + frame(HELLO, 0, b"BANGER\x00\x01" + bytes(20))[:15])
    host.connect()
    assert host.call(PING).result


def test_preamble_alone_changes_nothing(host: Host) -> None:
    stream = host.start("cat", flags=STDIN)
    host.wait_event(stream)
    host.send(PREAMBLE)
    host.write(stream, b"x")
    assert host.wait(stream).stdout == b"x"


# --- requests ------------------------------------------------------------------


@pytest.mark.parametrize("split", [1, 7, 1000])
def test_a_request_in_many_frames(host: Host, split: int) -> None:
    stream = host.open(EXEC, ("ARG", "echo"), ("ARG", "in parts"), split=split)
    assert host.wait(stream).stdout == b"in parts\n"


def test_a_request_of_nearly_a_mebibyte(host: Host) -> None:
    more = [("ENV", f"V{i}={'x' * 1000}") for i in range(900)]
    outcome = host.exec("sh", "-c", 'echo "${#V0} ${#V899}"', more=more)
    assert outcome.stdout == b"1000 1000\n"


def test_a_request_over_a_mebibyte_is_too_large(host: Host) -> None:
    more = [("ENV", f"V{i}={'x' * 1000}") for i in range(1100)]
    assert host.exec("true", more=more).code == "too-large"
    assert host.call(PING).result


def test_a_host_of_version_1_has_64_streams_and_large_windows(host: Host) -> None:
    host.connect(high=1)
    assert host.version == 1
    assert "STREAMS" not in host.hello
    streams = [host.start("cat", flags=STDIN) for _ in range(64)]
    assert host.call(PING).code == "too-many-streams"
    host.write(streams[0], b"")
    assert host.wait(streams[0]).status == 0
    assert host.call(PING).result


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00", id="kind 0"),
        pytest.param(b"\x0c", id="kind 12"),
        pytest.param(b"\xff" + fields(("ARG", "true")), id="kind 255"),
        pytest.param(bytes([EXEC]), id="no ARG"),
        pytest.param(bytes([STAT]), id="no PATH"),
        pytest.param(bytes([PING]) + fields(("ARG", "true")), id="field of another request"),
        pytest.param(bytes([EXEC]) + struct.pack("<HI", 999, 0), id="unknown field"),
        pytest.param(bytes([EXEC]) + b"\x10\x00", id="cut field"),
        pytest.param(bytes([EXEC]) + struct.pack("<HI", 16, 5) + b"four", id="short field"),
        pytest.param(bytes([EXEC]) + struct.pack("<HI", 16, 0xFFFFFFFF), id="huge field"),
        pytest.param(bytes([EXEC]) + fields(("ARG", b"a\x00b")), id="NUL"),
        pytest.param(bytes([STAT]) + fields(("PATH", "/"), ("PATH", "/")), id="twice"),
        pytest.param(bytes([EXEC]) + fields(("ARG", "true"), ("FLAGS", b"1")), id="no number"),
        pytest.param(bytes([EXEC]) + fields(("ARG", "true"), ("FLAGS", 64)), id="unknown flag"),
        pytest.param(bytes([EXEC]) + fields(("ARG", "true"), ("FLAGS", 5)), id="DETACH and TTY"),
        pytest.param(bytes([EXEC]) + fields(("ARG", "true"), ("FLAGS", 8)), id="SUPERVISE alone"),
        pytest.param(bytes([EXEC]) + fields(("ARG", "true"), ("CWD", "tmp")), id="relative CWD"),
        pytest.param(bytes([EXEC]) + fields(("ARG", "true"), ("ENV", "novalue")), id="no value"),
        pytest.param(bytes([9]) + fields(("FLAGS", 2)), id="unknown POWEROFF flag"),
    ],
)
def test_bad_requests_are_refused_and_harmless(host: Host, payload: bytes) -> None:
    host.send(frame(OPEN, 1, payload))
    answer = host.read()
    assert (answer.kind, answer.stream) == (ERROR, 1)
    assert answer.fields["CODE"] == b"bad-request"
    host.next_stream = 2
    assert host.call(PING).result


def test_frames_for_ended_streams_are_ignored(host: Host) -> None:
    """They crossed with the RESULT."""
    host.call(PING)
    for kind in (DATA, EOF, CLOSE):
        host.send(frame(kind, 1))
    host.send(frame(CREDIT, 1, struct.pack("<I", 1), channel=1) + frame(DATA, 77, b"x"))
    host.send(frame(OPEN, 1, bytes([PING])))
    assert host.call(PING).result


def test_close_of_a_request_that_is_not_whole(host: Host) -> None:
    host.send(frame(OPEN, 1, bytes([EXEC]), flags=1) + frame(CLOSE, 1))
    answer = host.read()
    assert (answer.kind, answer.stream, answer.fields["CODE"]) == (ERROR, 1, b"closed")


def test_many_answers_at_once_stay_bounded(host: Host, tmp_path: Path) -> None:
    """E2: thousands of requests in one write, whose answers are far larger than they are."""
    link = tmp_path / "l"
    link.symlink_to("x" * 4000)
    request = bytes([STAT]) + fields(("PATH", str(link)))
    raw = b"".join(frame(OPEN, i, request) for i in range(1, 1501))
    host.sock.setblocking(False)
    sent = received = 0
    while received < 1500:
        if sent < len(raw):
            try:
                sent += host.sock.send(raw[sent : sent + 65536])
                continue
            except BlockingIOError:
                host.sock.setblocking(True)
        answer = host.read()
        assert answer.kind == RESULT
        assert len(answer.fields["TARGET"]) == 4000
        received += 1
        host.sock.setblocking(False)


def test_garbage_as_descriptor_is_refused(agent_binary: Path) -> None:
    for words in (["--fd", "99"], ["--fd", "x"], ["--fd"], ["serve"], []):
        done = subprocess.run([agent_binary, *words], capture_output=True, check=False)
        assert done.returncode == 2
        assert done.stderr


def test_host_that_hangs_up_without_a_word(agent_binary: Path) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [agent_binary, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
    ours.close()
    assert process.wait(20) == 0
