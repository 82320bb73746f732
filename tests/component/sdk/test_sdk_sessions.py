"""Sessions and running commands by both clients; sessions are those of a real agent."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterable

import pytest

import banger
from banger import errors
from banger.sdk.aio import stream as aio_stream
from banger.sdk.sync import stream as sync_stream
from tests.component.daemon.running import is_alive, wait_until
from tests.component.sdk.conftest import Box
from tests.support.forked import Forked

BIG = 5_000_000


def join(pieces: Iterable[tuple[int, bytes]]) -> tuple[bytes, bytes]:
    """Return all of stdout and of stderr."""
    found = list(pieces)
    stdout, stderr = (b"".join(data for each, data in found if each == n) for n in (1, 2))
    return stdout, stderr


def test_a_session_is_started_found_and_forgotten(box: Box) -> None:
    made = box.do("sessions.start", ["sh", "-c", "echo out; echo err >&2; exit 3"], name="build")
    assert made.name == "build" and "build" in repr(made)
    assert box.wait(made.wait()) == 3
    assert join(box.read(made.logs())) == (b"out\n", b"err\n")
    assert join(box.read(made.logs(tail=0))) == (b"", b"")
    view = box.wait(made.show())
    assert (view["state"], view["status"], view["output_bytes"]) == ("ended", 3, 8)
    with pytest.raises(errors.SessionExists):
        box.do("sessions.start", ["true"], name="build")
    assert [each.name for each in box.do("sessions.list")] == ["build"]
    found = box.do("sessions.get", "build")
    box.wait(found.delete())
    assert box.do("sessions.list") == []
    with pytest.raises(errors.SessionNotFound):
        box.do("sessions.get", "build")


def test_what_is_kept_no_more_is_counted(box: Box, kind: str) -> None:
    """H9: whoever attaches again goes on at the right place, also after a gap."""
    made = box.do("sessions.start", ["head", "-c", str(BIG), "/dev/zero"], name="big")
    assert box.wait(made.wait()) == 0
    view = box.wait(made.show())
    assert view["output_bytes"] == BIG and view["kept_from"] > 0
    client = banger.Client() if kind == "sync" else banger.AsyncClient()
    params = {"ref": view["vm_id"], "name": "big"}
    with box.open(box.wait(client.open("session.attach", params))) as stream:
        kept = sum(len(data) for _, data in box.read(stream))
        assert kept == BIG - view["kept_from"]
        assert stream.result["position"] + stream.passed == BIG


def test_a_session_is_ended(box: Box) -> None:
    killed, stopped, forced = (box.do("sessions.start", ["sleep", "1000"]) for _ in range(3))
    box.wait(killed.kill())
    assert box.wait(killed.wait()) == -signal.SIGKILL
    with pytest.raises(errors.SessionEnded):
        box.wait(killed.signal(signal.SIGHUP))
    box.wait(stopped.stop())
    assert box.wait(stopped.wait()) == -signal.SIGTERM
    with pytest.raises(errors.SessionRunning):
        box.wait(forced.delete())
    box.wait(forced.delete(force=True))


def test_a_session_is_written_to(box: Box) -> None:
    made = box.do("sessions.start", ["cat"], stdin=True)
    box.wait(made.send("one\n"))
    with box.open(box.wait(made.attach())) as attached:
        pieces = box.read(attached)
        assert next(pieces) == (1, b"one\n")
        box.wait(attached.write("two\n"))
        assert next(pieces) == (1, b"two\n")
        with pytest.raises(errors.SessionBusy):
            box.wait(made.send("three\n"))

    def is_sent() -> bool:
        with contextlib.suppress(errors.SessionBusy):
            box.wait(made.send(b"\xff\n", end_input=True))
            return True
        return False

    wait_until(is_sent, "the daemon notices that the connection has ended")
    assert box.wait(made.wait()) == 0
    assert join(box.read(made.logs(follow=True)))[0] == b"one\ntwo\n\xff\n"
    with pytest.raises(errors.SessionEnded):
        box.wait(made.send("four\n"))
    with box.open(box.wait(made.attach(stdin=False))) as attached:
        assert box.wait(attached.wait()) == 0


def test_a_session_has_a_terminal(box: Box) -> None:
    made = box.do("sessions.start", ["sh", "-c", "stty size"], stdin=True, terminal=(24, 100))
    assert join(box.read(made.logs(follow=True)))[0] == b"24 100\r\n"


def test_a_command_is_read_and_written_while_it_runs(box: Box) -> None:
    with box.open(box.do("popen", ["cat"], stdin=True)) as process:
        pieces = box.read(process)
        box.wait(process.write("one\n"))
        assert next(pieces) == (1, b"one\n")
        assert process.pid and process.returncode is None
        process.close_input()
        assert list(pieces) == [] and process.returncode == 0


def test_input_is_sent_while_nobody_reads_the_output(box: Box) -> None:
    """H7: a program that writes before it reads on holds nobody up."""
    with box.open(box.do("popen", ["cat"], stdin=True)) as process:
        box.wait(process.write(b"x" * BIG))
        process.close_input()
        assert box.wait(process.wait()) == 0
        assert len(join(box.read(process))[0]) == BIG


def test_input_whose_sending_was_cancelled_is_not_sent_later(daemon: Forked) -> None:
    """H3"""

    async def send() -> int:
        argv = ["sh", "-c", "kill -STOP $$; timeout 1 cat | wc -c"]
        async with (
            banger.AsyncClient(autostart=False).vm() as vm,
            vm.popen(argv, stdin=True) as process,
        ):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(process.write(b"x" * BIG), 0.5)
            process.send_signal(signal.SIGCONT)
            return int(b"".join([data async for _, data in process]))

    assert asyncio.run(send()) < BIG


def test_what_nobody_reads_is_bounded(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """E2: also while a command's end is waited for."""
    for module in (aio_stream, sync_stream):
        monkeypatch.setattr(module, "OUTPUT_MAX_BYTES", 100_000)
    with box.open(box.do("popen", ["yes"])) as process, pytest.raises(errors.GuestOutputTooBig):
        box.wait(process.wait())


def test_a_command_gets_signals_and_ends_with_its_block(box: Box) -> None:
    with box.open(box.do("popen", ["sleep", "1000"])) as process:
        process.send_signal(signal.SIGTERM)
        assert box.wait(process.wait()) == process.returncode == -signal.SIGTERM
    with box.open(box.do("popen", ["sleep", "1000"])) as process:
        pid = process.pid
    wait_until(lambda: not is_alive(pid), "the command has ended")


def test_a_command_that_its_block_has_ended_has_no_status(box: Box) -> None:
    """H1: nobody is told that a command succeeded which was killed."""
    with box.open(box.do("popen", ["cat"], stdin=True)) as process:
        pass
    with pytest.raises(errors.Cancelled):
        box.wait(process.wait())
    with pytest.raises(errors.Cancelled):
        list(box.read(process))
    box.wait(process.write("dropped"))
    assert process.returncode is None
    with box.open(box.do("popen", ["true"])) as process:
        box.wait(process.wait())
    assert box.wait(process.wait()) == process.returncode == 0


def test_a_command_that_cannot_be_run(box: Box) -> None:
    with pytest.raises(errors.ExecNotFound), box.open(box.do("popen", ["no-such-program"])):
        raise AssertionError("it was run")
