"""Whether records and machine agree: no process, directory, socket or row without the others."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

from banger.client import Client
from banger.host.identity import is_alive
from banger.layout import Layout
from tests.support.leaks import find_processes


def require_sound(client: Client, layout: Layout) -> None:
    """Check all that is recorded, on the disk, and running. No operation may be in progress."""
    listed: Any = client.call("vm.list")
    records = {vm["id"]: vm for vm in listed}
    assert client.call("gc", {"dry_run": True}) == []
    with contextlib.closing(sqlite3.connect(f"file:{layout.database}?mode=ro", uri=True)) as rows:
        assert rows.execute("SELECT * FROM operations").fetchall() == []
        assert rows.execute("SELECT * FROM journal").fetchall() == []
        owners = {row[0] for row in rows.execute("SELECT vm_id FROM handles")}
        specs = rows.execute("SELECT id, state, origin FROM vms").fetchall()
    saved = {row[0]: row[1] for row in specs}
    origins = {row[0]: str(row[2]) for row in specs}
    assert saved == {name: vm["state"] for name, vm in records.items()}
    assert not set(saved.values()) & {"starting", "stopping"}, saved
    live = {name for name, vm in records.items() if vm["state"] in ("running", "paused")}
    assert {path.name for path in layout.vms.glob("*")} == set(records)
    assert {path.name for path in (layout.runtime / "vms").glob("*")} == live
    assert {path.name for path in layout.networks.glob("*")} <= live
    assert owners == live
    for name, vm in records.items():
        assert bool(find_processes(layout.vm_dir(name))) == (name in live), vm
    theirs = {found for name in live for found in find_processes(layout.vm_dir(name))}
    lost = set(find_processes(layout.vms)) - theirs
    assert not any(map(is_alive, lost)), lost
    named = set()
    for name in records:
        snapshots: Any = client.call("snapshot.list", {"ref": name})
        named |= {snapshot["id"] for snapshot in snapshots}
    used = {origins[name].removeprefix("snapshots/") for name in live if "snap" in origins[name]}
    assert {path.name for path in layout.snapshots.glob("*")} == named | used
    assert not list(layout.scratch.glob("*")) and not list(layout.staging.glob("*"))
