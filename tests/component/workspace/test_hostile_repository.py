"""F4: a hostile repository makes the host run nothing, and gives nothing away.

Each trap is a way in which git runs a program of a repository's choice. The trap writes a
file; the file must not be there after everything that banger does with a repository.
`test_the_traps_work` shows that plain git falls into them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.errors import BangerError, NotARepository, RepositoryRefused
from banger.workspace.locate import locate_repository
from tests.component.workspace.conftest import Trip
from tests.component.workspace.test_branch import export_to
from tests.support import repositories as repo

HOOKS = (
    "post-checkout post-index-change reference-transaction pre-commit post-commit post-update "
    "pre-auto-gc post-rewrite update fsmonitor-watchman sendemail-validate"
).split()


def hooks(top: Path, trap: str) -> None:
    for hook in HOOKS:
        repo.write(top, f".git/hooks/{hook}", f"#!/bin/sh\n{trap}\n".encode(), mode=0o755)


def hooks_path(top: Path, trap: str) -> None:
    for hook in HOOKS:
        repo.write(top, f"tools/{hook}", f"#!/bin/sh\n{trap}\n".encode(), mode=0o755)
    repo.git(top, "config", "core.hooksPath", "tools")


def fsmonitor(top: Path, trap: str) -> None:
    repo.git(top, "config", "core.fsmonitor", f"{trap}; false")


def filters(top: Path, trap: str) -> None:
    (top / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    for key in ("clean", "smudge"):
        repo.git(top, "config", f"filter.evil.{key}", f"{trap}; cat")
    repo.git(top, "config", "filter.evil.required", "true")


def filter_process(top: Path, trap: str) -> None:
    (top / ".git/info/attributes").write_text("* filter=evil\n")
    repo.git(top, "config", "filter.evil.process", trap)


def external_diff(top: Path, trap: str) -> None:
    repo.git(top, "config", "diff.external", trap)
    (top / ".gitattributes").write_text("* diff=evil\n")
    repo.git(top, "config", "diff.evil.textconv", f"{trap}; cat")
    repo.git(top, "config", "diff.evil.command", trap)


def programs(top: Path, trap: str) -> None:
    for key in (
        "core.sshCommand core.gitProxy core.pager core.editor core.askPass "
        "core.alternateRefsCommand credential.helper alias.status alias.rev-parse "
        "alias.config pager.status gpg.program sequence.editor "
        "remote.origin.uploadpack remote.origin.vcs"
    ).split():
        repo.git(top, "config", key, f"!{trap}" if key.startswith("alias") else trap)


def included(top: Path, trap: str) -> None:
    """The same by way of a file that the configuration includes."""
    (top / "evil.config").write_text(
        f'[core]\n\tfsmonitor = "{trap}; false"\n[filter "evil"]\n\tclean = "{trap}; cat"\n'
    )
    (top / ".gitattributes").write_text("* filter=evil\n")
    repo.git(top, "config", "include.path", str(top / "evil.config"))


def promisor(top: Path, trap: str) -> None:
    """A missing object, promised by a remote whose URL is a command."""
    repo.git(top, "config", "remote.evil.url", f"ext::{trap}")
    repo.git(top, "config", "remote.evil.promisor", "true")
    repo.git(top, "config", "protocol.ext.allow", "always")
    repo.git(top, "config", "extensions.partialClone", "evil")
    repo.git(top, "config", "core.repositoryFormatVersion", "1")
    blob = repo.git(top, "rev-parse", "HEAD:README").decode().strip()
    (top / ".git/objects" / blob[:2] / blob[2:]).unlink()


def submodule(top: Path, trap: str) -> None:
    """A checked out submodule with a configuration of its own, and an update command."""
    inside = repo.init(top / "sub")
    repo.write(inside, "file", b"x\n")
    repo.commit(inside)
    (top / ".gitmodules").write_text(f'[submodule "sub"]\n\tpath = sub\n\turl = "ext::{trap}"\n')
    repo.git(top, "add", "sub", ".gitmodules")
    repo.git(top, "commit", "--quiet", "-m", "submodule")
    repo.git(top, "config", "submodule.sub.url", f"ext::{trap}")
    repo.git(top, "config", "submodule.sub.update", f"!{trap}")
    repo.git(top, "config", "submodule.recurse", "true")
    fsmonitor(inside, trap)
    filters(inside, trap)


TRAPS: list[Callable[[Path, str], None]] = [
    hooks,
    hooks_path,
    fsmonitor,
    filters,
    filter_process,
    external_diff,
    programs,
    included,
    promisor,
    submodule,
]


def touch(path: Path) -> None:
    """Make stat data differ, so that git must look into the files."""
    for name in ("README", "src/main.py"):
        os.utime(path / name, (1, 1))


@pytest.mark.parametrize("spring", TRAPS, ids=lambda trap: str(trap.__name__))
def test_a_hostile_repository_runs_nothing_on_the_host(
    trip: Trip, spring: Callable[[Path, str], None], tmp_path: Path
) -> None:
    repo.write(trip.top, "second", b"second\n")
    repo.commit(trip.top)
    sprung = tmp_path / "sprung"
    spring(trip.top, f"touch {sprung}")
    sprung.unlink(missing_ok=True)
    touch(trip.top)
    locate_repository(trip.top)
    if spring is promisor:
        with pytest.raises(RepositoryRefused):
            trip.prepare()
        with pytest.raises(BangerError):
            trip.inspect(branch="b", from_ref="HEAD:README")
    else:
        trip.prepare()
        assert not (trip.work / ".git/hooks").exists() or not list(
            (trip.work / ".git/hooks").iterdir()
        )
        config = (trip.work / ".git/config").read_text()
        assert "sprung" not in config and "evil" not in config
        repo.write(trip.work, "README", b"changed in the guest\n")
        trip.export()
        repo.commit(trip.work, "in the guest")
        export_to(trip, "from-guest")
        repo.git(trip.top, "config", "--unset-all", "core.fsmonitor", check=False)
        repo.git(trip.top, "stash", "--quiet", check=False)
        sprung.unlink(missing_ok=True)
        # A trap may have left a change; what counts is that it did not spring.
        with contextlib.suppress(RepositoryRefused):
            trip.inspect(branch="b", from_ref="HEAD~1")
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("spring", "command"),
    [
        (hooks, ["commit", "--allow-empty", "-m", "x"]),
        (hooks_path, ["commit", "--allow-empty", "-m", "x"]),
        (fsmonitor, ["status"]),
        (filters, ["status"]),
        (filter_process, ["status"]),
        (external_diff, ["diff", "HEAD~1"]),
        (included, ["status"]),
        (promisor, ["cat-file", "-p", "HEAD:README"]),
        (submodule, ["status"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_traps_work(
    trip: Trip,
    spring: Callable[[Path, str], None],
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Plain git falls into them; else the test above would show nothing."""
    repo.write(trip.top, "README", b"second\n")
    repo.commit(trip.top)
    sprung = tmp_path / "sprung"
    spring(trip.top, f"touch {sprung}")
    sprung.unlink(missing_ok=True)
    touch(trip.top)
    if (trip.top / "sub").exists():
        os.utime(trip.top / "sub/file", (1, 1))
    monkeypatch.delitem(repo.ENVIRONMENT, "GIT_ALLOW_PROTOCOL")
    repo.git(trip.top, *command, check=False)
    assert sprung.exists()


