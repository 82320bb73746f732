"""Many streams on one connection: the budget, the windows, and what wakes a stream that waits."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import struct
from pathlib import Path

import pytest

from tests.unit.agent.conftest import Agent, start_agent, wait_gone, wait_still
from tests.unit.agent.wire import (
    CLOSE,
    CONNECT,
    CREDIT,
    DATA,
    EOF,
    EXEC,
    FIRST_WINDOW,
    OPEN,
    PING,
    STDIN,
    TTY,
    WINDOW,
    Host,
    Outcome,
    frame,
    number,
)

STREAMS = 2048
POOL = 16 << 20
"""What all windows together may have beyond the first ones."""
PIPE = 262144
"""What a pipe of the agent's holds."""
D = 20


def credit(host: Host, stream: int, size: int, *, channel: int = 1) -> None:
    host.send(frame(CREDIT, stream, struct.pack("<I", size), channel=channel))


def output_of(host: Host, stream: int, size: int) -> None:
    """Wait until so much has come."""
    while len(host.outcomes[stream].output[1]) < size:
        host.step()


def descriptors(agent: Agent) -> int:
    return len(os.listdir(f"/proc/{agent.process.pid}/fd"))


def wait_asleep(agent: Agent) -> None:
    """Return when the agent waits: one that is woken for nothing, again and again, never does."""
    wait_still(agent.process.pid, "the agent spins")


def test_the_budget(host: Host) -> None:
    """What is beyond it is refused, and what has ended makes room."""
    unfinished = [half_a_request(host) for _ in range(STREAMS)]
    assert host.call(PING).code == "too-many-streams"
    for stream in unfinished:
        host.close_stream(stream)
        assert host.wait(stream).code == "closed"
        if stream == unfinished[0]:
            assert host.call(PING).result


def half_a_request(host: Host) -> int:
    """Open a stream by the first frame of a request, which costs the agent nothing else."""
    stream, host.next_stream = host.next_stream, host.next_stream + 1
    host.send(frame(OPEN, stream, bytes([EXEC]), flags=1))
    host.outcomes[stream] = Outcome()
    return stream


def test_numbers_that_share_a_bucket(host: Host) -> None:
    """Streams are found by number, whichever of them ends first."""
    streams = [1, 1025, 2049, 3073]
    for stream in streams:
        host.next_stream = stream
        assert host.start("cat", flags=STDIN) == stream
    for stream in (2049, 1, 3073, 1025):
        host.write(stream, b"%d" % stream)
        assert host.wait(stream).stdout == b"%d" % stream


def test_a_thousand_connections_cost_neither_time_nor_descriptors_when_they_are_gone(
    agent: Agent,
) -> None:
    host = agent.host
    before = descriptors(agent)
    with (
        socket.create_server(("127.0.0.1", 0), backlog=1000) as server,
        contextlib.ExitStack() as e,
    ):
        place = [("HOST", "127.0.0.1"), ("PORT", server.getsockname()[1])]
        streams = [host.open(CONNECT, *place) for _ in range(1000)]
        peers = [e.enter_context(server.accept()[0]) for _ in streams]
        for stream in streams:
            host.wait_event(stream)
        assert descriptors(agent) >= before + 2000
        wait_asleep(agent)
        assert host.exec("echo", "served").stdout == b"served\n"
        for peer in peers:
            peer.sendall(b"x")
        for stream in streams:
            host.wait_output(stream, b"x")
        for stream, peer in zip(streams[:500], peers, strict=False):
            peer.close()
            host.write(stream, b"")
            assert host.wait(stream).result == {}
        for stream in streams[500:]:
            host.close_stream(stream)
        for stream in streams[500:]:
            assert host.wait(stream).code == "closed"
    assert host.call(PING).result
    assert descriptors(agent) == before


def test_programs_have_the_limit_of_descriptors_that_the_agent_had(agent_binary: Path) -> None:
    running = start_agent(agent_binary, ["sh", "-c", 'ulimit -Sn 900; exec "$@"', "sh"])
    try:
        running.host.connect()
        assert running.host.exec("sh", "-c", "ulimit -n").stdout == b"900\n"
        own, hard = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
        assert own == min(hard, 16384)
        assert running.end() == 0
    finally:
        running.process.kill()
        running.process.wait()


# --- windows -------------------------------------------------------------------


def grown(host: Host, stream: int) -> int:
    """Have a `cat` carry bulk until its window has grown as far as it may; return what is left."""
    size = 400_000
    host.write(stream, bytes(size), eof=False)
    output_of(host, stream, size)  # so everything was passed on
    assert host.call(PING).result  # and whatever CREDIT there is has come
    return host.credit[stream]


def test_a_window_grows_with_bulk(host: Host) -> None:
    assert grown(host, host.start("cat", flags=STDIN)) >= WINDOW - 65536


def test_a_window_stays_small_for_small_talk(host: Host) -> None:
    """Short messages need no larger window, which others can have."""
    stream = host.start("cat", flags=STDIN)
    for _ in range(200):
        host.write(stream, bytes(1000), eof=False)
    assert host.credit[stream] <= FIRST_WINDOW
    host.write(stream, b"")
    assert len(host.wait(stream).stdout) == 200_000
    assert host.credit[stream] <= FIRST_WINDOW


