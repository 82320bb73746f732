"""The same through the real agent: its tar, its exec, its stream."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

from banger.guest import ConnectedGuest
from banger.model.vm import WorkspaceRecord
from banger.workspace import (
    export_branch,
    export_patch,
    import_workspace,
    inspect_repository,
    plan_import,
)
from tests.component.workspace.conftest import DEADLINE_S, Trip
from tests.support import repositories as repo
from tests.support.agent import agent_connection


def test_a_repository_goes_through_the_agent_and_back(trip: Trip, agent_binary: Path) -> None:
    repo.make_repository(trip.top.with_name("big"), files=300, total_mib=8)
    trip.top = trip.top.with_name("big")
    repo.write(trip.top, "no-newline", b"dirty")

    async def go() -> tuple[bytes, str]:
        facts = await inspect_repository(trip.top, scratch=trip.scratch)
        plan = plan_import(facts, str(trip.work))
        async with agent_connection(agent_binary) as connection:
            guest = ConnectedGuest(connection)
            done = await import_workspace(
                guest, plan, deadline_s=DEADLINE_S, bases=trip.bases, scratch=trip.scratch
            )
            assert repo.status(trip.work) == repo.status(trip.top) == [b" M no-newline"]
            record = WorkspaceRecord(
                host_path=done.host_path,
                guest_path=done.guest_path,
                commit=done.commit,
                base=done.base,
            )
            repo.write(trip.work, "big.bin", b"\0changed" * 1000)
            repo.commit(trip.work)
            repo.write(trip.work, "loose", b"loose\n")
            stream = export_patch(
                guest, record, deadline_s=DEADLINE_S, bases=trip.bases, scratch=trip.scratch
            )
            async with aclosing(stream) as chunks:
                patch = b"".join([chunk async for chunk in chunks])
            exported = await export_branch(
                guest,
                record,
                branch="b",
                deadline_s=DEADLINE_S,
                bases=trip.bases,
                scratch=trip.scratch,
            )
            return patch, exported.commit

    patch, commit = asyncio.run(go())
    assert repo.git(trip.top, "rev-parse", "b").decode().strip() == commit
    (trip.scratch.parent / "patch").write_bytes(patch)
    repo.git(trip.top, "apply", str(trip.scratch.parent / "patch"))
    left = {name for name in repo.snapshot(trip.top) if name.startswith(b"vendor/sub/")}
    after = {name: file for name, file in repo.snapshot(trip.top).items() if name not in left}
    assert after == repo.snapshot(trip.work)
