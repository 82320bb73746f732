"""A run that cannot bring its result back keeps the VM that holds it (A11).

Six ways in which collecting fails after the command has run. Whatever happens, what the command
made is in a branch, or in a VM that is left although `--rm` was given, and then the command that
the message names fetches it once the reason is gone.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import repositories
from tests.support.installations import Ended, Installation, finish, read_line, wait_for
from tests.support.repositories import git
from tests.support.sampling import choose

FILL = """
for size in 4G 1G 256M 64M 16M 4M 1M 64K 4K; do
    n=0; while fallocate -l $size /root/fill.$size.$n 2>/dev/null; do n=$((n+1)); done
done
"""
WORK = """
echo made in the guest >result
{}
echo ready
until [ -e /tmp/go ]; do sleep 0.1; done
"""
FETCH = re.compile(r"banger (vm workspace export \S+ --branch (\S+) --include-uncommitted)")


def nothing(_: Path) -> None:
    """Leave the host's side as it is."""


def change_mode(mode: str) -> Callable[[Path], None]:
    return lambda top: subprocess.run(["chmod", "-R", mode, top / ".git"], check=True) and None


class Way(NamedTuple):
    """What goes wrong in the guest or on the host, and how it is mended."""

    guest: str = ":"
    host: Callable[[Path], object] = nothing
    mend: Callable[[Path], object] = nothing
    mend_guest: str = ":"


def move_away(top: Path) -> None:
    top.rename(top.with_name("elsewhere"))


def move_back(top: Path) -> None:
    top.with_name("elsewhere").rename(top)


WAYS = {
    "a branch in the way": Way(
        host=lambda top: git(top, "branch", "banger"),
        mend=lambda top: git(top, "branch", "-D", "banger"),
    ),
    "a git directory that is not writable": Way(host=change_mode("a-w"), mend=change_mode("u+w")),
    "a repository that was moved": Way(host=move_away, mend=move_back),
    "a repository without a commit within": Way(guest="git init -q within"),
    "a full disk in the guest": Way(guest=FILL, mend_guest="rm /root/fill.*"),
    "no git directory in the guest": Way(guest="rm -rf .git"),
}
OPTIONS = ("--fork=1", "--branch=work")
WAYS_OF_OPTIONS = [(way, OPTIONS[(n + m) % 2]) for n, way in enumerate(WAYS) for m in (0, 1)]
"""Each second one: all ways, each option with half of them."""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    top = repositories.init(tmp_path / "project")
    repositories.write(top, "answer", b"41\n")
    repositories.commit(top)
    yield top
    if top.exists():
        change_mode("u+w")(top)


@pytest.fixture(autouse=True)
def nothing_new_is_left(banger: Installation) -> Iterator[None]:
    before = {vm["id"] for vm in banger.vms()}
    yield
    for vm in banger.vms():
        if vm["id"] not in before:
            banger.do("vm", "delete", vm["id"])


def run_and_break(banger: Installation, top: Path, way: Way, *options: str, name: str) -> Ended:
    """Run a command that makes a result; break what brings it back; return how the run ended."""
    work = WORK.format(way.guest)
    process = banger.start(
        *("vm", "run", "--rm", "--name", "way", *options, top, "--", "sh", "-c", work)
    )
    assert read_line(process).endswith(b"ready\n")
    way.host(top)
    banger.exec(name, "touch", "/tmp/go", status=0)
    return finish(process)


def require_result(banger: Installation, top: Path, way: Way, ended: Ended, name: str) -> None:
    """Check that the result is in a branch; fetch it first if the run says that it could not."""
    told = FETCH.search(ended.err)
    way.mend(top)
    if told is None:
        assert ended.status == 0, ended
        wait_for(lambda: not [vm for vm in banger.vms() if vm["name"] == name], "the VM to go")
    else:
        assert ended.status == 125, ended
        assert banger.state(name) == "running"
        banger.exec(name, "sh", "-c", way.mend_guest, status=0)
        banger.do(*shlex.split(told[1]))
    branches = git(top, "branch", "--format=%(refname:short)").decode().split()
    [branch] = [branch for branch in branches if branch != "main"]
    assert git(top, "show", f"{branch}:result") == b"made in the guest\n"


@pytest.mark.parametrize(("way", "option"), choose(WAYS_OF_OPTIONS, len(WAYS)))
def test_a_result_is_never_lost(banger: Installation, project: Path, way: str, option: str) -> None:
    """A11, H5: with `--rm`."""
    name = "way-1" if "fork" in option else "way"
    ended = run_and_break(banger, project, WAYS[way], option, name=name)
    require_result(banger, project, WAYS[way], ended, name)


def test_a_daemons_death_costs_no_result(banger: Installation, project: Path) -> None:
    """A11, B11: how the command ended is not known then; what it has made is."""
    process = banger.start(
        *("vm", "run", "--rm", "--name", "way", "--fork", "1", project),
        *("--", "sh", "-c", WORK.format(":")),
    )
    assert read_line(process).endswith(b"ready\n")
    banger.kill_daemon()
    finish(process, status=125)
    assert git(project, "show", "banger/way-1:result") == b"made in the guest\n"


def test_what_can_be_known_is_refused_before_there_is_a_vm(
    banger: Installation, project: Path
) -> None:
    """A11, C7: names, the git directory, files that cannot be read."""
    run = ("vm", "run", "--rm", "--fork", "2", project, "--", "true")
    before = [vm["id"] for vm in banger.vms()]
    git(project, "branch", "banger")
    assert "conflicts with the name" in banger.run(*run, status=125).err
    git(project, "branch", "-D", "banger")
    change_mode("a-w")(project)
    assert "is not writable" in banger.run(*run, status=125).err
    change_mode("u+w")(project)
    (project / "answer").chmod(0)
    assert "'answer' in" in banger.run(*run, status=125).err
    assert "'answer' in" in banger.run("vm", "run", "--dry-run", project).err
    (project / "answer").chmod(0o644)
    (project / ".git/index").write_bytes(b"broken")
    assert "cannot read the index" in banger.run("vm", "run", project, "--", "true", status=125).err
    assert [vm["id"] for vm in banger.vms()] == before


def test_a_vm_in_which_nothing_ran_is_deleted(banger: Installation, project: Path) -> None:
    """A11: the preparation fails in the guest; the message says what became of the VM."""
    ended = banger.run(
        *("vm", "run", "--name", "way", "--guest-path", "/etc", project, "--", "true"),
        status=125,
    )
    assert "/etc exists in the guest" in ended.err
    assert "Deleted way: no command was run there." in ended.err
    assert "way" not in [vm["name"] for vm in banger.vms()]


def test_a_dry_run_refuses_as_the_run(banger: Installation, system: str, project: Path) -> None:
    """C7: the same sentence and the same status; nothing is made."""
    before = [vm["id"] for vm in banger.vms()]
    for options in (
        ("--memory", "1M"),
        ("--vcpu", "1000"),
        ("--vcpu", "60"),
        ("--name", system),
        ("--name", "A"),
        ("--image", "no-such-image"),
        ("--kernel", "no-such-kernel"),
        ("--memory", "900G"),
    ):
        dry = banger.run("vm", "run", "-q", "--dry-run", *options, project)
        real = banger.run("vm", "run", "-q", *options, project, "--", "true", status=125)
        # The memory that is available changes meanwhile.
        said, would_say = (re.sub(r"[0-9.]+ [MG]iB", "SIZE", ended.err) for ended in (real, dry))
        assert dry.status == 125 and said == would_say, (dry, real)
    assert [vm["id"] for vm in banger.vms()] == before