def test_all_windows_together_are_bounded(host: Host) -> None:
    """E2: a hundred and fifty streams that carry bulk do not have as many large windows."""
    with socket.create_server(("127.0.0.1", 0), backlog=150) as server, contextlib.ExitStack() as e:
        place = [("HOST", "127.0.0.1"), ("PORT", server.getsockname()[1])]
        streams = [host.open(CONNECT, *place) for _ in range(150)]
        peers = [e.enter_context(server.accept()[0]) for _ in streams]
        for stream in streams:
            host.wait_event(stream)
        for _ in range(20):
            for stream in streams:
                host.write(stream, bytes(20_000), eof=False)
            for peer in peers:
                assert len(peer.recv(20_000, socket.MSG_WAITALL)) == 20_000
        assert host.call(PING).result
        windows = sum(host.credit[stream] for stream in streams)
        assert POOL / 2 < windows <= 150 * FIRST_WINDOW + POOL
        for stream in streams:
            host.close_stream(stream)
            assert host.wait(stream).code == "closed"
    # What they had is the next one's.
    assert grown(host, host.start("cat", flags=STDIN)) >= WINDOW - 65536


def test_what_waits_in_a_window_comes_out_in_order(host: Host) -> None:
    """The ring wraps, and grows while it is wrapped: a reader that goes on by small steps."""
    rng = random.Random(5)
    blob = rng.randbytes(3_000_000)
    host.grants = False
    stream = host.start("cat", flags=STDIN)
    host.wait_event(stream)
    at, granted = 0, FIRST_WINDOW
    while at < len(blob):
        size = min(rng.choice([700, 9000, 20000, 32768]), host.credit[stream])
        if size:
            host.credit[stream] -= size
            host.send(frame(DATA, stream, blob[at : at + size]))
            at += size
            continue
        if len(host.outcomes[stream].output[1]) == granted:
            more = rng.randrange(1, 9000)
            credit(host, stream, more)
            granted += more
        host.step()
    host.send(frame(EOF, stream))
    credit(host, stream, len(blob))
    assert host.wait(stream).stdout == blob


# --- what wakes a stream -------------------------------------------------------


def test_credit_byte_by_byte(host: Host) -> None:
    """A source that is out of credit is taken up again with each CREDIT, also after the end."""
    host.grants = False
    stream = host.start("sh", "-c", f"head -c {FIRST_WINDOW + 10} /dev/zero; exit 3")
    output_of(host, stream, FIRST_WINDOW)
    for more in range(1, 10):
        credit(host, stream, 1)
        output_of(host, stream, FIRST_WINDOW + more)
    assert host.outcomes[stream].last is None
    credit(host, stream, 1)
    assert host.wait(stream).status == 3


@pytest.mark.parametrize("flags", [0, TTY])
def test_the_end_comes_where_the_credit_ends_exactly_with_the_output(
    host: Host, flags: int
) -> None:
    """The program is gone, its output is out, and a process it left behind holds the pipe open."""
    host.grants = False
    script = f"(trap '' HUP; sleep 1000) & echo $! >&2; head -c {FIRST_WINDOW} /dev/zero; exit 4"
    stream = host.start("bash", "-c", script, flags=flags)
    pid = number(host.wait_event(stream).fields["PID"])
    output_of(host, stream, FIRST_WINDOW)
    wait_gone(pid)
    assert host.call(PING).result
    if flags == TTY:
        # The number of the process left behind came on the same channel: so much is not out yet.
        credit(host, stream, 100)
    outcome = host.wait(stream)
    assert outcome.status == 4
    left = outcome.stdout if flags == TTY else outcome.stderr
    os.kill(int(left.split()[0].strip(b"\0")), signal.SIGKILL)


def test_credit_for_one_channel_does_not_wait_for_the_other(host: Host) -> None:
    host.grants = False
    script = f"head -c {FIRST_WINDOW + 7} /dev/zero >&2; head -c {FIRST_WINDOW + 7} /dev/zero"
    stream = host.start("sh", "-c", script)
    while len(host.outcomes[stream].output[2]) < FIRST_WINDOW:
        host.step()
    output_of(host, stream, FIRST_WINDOW)
    credit(host, stream, 7)
    output_of(host, stream, FIRST_WINDOW + 7)
    assert host.outcomes[stream].last is None
    credit(host, stream, 7, channel=2)
    assert host.wait(stream).status == 0


def test_a_stream_without_credit_lets_the_agent_sleep(agent: Agent) -> None:
    """Also when its other side has hung up, which epoll would report for ever."""
    host = agent.host
    host.grants = False
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = host.open(CONNECT, ("HOST", "127.0.0.1"), ("PORT", server.getsockname()[1]))
        peer, _ = server.accept()
        with peer:
            host.wait_event(stream)
            peer.sendall(bytes(FIRST_WINDOW + 50_000))
        output_of(host, stream, FIRST_WINDOW)
        wait_asleep(agent)
        # The peer has closed with nothing to read: what is sent to it now resets the connection.
        host.write(stream, b"x")
        wait_asleep(agent)
        credit(host, stream, 100_000)
        assert host.wait(stream).result == {}
        assert len(host.outcomes[stream].output[1]) == FIRST_WINDOW + 50_000