def test_a_repository_of_another_user_is_not_trusted(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "banger.workspace.locate.host_environment",
        lambda: {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "LC_ALL": "C"},
    )
    with pytest.raises(NotARepository, match="another user") as caught:
        locate_repository(trip.top)
    assert caught.value.hint and "safe.directory" in caught.value.hint


def forge_index(top: Path, name: str) -> None:
    """Put a name into the index that git would refuse: same length, patched in place."""
    decoy = "x" * len(name)
    repo.write(top, decoy, b"decoy\n")
    repo.git(top, "add", decoy)
    index = top / ".git/index"
    content = index.read_bytes().replace(decoy.encode(), name.encode())
    body = content[:-20]
    index.write_bytes(body + hashlib.sha1(body).digest())
    (top / decoy).unlink()


@pytest.mark.parametrize("name", ["../outside", ".git/config", "sub/../../outside"])
def test_an_index_cannot_reach_out_of_the_tree(trip: Trip, name: str) -> None:
    """Else any file of the user's would be sent to the guest."""
    repo.write(trip.top.parent, "outside", b"the user's own\n")
    forge_index(trip.top, name)
    with pytest.raises(RepositoryRefused):
        trip.prepare()
    assert not trip.work.exists()


def test_a_directory_that_became_a_link_is_not_followed(trip: Trip, tmp_path: Path) -> None:
    repo.write(tmp_path, "secrets/main.py", b"the user's own\n")
    shutil.rmtree(trip.top / "src")
    (trip.top / "src").symlink_to(tmp_path / "secrets")
    trip.prepare()
    assert not os.path.lexists(trip.work / "src")
    trip.prepare(include_untracked=True)
    assert os.readlink(trip.work / "src") == str(tmp_path / "secrets")
    assert repo.status(trip.work) == repo.status(trip.top)


def test_links_out_of_the_tree_stay_links(trip: Trip) -> None:
    (trip.top / "passwd").symlink_to("/etc/passwd")
    repo.git(trip.top, "add", "passwd")
    trip.prepare()
    assert os.readlink(trip.work / "passwd") == "/etc/passwd"


def test_only_named_configuration_follows(trip: Trip) -> None:
    for key in ("http.extraHeader", "credential.username", "core.editor", "url.x.insteadOf", "a.b"):
        repo.git(trip.top, "config", key, "secret-value")
    repo.git(trip.top, "config", "user.signingKey", "secret-value")
    repo.git(trip.top, "config", "user.name", 'A "quoted"\\ name')
    trip.prepare()
    assert "secret-value" not in (trip.work / ".git/config").read_text()
    assert repo.git(trip.work, "config", "user.name") == b'A "quoted"\\ name\n'


def test_an_endless_ignore_file_is_not_read(trip: Trip) -> None:
    repo.git(trip.top, "config", "core.excludesFile", "/dev/zero")
    os.mkfifo(trip.top / ".git/info/attributes")
    trip.prepare()
    assert repo.status(trip.work) == []
