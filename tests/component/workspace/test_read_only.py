"""`--read-only`: nothing in the guest writes the workspace. The real agent, root in namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from banger.errors import GuestToolMissing
from banger.guest import ConnectedGuest
from banger.model.vm import WorkspaceRecord
from banger.workspace import (
    PreparedWorkspace,
    import_again,
    import_workspace,
    inspect_repository,
    make_read_only,
    plan_import,
)
from tests.component.workspace.conftest import DEADLINE_S, Trip
from tests.support import repositories as repo
from tests.support.agent import agent_connection
from tests.support.local_guest import LocalGuest

NAMESPACES = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount"]
ODD = "a\\040b 2 \n"
"""A name whose every part the kernel escapes in its list of mounts."""
COUNT = "wc -l </proc/self/mountinfo"


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    if subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this host lets users make no such namespace")


@contextlib.asynccontextmanager
async def mounting_guest(agent_binary: Path) -> AsyncIterator[ConnectedGuest]:
    """A guest that may mount; nothing of it is mounted in the host's own namespace."""
    async with agent_connection(agent_binary, prefix=NAMESPACES) as connection:
        yield ConnectedGuest(connection)


async def prepare(trip: Trip, guest: ConnectedGuest, *, read_only: bool = True) -> str:
    """Prepare the workspace; return its path in the guest."""
    plan = plan_import(await inspect_repository(trip.top, scratch=trip.scratch), str(trip.work))
    trip.prepared = await import_workspace(
        guest,
        plan,
        deadline_s=DEADLINE_S,
        bases=trip.bases,
        scratch=trip.scratch,
        read_only=read_only,
    )
    return plan.guest_path


async def run(guest: ConnectedGuest, path: str, script: str) -> tuple[int, str]:
    done = await guest.run(["sh", "-c", script], deadline_s=DEADLINE_S, cwd=path)
    return done.status, (done.untrusted_stdout + done.untrusted_stderr).decode()


@pytest.mark.parametrize("name", ["project", ODD])
def test_nothing_is_written_and_everything_is_read(
    trip: Trip, agent_binary: Path, name: str
) -> None:
    """A6, G2: files, new ones, and git's own; also in a directory with an odd name."""
    trip.work = trip.work.with_name(name)

    async def go() -> None:
        async with mounting_guest(agent_binary) as guest:
            path = await prepare(trip, guest)
            for script in ("echo x >README", "echo x >new", "rm README", "git commit -qam x"):
                status, said = await run(guest, path, f"export LC_ALL=C; {script}")
                assert status != 0 and "Read-only file system" in said
            assert await run(guest, path, "export HOME=/; cat README; git status --short") == (
                0,
                "read me\n",
            )

    asyncio.run(go())


@pytest.mark.parametrize("name", ["project", ODD])
def test_a_prepare_replaces_it_whether_read_only_or_not(
    trip: Trip, agent_binary: Path, name: str
) -> None:
    """A program that is in the old one keeps it, and holds up nothing."""
    trip.work = trip.work.with_name(name)

    async def go() -> None:
        async with mounting_guest(agent_binary) as guest:
            mounted = (await run(guest, "/", COUNT))[1]
            path = await prepare(trip, guest)
            stay = "sleep 60 >/dev/null 2>&1 & echo $!"
            _, pid = await run(guest, path, stay)
            repo.write(trip.top, "README", b"newer\n")
            await prepare(trip, guest)
            assert (await run(guest, path, "cat README; echo x >README"))[1].startswith("newer\n")
            await prepare(trip, guest, read_only=False)
            assert await run(guest, path, "echo x >>README; cat README") == (0, "newer\nx\n")
            mounts = (await run(guest, "/", "cat /proc/self/mountinfo"))[1]
            assert str(trip.work) not in mounts
            assert (await run(guest, "/", COUNT))[1] == mounted
            assert (await run(guest, "/", f"kill {pid}"))[0] == 0

    asyncio.run(go())


def test_it_is_copied_again_when_the_host_changed(trip: Trip, agent_binary: Path) -> None:
    """`exec --auto-prepare`: what the host deleted goes, and it is read-only again."""

    async def go() -> PreparedWorkspace:
        async with mounting_guest(agent_binary) as guest:
            path = await prepare(trip, guest)
            assert trip.prepared is not None
            record = WorkspaceRecord(
                host_path=str(trip.top),
                guest_path=path,
                commit=trip.prepared.commit,
                base=trip.prepared.base,
                is_read_only=True,
            )
            (trip.top / "src/main.py").unlink()
            facts = await inspect_repository(trip.top, scratch=trip.scratch)
            done = await import_again(
                guest,
                plan_import(facts, path),
                record,
                deadline_s=DEADLINE_S,
                bases=trip.bases,
                scratch=trip.scratch,
            )
            assert (await run(guest, path, "test -e src; echo $?; touch new"))[1].startswith("1\n")
            assert (await run(guest, path, "touch new"))[0] != 0
            return done

    assert asyncio.run(go()).files == 1


def test_it_is_mounted_once_however_often(trip: Trip, agent_binary: Path) -> None:
    """D6: a boot mounts again what a prepare has mounted."""

    async def go() -> None:
        async with mounting_guest(agent_binary) as guest:
            path = await prepare(trip, guest)
            await make_read_only(guest, path)
            _, mounts = await run(guest, "/", "cat /proc/self/mountinfo")
            assert mounts.count(f" {trip.work} ") == 1

    asyncio.run(go())


def test_a_guest_that_cannot_mount_is_told_of_and_left_alone(trip: Trip, tmp_path: Path) -> None:
    """C7, G2: nothing is copied for a promise that cannot be kept."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "sh").symlink_to("/bin/sh")
    guest = LocalGuest(tmp_path / "home", path=str(programs))
    plan = plan_import(trip.inspect(), str(trip.work))
    with pytest.raises(GuestToolMissing, match="mount"):
        asyncio.run(
            import_workspace(guest, plan, deadline_s=DEADLINE_S, bases=trip.bases, read_only=True)
        )
    assert not trip.work.exists() and not trip.bases.exists()