def test_a_host_that_does_not_read_finds_everything_later(host: Host) -> None:
    """The carrier is full again and again: nothing is lost, and nothing runs over."""
    host.grants = False
    streams = [host.start("sh", "-c", "head -c 60000 /dev/zero; exit 5") for _ in range(12)]
    for stream in streams:
        credit(host, stream, 60000)
    pings = [host.open(PING) for _ in range(300)]
    for stream in (*streams, *pings):
        host.wait(stream)
    assert {host.outcomes[stream].status for stream in streams} == {5}
    assert {len(host.outcomes[stream].stdout) for stream in streams} == {60000}


def test_streams_that_are_closed_while_they_are_served(host: Host) -> None:
    """CLOSE at any point of a stream's life, among others that go on."""
    rng = random.Random(7)
    kept, closed = [], []
    for turn in range(45):
        stream = host.start("sh", "-c", "head -c 50000 /dev/zero; cat", flags=STDIN)
        if turn % 3:
            closed.append(stream)
            if rng.random() < 0.5:
                host.send(frame(DATA, stream, bytes(rng.randrange(FIRST_WINDOW))))
            host.close_stream(stream)
        else:
            kept.append(stream)
        while rng.random() < 0.5:
            host.step()
    for stream in kept:
        host.write(stream, b"y" * 40000)
        outcome = host.wait(stream)
        assert outcome.stdout == bytes(50000) + b"y" * 40000
    for stream in closed:
        assert host.wait(stream).last is not None


def test_many_streams_at_once_each_get_their_bytes_back(host: Host) -> None:
    """Small credits in any order, both ways: no stream is forgotten, no byte is lost."""
    rng = random.Random(11)
    host.grants = False
    blobs = {host.start("cat", flags=STDIN): rng.randbytes(150_000) for _ in range(40)}
    owed = dict.fromkeys(blobs, 0)
    left = {stream: memoryview(blob) for stream, blob in blobs.items()}
    seen = dict.fromkeys(blobs, 0)
    while any(host.outcomes[stream].last is None for stream in blobs):
        stream = rng.choice(list(blobs))
        size = min(len(left[stream]), host.credit[stream], rng.choice([1, 500, 9000, 32768]))
        if size:
            host.send(frame(DATA, stream, bytes(left[stream][:size])))
            host.credit[stream] -= size
            left[stream] = left[stream][size:]
            if not left[stream]:
                host.write(stream, b"")
            continue
        got = len(host.outcomes[stream].output[1])
        owed[stream] += got - seen[stream]
        seen[stream] = got
        if owed[stream] and host.outcomes[stream].last is None:
            credit(host, stream, owed[stream])
            owed[stream] = 0
            continue
        waiting = [each for each in blobs if host.outcomes[each].last is None]
        idle = all(
            seen[each] == len(host.outcomes[each].output[1]) and not owed[each]
            and not (left[each] and host.credit[each])
            for each in waiting
        )  # fmt: skip
        if idle and waiting:
            host.step()
    for stream, blob in blobs.items():
        assert host.outcomes[stream].stdout == blob


def test_streams_that_have_much_to_say_take_turns(host: Host) -> None:
    """None waits until another has run out of data or credit."""
    host.grants = False
    more = 200_000
    assert more < PIPE
    streams = [host.start("yes") for _ in range(6)]
    for stream in streams:
        pid = number(host.wait_event(stream).fields["PID"])
        output_of(host, stream, FIRST_WINDOW)
        wait_blocked(pid)  # its pipe is full, so it need not run for what follows
    host.send(b"".join(frame(CREDIT, s, struct.pack("<I", more), channel=1) for s in streams))
    output_of(host, streams[0], FIRST_WINDOW + more)
    assert min(len(host.outcomes[stream].output[1]) for stream in streams) > FIRST_WINDOW + more / 2
    for stream in streams:
        host.close_stream(stream)


def wait_blocked(pid: int) -> None:
    """Return when a process waits and does not run on by itself."""
    wait_still(pid, f"process {pid} runs on")


def test_requests_for_streams_that_are_gone_are_ignored(host: Host) -> None:
    stream = host.start("true")
    host.wait(stream)
    for kind in (CLOSE, DATA):
        host.send(frame(kind, stream, b"" if kind == CLOSE else b"x"))
    credit(host, stream, 5)
    host.send(frame(OPEN, stream, bytes([PING])))
    assert host.call(PING).result


def test_the_groups_of_many_programs_at_once(host: Host) -> None:
    """Forty programs run together, and all end when they are given up."""
    streams = [host.start("sleep", "1000") for _ in range(40)]
    pids = [number(host.wait_event(stream).fields["PID"]) for stream in streams]
    for stream in streams:
        host.close_stream(stream)
    for stream in streams:
        assert number(host.wait(stream).result["SIGNAL"]) == signal.SIGKILL
    for pid in pids:
        wait_gone(pid)
