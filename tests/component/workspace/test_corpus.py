"""Odd repositories (F4): host and guest agree, or the refusal says why.

A run tries a sample of the corpus, chosen by the number of commits; BANGER_TEST_CORPUS=all tries
all of it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from banger.errors import BangerError
from banger.workspace import PreparedWorkspace
from tests.component.workspace.conftest import Trip
from tests.component.workspace.trees import walk
from tests.support import repositories as repo
from tests.support.local_guest import LocalGuest
from tests.support.odd import CORPUS, Odd
from tests.support.odd.listing import list_repository
from tests.support.sampling import choose

ALL = os.environ.get("BANGER_TEST_CORPUS") == "all"
NAMES = sorted(CORPUS) if ALL else choose(sorted(CORPUS), 12)
SECRET = b"hidden-secret"


@pytest.mark.parametrize("full", [False, True], ids=["commit", "full"])
@pytest.mark.parametrize("name", NAMES)
def test_host_and_guest_agree(tmp_path: Path, name: str, full: bool) -> None:
    """F4, A12."""
    odd = CORPUS[name]
    trip = set_out(tmp_path, odd.build(tmp_path))
    if (refusal := odd.refusal(full=full)) is not None:
        with pytest.raises(BangerError, match=refusal) as caught:
            trip.prepare(full=full, include_untracked=full)
        assert not trip.work.exists()
        assert caught.value.hint
        return
    prepared = trip.prepare(full=full, include_untracked=full)
    trip.top = trip.inspect().top
    if full and odd.stays_home:
        assert list((trip.work / odd.stays_home).iterdir()) == []
    else:
        require_agreement(trip, odd, prepared, full=full)
    repo.git(trip.work, "fsck", "--connectivity-only")
    assert SECRET not in b"".join(path.read_bytes() for path in git_files(trip.work))
    require_nothing_changed(trip, odd.notices if full else None)


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_copy_has_every_file(tmp_path: Path, name: str) -> None:
    """F4, A12: whatever git thinks of a directory; and no git directory, which may hold secrets."""
    trip = set_out(tmp_path, CORPUS[name].build(tmp_path))
    trip.prepare(plain=True)
    ours, theirs = walk(trip.top), walk(trip.work)
    assert (theirs.files, theirs.empty) == (ours.files, ours.empty)
    assert not list(trip.work.glob("**/.git"))
    require_nothing_changed(trip, None)


def require_agreement(trip: Trip, odd: Odd, prepared: PreparedWorkspace, *, full: bool) -> None:
    """Compare both sides; what was left out, and was said to be, may show in the status only."""
    ours, theirs = (list_repository(top, full=full) for top in (trip.top, trip.work))
    if odd.left_out and ours["status"] != theirs["status"]:
        assert any(re.search(odd.left_out, notice) for notice in prepared.notices)
        for listing in (ours, theirs):
            listing.pop("status")
            listing.pop("ahead", None)
    assert theirs == ours


def require_nothing_changed(trip: Trip, notices: str | None) -> None:
    """Check that an export gives nothing, since the guest's files are as they were put in."""
    assert trip.export() == b""
    assert (notices is None) == (trip.notices == [])
    assert all(re.match(notices or "", notice) for notice in trip.notices)


def set_out(directory: Path, top: Path) -> Trip:
    scratch = directory / "scratch"
    scratch.mkdir()
    return Trip(top, directory / "guest/project", LocalGuest(directory / "guest-home"), scratch)


def git_files(work: Path) -> list[Path]:
    return [path for path in work.glob("**/.git/**/*") if path.is_file()]


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 60
