"""`vm run --fork`: prepared once, run side by side, each result a branch (hazards C5, H1, H2)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import repositories
from tests.support.installations import Installation, finish, read_line, wait_for
from tests.support.repositories import git
from tests.support.vms import TINY

RUN = ("vm", "run", *TINY, "--network", "none")


@pytest.fixture(autouse=True)
def nothing_new_is_left(banger: Installation) -> Iterator[None]:
    """Each test leaves what it found: VMs, processes, directories."""
    before = {vm["id"] for vm in banger.vms()}
    yield
    wait_for(lambda: {vm["id"] for vm in banger.vms()} == before, "the VMs to be deleted")
    assert banger.json("gc", "--dry-run") == []
    assert {path.name for path in banger.layout.vms.glob("*")} == before


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one file that is changed and not committed."""
    top = repositories.init(tmp_path / "project")
    repositories.write(top, "answer", b"41\n")
    repositories.write(top, "old", b"x\n")
    repositories.commit(top)
    repositories.write(top, "answer", b"42\n")
    return top


def read_table(out: bytes) -> list[list[str]]:
    """Return the cells of the table at the end, without the seconds."""
    lines = [line.split() for line in out.decode().splitlines()]
    header = lines.index("N STATUS SECONDS FILES BRANCH".split())
    return [row[:2] + row[3:] for row in lines[header + 1 :]]


WORK = r"""
echo fork {n} has $(cat answer); echo to stderr {n} >&2
case {n} in
1)  git config user.name Guest; git config user.email guest@example.com
    echo 1 >new; git add new; git commit -qm 'from fork 1'; git rm -q old; echo more >>new ;;
2)  git checkout -q answer; exit 3 ;;
3)  printf 'fork\0three' >binary; exit 5 ;;
esac
"""


def test_each_result_is_kept_as_a_branch(banger: Installation, project: Path) -> None:
    """H1, A3: commits and what is not committed; statuses by number; nothing else is changed."""
    git(project, "branch", "banger/team-3")
    before = (repositories.snapshot(project), repositories.status(project))
    ended = banger.run(
        *("vm", "run", "--rm", "--name", "team", "--fork", "3", project),
        *("--", "sh", "-euc", WORK),
        status=3,
    )
    for number in (1, 2, 3):
        assert f"[{number}] fork {number} has 42" in ended.text.splitlines()
        assert f"[{number}] to stderr {number}" in ended.err.splitlines()
    assert read_table(ended.out) == [
        ["1", "0", "3", "banger/team-1"],
        # It took back what the host had not committed: its tree is the prepared commit's.
        ["2", "3", "0", "banger/team-2"],
        ["3", "5", "2", "banger/team-3-2"],
    ]
    assert (repositories.snapshot(project), repositories.status(project)) == before
    changed = git(project, "diff", "--name-status", "main", "banger/team-1").decode().split()
    assert changed == ["M", "answer", "A", "new", "D", "old"]
    assert git(project, "show", "banger/team-1:new") == b"1\nmore\n"
    assert git(project, "log", "-1", "--format=%s", "banger/team-1~1") == b"from fork 1\n"
    assert git(project, "show", "banger/team-3-2:binary") == b"fork\0three"
    assert git(project, "show", "banger/team-3-2:answer") == b"42\n"
    branches = git(project, "branch", "--list", "banger/*", "--format=%(refname:short)").split()
    assert branches == [f"banger/team-{end}".encode() for end in ("1", "2", "3", "3-2")]
    assert git(project, "rev-parse", "banger/team-2") == git(project, "rev-parse", "main")


def test_a_fork_that_dies_does_not_hold_the_others(banger: Installation) -> None:
    """H2: it ends at once with 125; the others go on to their ends."""
    script = "echo up; until [ -e /tmp/go ]; do sleep 0.1; done; echo through"
    process = banger.start(
        *RUN, "-q", "--rm", "--name", "trio", "--fork", "3", "--", "sh", "-c", script
    )
    assert sorted(read_line(process) for _ in range(3)) == [b"[%d] up\n" % n for n in (1, 2, 3)]
    os.kill(banger.vm("trio-2")["pid"], signal.SIGKILL)
    assert process.stderr is not None
    complaint = b""
    while b"[2] banger: " not in complaint:
        piece = process.stderr.read(4096)
        assert piece, complaint
        complaint += piece
    for name in ("trio-1", "trio-3"):
        banger.exec(name, "touch", "/tmp/go", status=0)
    ended = finish(process, status=125)
    assert [row[:2] for row in read_table(ended.out)] == [["1", "0"], ["2", "125"], ["3", "0"]]
    assert {"[1] through", "[3] through"} <= set(ended.text.splitlines())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_is_deleted_with_its_forks(
    banger: Installation, number: signal.Signals
) -> None:
    """C5: by us, or by the daemon if we are killed."""
    process = banger.start(
        *RUN, "--rm", "--fork", "2", "--", "sh", "-c", "echo up; exec sleep 7000"
    )
    assert sorted(read_line(process) for _ in range(2)) == [b"[1] up\n", b"[2] up\n"]
    process.send_signal(number)
    finish(process, status=130 if number == signal.SIGINT else -number)


def test_interrupted_while_the_forks_are_made(banger: Installation) -> None:
    """C5: neither the base nor a fork is left."""
    process = banger.start(*RUN, "--rm", "--name", "many", "--fork", "8", "--", "sleep", "7000")
    wait_for(lambda: any("many-" in vm["name"] for vm in banger.vms()), "the first fork")
    process.send_signal(signal.SIGINT)
    finish(process, status=130)


def test_without_a_repository_nothing_is_kept(banger: Installation) -> None:
    """H4: what the commands print is the whole result."""
    ended = banger.run(*RUN, "--name", "gone", "--fork", "2", "--", "true", status=0)
    assert "left" not in ended.err


def test_without_rm_they_run_on(banger: Installation, project: Path) -> None:
    """H4: one line says so, it is true, and its command deletes them all."""
    words = (*RUN, "--name", "stay", "--fork", "2", project)
    ended = banger.run(*words, "--", "true", status=0)
    [line] = [line for line in ended.err.splitlines() if "delete them: " in line]
    assert line == "3 VMs are left, 3 running; delete them: banger vm delete stay stay-1 stay-2"
    assert [banger.state(name) for name in ("stay", "stay-1", "stay-2")] == ["running"] * 3
    banger.do(*line.partition("delete them: banger ")[2].split())


def test_a_branch_with_what_is_not_committed(
    banger: Installation, system: str, project: Path
) -> None:
    """A4: `workspace export --branch --include-uncommitted`; the guest stays as it was."""
    (vm,) = banger.do("vm", "fork", system, "--name", "branched").text.split()
    try:
        banger.do("vm", "workspace", "prepare", vm, project)
        banger.exec(vm, "sh", "-euc", "echo loose >loose; git add loose", status=0)
        watched = ("sh", "-c", "git status --porcelain; git rev-parse HEAD; find .git | sort")
        before = banger.exec(vm, *watched, status=0).out
        words = ("--branch", "from-guest", "--include-uncommitted")
        done = banger.json("vm", "workspace", "export", vm, *words)
        assert banger.exec(vm, *watched, status=0).out == before
        assert (done["commits"], done["files"], done["uncommitted"]) == (1, 2, 0)
        assert git(project, "show", "from-guest:loose") == b"loose\n"
    finally:
        banger.do("vm", "delete", vm)
