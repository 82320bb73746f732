"""Rows of an earlier release: understood, and recovered, by this one.

`released/` has databases as text, written by the release that a file is named after: VMs of users
in several states, one with handles, and the engine's own, one of them with an open journal. Beside
them are the manifests of a template and of a snapshot, with the hash of a hole: their other files
are holes here.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import msgspec
import pytest

from banger import store
from banger.api.requests import Gc, VmList
from banger.api.snapshots import SnapshotRef, SnapshotRestore
from banger.config import load_settings
from banger.engine import open_engine
from banger.engine.state import restartpolicy
from banger.engine.verbs.garbage import collect_garbage
from banger.engine.verbs.snapshots import delete_snapshot, list_snapshots, restore_snapshot
from banger.engine.verbs.templates import list_templates, prune_templates
from banger.engine.views.vms import list_vms
from banger.errors import SnapshotUnusable
from banger.layout import Layout, layout_from_environment
from banger.model.names import VmId
from banger.model.vm import RestartPolicy, Shape, VmState, is_hidden, snapshot_of, template_of
from banger.network.table import decode_handle
from banger.vmm.driver import VmmHandle

RELEASED = Path(__file__).with_name("released")
RELEASES = sorted(path.stem for path in RELEASED.glob("*.sql"))
RUNNING = VmId("000000000002")
TEMPLATE, SNAPSHOT = "b" * 64, "0123456789abcdef"


@pytest.fixture(params=RELEASES)
def layout(request: pytest.FixtureRequest, private_environ: dict[str, str]) -> Layout:
    """A user whose database is of an earlier release."""
    layout = layout_from_environment(private_environ)
    layout.database.parent.mkdir(parents=True, mode=0o700)
    connection = sqlite3.connect(layout.database)
    connection.executescript((RELEASED / f"{request.param}.sql").read_text("utf-8"))
    connection.close()
    return layout


@pytest.fixture
def saved(layout: Layout, request: pytest.FixtureRequest) -> Layout:
    """The same, with the directories of a template and of a snapshot of the VM `plain`."""
    release = request.node.callspec.params["layout"]
    folders = {
        "template": layout.template_dir(TEMPLATE),
        "snapshot": layout.snapshot_dir(SNAPSHOT),
    }
    for kind, folder in folders.items():
        manifest = (RELEASED / f"{release}.{kind}.json").read_bytes()
        folder.mkdir(parents=True, mode=0o700)
        (folder / "manifest.json").write_bytes(manifest)
        for name, file in msgspec.json.decode(manifest)["saved"]["files"].items():
            with open(folder / name, "wb") as hole:
                hole.truncate(file["size"])
            os.utime(folder / name, ns=(file["mtime_ns"], file["mtime_ns"]))
    return layout


def test_rows_are_understood(layout: Layout) -> None:
    """B9: none counts as damaged, and each says what it said."""

    async def run() -> None:
        database = await store.open_database(layout.database)
        try:
            records = {r.spec.name: r for r in await database.read(store.load_vms)}
            handles = await database.read(store.load_handles, RUNNING)
        finally:
            await database.close()
        assert {name for name, r in records.items() if r.error} == {"served"}
        plain, running, served = records["plain"], records["busy-clone"], records["served"]
        assert plain.spec.shape == Shape(vcpu=2, memory_mib=1024, disk_mib=8192, network="user")
        assert (
            plain.spec.program.env["LANG"],
            plain.spec.program.workdir,
            plain.spec.program.user,
        ) == (
            "C.UTF-8",
            "/srv",
            "app",
        )
        assert plain.spec.labels == {"team": "core"}
        assert running.pending == Shape(vcpu=4, memory_mib=2048, disk_mib=16384, network="none")
        assert template_of(running.origin) == "a" * 64
        assert (running.spec.ending.ttl_s, running.spec.ending.auto_stop_s) == (7200.0, 1800.0)
        assert running.spec.ending.restart is RestartPolicy.ON_FAILURE
        assert running.workspace is not None and running.workspace.guest_path == "/root/repo"
        assert served.spec.program.entrypoint == ("/bin/serve", "--port", "80")
        assert snapshot_of(records["restored"].origin) == "0123456789abcdef"
        assert {name for name, r in records.items() if is_hidden(r)} == {
            "template/000000000004",
            "pool/000000000005",
        }
        assert msgspec.json.decode(handles["vmm"], type=VmmHandle).driver == "qemu"
        found = decode_handle(handles["network"])
        assert found is not None and len(found.processes) == 2

    asyncio.run(run())


def test_they_are_recovered(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """B5, B9: what no process runs for is stopped, what was the engine's own or a client's is
    gone with its journal."""
    monkeypatch.setattr(restartpolicy, "FIRST_WAIT_S", 60.0)

    async def run() -> None:
        async with open_engine(layout, lambda: load_settings(layout.config_file, {})) as engine:
            states = {view.name: view.state for view in await list_vms(engine, VmList())}
            assert states == {
                "plain": VmState.STOPPED,
                "busy-clone": VmState.STOPPED,
                "served": VmState.ERROR,
            }
            assert await engine.database.read(store.load_open_operations) == []
            assert await collect_garbage(engine, Gc()) == []

    asyncio.run(asyncio.wait_for(run(), 60))


def test_saved_machines_are_understood_and_not_used(saved: Layout) -> None:
    """D5, B9: they are listed and can be deleted; a snapshot that fits no more says why."""

    async def run() -> None:
        async with open_engine(saved, lambda: load_settings(saved.config_file, {})) as engine:
            (template,) = await list_templates(engine)
            assert (template.key, template.image, template.vcpu) == (
                TEMPLATE,
                "debian-bookworm",
                2,
            )
            (snapshot,) = await list_snapshots(engine, "plain")
            assert (snapshot.id, snapshot.name, snapshot.users) == (SNAPSHOT, "first", [])
            op = engine.new_operation("snapshot.restore")
            with pytest.raises(SnapshotUnusable, match="another version of banger"):
                await restore_snapshot(engine, op, SnapshotRestore(ref="plain", name="first"))
            deleted = await delete_snapshot(engine, op, SnapshotRef(ref="plain", name="first"))
            assert deleted.ids == [SNAPSHOT] and not saved.snapshot_dir(SNAPSHOT).exists()
            assert (await prune_templates(engine)).ids == [TEMPLATE]
            assert not saved.template_dir(TEMPLATE).exists()

    asyncio.run(asyncio.wait_for(run(), 60))
