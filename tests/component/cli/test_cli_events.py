"""`events` as a user meets it, over the real daemon; its only VM is stopped."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from banger.api.requests import VmWatch
from banger.config import load_settings
from banger.daemon.calls import Stream
from banger.daemon.verbs.logs import watch
from banger.engine import open_engine
from banger.engine.state.events import KEPT, Events
from banger.layout import layout_from_environment
from banger.model.names import VmId
from banger.model.vm import EventKind, VmState
from tests.component.daemon.running import banger, popen, scripted_daemon
from tests.component.engine.test_recovery import insert, record
from tests.support.specs import change_spec

Environ = dict[str, str]


async def _insert_vm(environ: Environ) -> None:
    layout = layout_from_environment(environ)
    async with open_engine(layout, lambda: load_settings(layout.config_file, {})) as engine:
        stopped = record(VmState.STOPPED)
        await insert(engine, replace(stopped, spec=change_spec(stopped.spec, name="box")))


@pytest.fixture
def box(private_environ: Environ) -> Environ:
    """The environment of an installation with a stopped VM `box`."""
    asyncio.run(_insert_vm(private_environ))
    return private_environ


@pytest.fixture
def daemon(box: Environ) -> Iterator[Environ]:
    with scripted_daemon(box, "banger.daemon"):
        yield box


def read(following: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Return the next event of `events -f --json`."""
    assert following.stdout is not None
    event: dict[str, Any] = json.loads(following.stdout.readline())
    return event


def test_what_has_happened_is_printed(daemon: Environ) -> None:
    assert banger(daemon, "events").stdout == b""
    banger(daemon, "vm", "set", "box", "--name", "cube", "--label", "a=b")
    banger(daemon, "vm", "delete", "cube")
    lines = banger(daemon, "events").stdout.decode().splitlines()
    assert [line.split("  ")[1:] for line in lines] == [
        ["cube", "changed: labels, name"],
        ["cube", "deleted"],
    ]
    documents = banger(daemon, "events", "--json", "--filter", "kind=changed").stdout.splitlines()
    [changed] = [json.loads(line) for line in documents]
    assert (changed["kind"], changed["name"], changed["lost"]) == ("changed", "cube", None)
    assert changed["at"].endswith("Z")
    assert banger(daemon, "events", "--filter", "state=running").stdout == b""
    [missed, *_] = banger(daemon, "events", "--since", "1d").stdout.decode().splitlines()
    assert missed.endswith("  missed: earlier events were lost")


def test_following_one_vm_ends_with_it_over_a_death_of_the_daemon(box: Environ) -> None:
    """H2, H9: what may be lacking is told, and none but the user starts a daemon."""
    with scripted_daemon(box, "banger.daemon") as first:
        with popen(box, "events", "-f", "--json", "box", "--since", "1d") as following:
            assert read(following)["kind"] == "missed"
            banger(box, "vm", "set", "box", "--label", "a=b")
            assert read(following)["text"] == "labels"
            first.kill()
            first.wait()
            with scripted_daemon(box, "banger.daemon"):
                assert read(following)["kind"] == "missed"
                banger(box, "vm", "delete", "box")
                assert read(following)["kind"] == "deleted"
                assert following.wait(60) == 0


def test_a_daemon_of_another_version_is_told(box: Environ) -> None:
    """B7: nothing is not printed for an answer, and nobody waits for what does not come."""
    other = {**box, "BANGER_TEST_VERSION": "0.0.1"}
    with scripted_daemon(other):
        for words in (("events",), ("operations", "list")):
            done = banger(box, *words)
            assert (done.returncode, done.stdout) == (7, b""), words
            assert b"The daemon is banger 0.0.1" in done.stderr
    with scripted_daemon(box, "banger.daemon") as first:
        with popen(box, "events", "-f", "--json", "--since", "1d") as following:
            assert read(following)["kind"] == "missed"
            first.kill()
            first.wait()
            with scripted_daemon(other):
                assert following.wait(30) == 7


def test_an_interrupt_ends_it(daemon: Environ) -> None:
    with popen(daemon, "events", "--follow", "--json", "--since", "1d") as following:
        assert read(following)["kind"] == "missed"
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 130


def test_what_is_no_event_is_refused(daemon: Environ) -> None:
    assert banger(daemon, "events", "nobody").returncode == 4
    refused = banger(daemon, "events", "--filter", "kind=party")
    assert refused.returncode == 2
    assert b"--filter kind=notice" in refused.stderr


def test_a_look_at_nothing_starts_nothing(private_environ: Environ) -> None:
    """B8."""
    done = banger(private_environ, "events")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not layout_from_environment(private_environ).daemon_socket.exists()


def test_a_slow_reader_is_told_what_it_has_lost() -> None:
    """E2's rule for clients: what waits for one is bounded."""
    total = 20 * KEPT

    async def work() -> None:
        events = Events(lambda: 0.0)
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        watched = asyncio.Event()

        async def start_stream(_: object) -> Stream:
            watched.set()
            return Stream(reader, writer)

        engine: Any = SimpleNamespace(events=events)
        call: Any = SimpleNamespace(start_stream=start_stream)
        watching = asyncio.create_task(watch(engine, call, VmWatch()))
        await watched.wait()
        for number in range(total):
            events.publish(EventKind.NOTICE, VmId("0" * 12), "box", text=str(number))
            if number % 100 == 0:
                await asyncio.sleep(0)
        theirs_reader, theirs_writer = await asyncio.open_connection(sock=theirs)
        seen = lost = 0
        while seen + lost < total:
            frame = await theirs_reader.readuntil(b"}\n")
            event = json.loads(frame[frame.index(b"{") :])
            seen += event["kind"] == "notice"
            lost += event["lost"] or 0
        assert event["text"] == str(total - 1)
        assert lost
        watching.cancel()
        writer.close()
        theirs_writer.close()

    asyncio.run(asyncio.wait_for(work(), 60))
