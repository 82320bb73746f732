"""Whose commits a guest makes: the name and e-mail address that the host's git uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.workspace import git
from tests.component.workspace.conftest import Trip
from tests.support import repositories as repo
from tests.support.local_guest import LocalGuest

IDENTITY = b"[user]\n\tname = Own Er\n\temail = own@example.com\n"
COMMIT = """
git init -q "$1" && cd "$1" && git commit -q --allow-empty -m one || exit
git log -1 --format="%an %ae %cn"
"""


@pytest.fixture
def trip(trip: Trip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trip:
    """A repository without an identity of its own, and a home without one."""
    for key in ("user.name", "user.email"):
        repo.git(trip.top, "config", "--unset", key)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # Git must not make up an identity of this machine's account and name.
    repo.git(trip.top, "config", "user.useConfigOnly", "true")
    return trip


def commit_in_guest(trip: Trip, directory: str) -> str:
    """Commit in a directory of the workspace, which is made a repository if need be."""
    done = trip.guest.run_sync(["sh", "-c", COMMIT, "sh", str(trip.work / directory)])
    return done.untrusted_stdout.decode() + done.untrusted_stderr.decode()


@pytest.mark.parametrize("directory", [".", "app"])
def test_the_users_identity_makes_the_guests_commits(
    trip: Trip, tmp_path: Path, directory: str
) -> None:
    """In the workspace, and in a repository that is made within."""
    (tmp_path / "home/.gitconfig").write_bytes(IDENTITY + b"[core]\n\teditor = secret\n")
    trip.prepare()
    assert commit_in_guest(trip, directory) == "Own Er own@example.com Own Er\n"
    assert b"secret" not in (trip.guest.home / ".gitconfig").read_bytes()


def test_the_systems_identity_counts_if_the_user_has_none(
    trip: Trip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "system").write_bytes(IDENTITY + b"[core]\n\tautocrlf = true\n")
    plain = git.host_environment()
    monkeypatch.setattr(
        git, "host_environment", lambda: plain | {"GIT_CONFIG_SYSTEM": str(tmp_path / "system")}
    )
    trip.prepare()
    assert commit_in_guest(trip, ".") == "Own Er own@example.com Own Er\n"
    assert repo.git(trip.work, "config", "core.autocrlf", check=False) == b""


def test_without_an_identity_the_guest_has_none_either(trip: Trip) -> None:
    trip.prepare()
    assert list(trip.guest.home.iterdir()) == []
    assert "Please tell me who you are" in commit_in_guest(trip, "app")


@pytest.mark.parametrize("name", [".gitconfig", ".config/git/config"])
def test_the_guests_own_configuration_stays(trip: Trip, tmp_path: Path, name: str) -> None:
    (tmp_path / "home/.gitconfig").write_bytes(IDENTITY)
    repo.write(trip.guest.home, name, b"[user]\n\tname = Im Age\n\temail = image@example.com\n")
    trip.prepare()
    assert commit_in_guest(trip, "app") == "Im Age image@example.com Im Age\n"


def test_a_home_that_cannot_be_written_is_no_obstacle(trip: Trip, tmp_path: Path) -> None:
    (tmp_path / "home/.gitconfig").write_bytes(IDENTITY)
    trip.guest.home.chmod(0o500)
    trip.prepare()
    assert commit_in_guest(trip, ".") == "Own Er own@example.com Own Er\n"


@pytest.mark.parametrize(("place", "mode"), [("home/project", 0o701), ("elsewhere", 0o700)])
def test_other_users_reach_a_workspace_in_the_home(
    trip: Trip, tmp_path: Path, place: str, mode: int
) -> None:
    trip.guest = LocalGuest(tmp_path / "guest/home")
    trip.guest.home.chmod(0o700)
    trip.work = tmp_path / "guest" / place
    trip.prepare()
    assert trip.guest.home.stat().st_mode & 0o777 == mode
