"""A daemon with 200 VMs and 50 clients: every answer is right, nobody starves, memory is bounded.

The rows are real, no VM runs. How fast it is belongs to `make bench`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger import store
from banger.api import wire
from banger.client import Client
from banger.errors import BangerError, VmNotFound
from banger.host.socketfiles import can_connect
from banger.layout import Layout, layout_from_environment
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState
from banger.version import VERSION
from tests.component.daemon.running import wait_until, with_sources
from tests.support.specs import make_spec

VMS, CLIENTS, CALLS = 200, 50, 12
BOUND_KIB = 64 * 1024
FLOOD_BYTES = 16 * 1024 * 1024
PATIENCE_S = 1.0


def record(number: int) -> VmRecord:
    spec = make_spec(
        name=f"vm-{number:03}",
        disk_mib=64,
        network="none",
        labels={"number": str(number)},
    )
    return VmRecord(id=VmId(f"{number:012x}"), spec=spec, state=VmState.STOPPED, created_at=number)


@pytest.fixture
def layout(private_environ: dict[str, str]) -> Layout:
    return layout_from_environment(private_environ)


@pytest.fixture
def daemon(layout: Layout, private_environ: dict[str, str]) -> Iterator[int]:
    """A real daemon over real rows; its pid."""

    async def fill() -> None:
        database = await store.open_database(layout.database)
        for number in range(VMS):
            await database.write(store.insert_vm, record(number))
        await database.close()

    asyncio.run(fill())
    with subprocess.Popen(
        [sys.executable, "-m", "banger.daemon"],
        env=with_sources(private_environ),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until(lambda: can_connect(layout.daemon_socket), "the daemon to listen")
        yield process.pid
        assert process.poll() is None, "the daemon died"
        process.terminate()
        process.wait(30)


def resident_kib(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def test_many_clients(layout: Layout, daemon: int) -> None:
    """C2, C5: each of 50 clients gets the answers to its own questions, all of them."""
    wrong: list[str] = []
    answered = [0] * CLIENTS

    def ask(who: int) -> None:
        with Client(layout, autostart=False) as client:
            for number in range(CALLS):
                wanted = (who * CALLS + number) % VMS
                shown: Any = client.call("vm.show", {"ref": f"vm-{wanted:03}"})
                listed: Any = client.call("vm.list", {"labels": {"number": str(wanted)}})
                with pytest.raises(VmNotFound):
                    client.call("vm.show", {"ref": f"nobody-{who}"})
                if not (shown["id"] == f"{wanted:012x}" == listed[0]["id"] and len(listed) == 1):
                    wrong.append(f"{who}: {shown['name']} for vm-{wanted:03}")
                answered[who] += 1

    before = resident_kib(daemon)
    threads = [threading.Thread(target=ask, args=(who,)) for who in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and answered == [CALLS] * CLIENTS
    with Client(layout, autostart=False) as client:
        whole: Any = client.call("vm.list")
    assert [vm["name"] for vm in whole] == [f"vm-{number:03}" for number in range(VMS)]
    assert resident_kib(daemon) - before < BOUND_KIB
    assert len(os.listdir(f"/proc/{daemon}/fd")) < CLIENTS


def test_a_client_that_asks_and_does_not_read(layout: Layout, daemon: int) -> None:
    """C5, E2: it is not read from any more, its answers are not heaped up, others are served."""
    line = wire.format_request(1, "vm.list", params={}, version=VERSION)
    before = resident_kib(daemon)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(flood(layout, line))
        with Client(layout, autostart=False) as client:
            for number in range(CALLS):
                shown: Any = client.call("vm.show", {"ref": f"vm-{number:03}"})
                assert shown["name"] == f"vm-{number:03}"
        assert resident_kib(daemon) - before < BOUND_KIB
    with Client(layout, autostart=False) as client:
        listed: Any = client.call("vm.list")
        assert len(listed) == VMS


@contextlib.contextmanager
def flood(layout: Layout, line: bytes) -> Iterator[None]:
    """Send requests until the daemon takes no more for a while, and leave it like that."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(layout.daemon_socket))
        sock.settimeout(PATIENCE_S)
        taken = 0
        with contextlib.suppress(TimeoutError):
            while taken < FLOOD_BYTES:
                taken += sock.send(line * 100)
        assert taken < FLOOD_BYTES, "requests are read whose answers nobody reads"
        yield


def test_verbs_of_many_clients_at_one_vm(layout: Layout, daemon: int) -> None:
    """C1, C6: one of all that delete a VM does; the others are told, and no bug is met."""
    ended: list[str] = []

    def delete() -> None:
        with Client(layout, autostart=False) as client:
            try:
                client.call("vm.delete", {"ref": "vm-007"})
                ended.append("deleted")
            except BangerError as error:
                ended.append(error.code)

    threads = [threading.Thread(target=delete) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == CLIENTS and "deleted" in ended
    assert set(ended) <= {"deleted", "vm-not-found", "cancelled"}, ended
    with contextlib.closing(sqlite3.connect(layout.database)) as rows:
        assert rows.execute("SELECT count(*) FROM vms").fetchone() == (VMS - 1,)
        assert rows.execute("SELECT count(*) FROM operations").fetchone() == (0,)
