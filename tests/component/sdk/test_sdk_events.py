"""Events by both clients, over the real daemon; its only VM is stopped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from banger import AsyncClient, Client, Event
from tests.component.cli.test_cli_events import box
from tests.component.daemon.running import scripted_daemon

__all__ = ["box"]

Environ = dict[str, str]
Listen = Callable[..., list[Event]]


def listen(*acts: Callable[[], object], **options: Any) -> list[Event]:
    """Return the event that follows each act, and the rest."""
    with Client(autostart=False).events(**options) as events:
        found = []
        for act in acts:
            act()
            found.append(next(events))
        return found + list(events)


def listen_in_a_loop(*acts: Callable[[], object], **options: Any) -> list[Event]:
    """Do the same by the other client."""

    async def run() -> list[Event]:
        async with AsyncClient(autostart=False).events(**options) as events:
            found = []
            for act in acts:
                await asyncio.to_thread(act)
                found.append(await anext(events))
            return found + [event async for event in events]

    return asyncio.run(run())


@pytest.fixture(params=[listen, listen_in_a_loop])
def read(
    request: pytest.FixtureRequest,
    box: Environ,
    monkeypatch: pytest.MonkeyPatch,
) -> Listen:
    for name, value in box.items():
        monkeypatch.setenv(name, value)
    chosen: Listen = request.param
    return chosen


def set_label(value: str) -> object:
    return Client(autostart=False).call("vm.set", {"ref": "box", "labels": {"a": value}})


def delete() -> None:
    Client(autostart=False).get("box").delete()


def test_what_happens_in_a_block_is_told(box: Environ, read: Listen) -> None:
    with scripted_daemon(box, "banger.daemon"):
        events = read(lambda: set_label("1"), delete, ref="box")
        assert [(event["kind"], event["name"]) for event in events] == [
            ("changed", "box"),
            ("deleted", "box"),
        ]
        kinds = [event["kind"] for event in read(follow=False)]
        assert kinds == ["changed", "deleted"]
        assert read(follow=False, kinds=["created"]) == []


def test_events_go_on_over_a_death_of_the_daemon(box: Environ, read: Listen) -> None:
    """H9: what may be lacking is told by `missed`."""
    with contextlib.ExitStack() as daemons:
        first = daemons.enter_context(scripted_daemon(box, "banger.daemon"))

        def replace_daemon() -> None:
            first.kill()
            first.wait()
            daemons.enter_context(scripted_daemon(box, "banger.daemon"))

        events = read(lambda: set_label("1"), replace_daemon, delete, ref="box")
        assert [event["kind"] for event in events] == ["changed", "missed", "deleted"]
