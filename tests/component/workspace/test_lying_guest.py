"""E1, E2: a guest that names files as it likes never gets one outside the work tree."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from banger.errors import GuestProtocolError
from banger.model.entries import GuestEntry
from tests.component.workspace.conftest import Trip
from tests.component.workspace.test_branch import export_to
from tests.component.workspace.test_export import prepare
from tests.support import repositories as repo
from tests.support.local_guest import LocalGuest

LINK, FILE, DIRECTORY = 0o120777, 0o100644, 0o40755
Made = tuple[bytes, int, bytes]


class Liar(LocalGuest):
    """Says that there are further names, by directory: name, mode and content."""

    def __init__(self, trip: Trip, made: dict[bytes, list[Made]]) -> None:
        super().__init__(trip.guest.home)
        self._made = made
        self._contents = {
            name: (mode, content) for each in made.values() for name, mode, content in each
        }

    async def list_directories(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> list[GuestEntry]:
        honest = await super().list_directories(path, names, deadline_s=deadline_s)
        lies = [made for name in names for made in self._made.get(name, ())]
        return honest + [entry(name, mode, len(content)) for name, mode, content in lies]

    async def read_files(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> AsyncIterator[GuestEntry | bytes]:
        for name in names:
            if name in self._contents:
                mode, content = self._contents[name]
                yield entry(name, mode, len(content))
                yield content
            else:
                async for item in super().read_files(path, [name], deadline_s=deadline_s):
                    yield item


def entry(name: bytes, mode: int, size: int) -> GuestEntry:
    return GuestEntry(name, mode, 0, 0, size, 7, 7, 7)


@pytest.mark.parametrize(
    "name", [b".GIT/hooks/x", b"git~1/x", ".g\u200cit/x".encode(), b"..\\up", b"d\\.git\\config"]
)
def test_names_that_reach_git_are_left_out(trip: Trip, name: bytes) -> None:
    prepare(trip)
    above = name.split(b"/")[0] if b"/" in name else b""
    made: dict[bytes, list[Made]] = {b"": [(name, FILE, b"x")]}
    if above:
        made = {b"": [(above, DIRECTORY, b"")], above: [(name, FILE, b"x")]}
    assert trip.export(Liar(trip, made)) == b""
    assert "Names that are not allowed in a patch" in trip.notices[0]


def test_a_repository_of_its_own_is_never_entered(trip: Trip) -> None:
    prepare(trip)
    lies: dict[bytes, list[Made]] = {
        b"": [(b".git", DIRECTORY, b""), (b".git/hooks/pre-commit", FILE, b"#!/bin/sh\n")],
        b".git": [(b".git/config", FILE, b"[core]\n")],
    }
    assert trip.export(Liar(trip, lies)) == b""


def test_a_link_for_gitmodules_is_left_out(trip: Trip) -> None:
    prepare(trip)
    lies: dict[bytes, list[Made]] = {b"": [(b".gitmodules", LINK, b"/etc/passwd")]}
    assert trip.export(Liar(trip, lies)) == b""
    assert ".gitmodules" in trip.notices[0]


def test_a_file_below_a_link_is_refused(trip: Trip) -> None:
    """Nothing is ever written through a link, whatever was listed."""
    prepare(trip)
    lies: dict[bytes, list[Made]] = {
        b"": [(b"a", LINK, b"/tmp"), (b"a", DIRECTORY, b"")],
        b"a": [(b"a/b", FILE, b"x\n")],
    }
    with pytest.raises(GuestProtocolError, match="as a directory"):
        trip.export(Liar(trip, lies))
    with pytest.raises(GuestProtocolError):
        export_to(trip, "b", Liar(trip, lies), include_uncommitted=True)
    assert repo.git(trip.top, "branch", "--list", "b") == b""


def test_a_link_of_the_repository_is_replaced_not_followed(trip: Trip) -> None:
    (trip.top / "link").symlink_to("/tmp")
    repo.commit(trip.top)
    prepare(trip)
    (trip.work / "link").unlink()
    repo.write(trip.work, "link/x", b"x\n")
    patch = trip.export()
    assert b"deleted file mode 120000" in patch and b"b/link/x" in patch


def test_names_that_were_not_asked_for_are_not_read(trip: Trip) -> None:
    prepare(trip)
    lies: dict[bytes, list[Made]] = {b"": [(b"far/away", FILE, b"x\n")]}
    assert trip.export(Liar(trip, lies)) == b""
