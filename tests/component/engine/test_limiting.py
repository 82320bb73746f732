"""A VM's scope as the engine wants it: what is in it, and that no VM depends on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from jeepney import Message

from banger import store
from banger.config import load_settings
from banger.engine import open_engine
from banger.host.identity import ProcessIdentity, identify
from banger.host.limits.servicemanager import SOCKET
from banger.layout import Layout
from banger.model.vm import VmState
from banger.plan.steps import LimitVm
from tests.component.engine.test_recovery import VM, act, handle, insert, layout, record
from tests.component.limits.scripted import Caller, Part, service_manager

__all__ = ["layout"]  # a fixture


@pytest.fixture
def program() -> Iterator[ProcessIdentity]:
    """What stands for a VMM."""
    with subprocess.Popen(["sleep", "1000"]) as child:
        identity = identify(child.pid)
        assert identity is not None
        yield identity
        child.kill()


def limit(
    layout: Layout, program: ProcessIdentity, part: Part, *, may_make_scopes: bool = True
) -> list[tuple[Any, ...]]:
    """Take the step with a manager that plays `part`; return what the manager was asked."""

    async def run() -> list[tuple[Any, ...]]:
        async with contextlib.AsyncExitStack() as stack:
            path = layout.runtime.parent / SOCKET
            calls = await stack.enter_async_context(service_manager(path, part))
            settings = load_settings(layout.config_file, {})
            engine = await stack.enter_async_context(open_engine(layout, lambda: settings))
            engine.may_make_scopes = lambda: may_make_scopes
            await insert(engine, record(VmState.RUNNING))
            payload = msgspec.json.encode(handle(program))
            await engine.database.write(store.save_handle, VM, "vmm", payload)
            await act(engine, LimitVm(vm_id=VM))
            return calls

    return asyncio.run(run())


async def refuse(caller: Caller, call: Message) -> None:
    await caller.refuse(call, "org.freedesktop.DBus.Error.AccessDenied", "Not for you.")


def test_a_refusal_is_logged_and_the_vm_goes_on(
    layout: Layout, program: ProcessIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    """B12, E5: the scope has all of the VM's processes, and the limits of its size."""
    with caplog.at_level(logging.WARNING):
        ((name, _, properties, _),) = limit(layout, program, refuse)
    assert name == f"banger-{VM}.scope"
    wanted = dict(properties)
    assert wanted["PIDs"] == ("au", [program.pid])
    assert wanted["MemoryMax"] == ("t", (512 + 512 + 1024 + 256) * 2**20)
    assert f"{VM} runs without a scope: The service manager refuses {name}" in caplog.text


def test_a_manager_that_ends_sooner_is_not_asked(layout: Layout, program: ProcessIdentity) -> None:
    """B1."""
    assert limit(layout, program, refuse, may_make_scopes=False) == []
