"""A real repository goes into a guest, is worked on, and comes back (A3, A4, A5, C1, F4)."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.component.cli.terminal import Terminal
from tests.support import repositories
from tests.support.installations import Ended, Installation, finish
from tests.support.repositories import git, make_repository, snapshot, status, write
from tests.support.sampling import choose_size
from tests.support.vms import TINY

STATUS = "git status --porcelain -z --untracked-files=all --no-renames"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of files of every kind; copied by whoever changes it."""
    top = tmp_path_factory.mktemp("original") / "project"
    make_repository(top, files=choose_size(120, 2000), total_mib=choose_size(1, 8))
    return top


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose import takes long enough to be brought to a halt."""
    top = tmp_path_factory.mktemp("large") / "project"
    make_repository(top, files=1000, total_mib=4)
    return top


@pytest.fixture
def repository(original: Path, tmp_path: Path) -> Path:
    """A copy of it with changes of its own: modified, deleted, staged, untracked, ignored."""
    top = tmp_path / "project"
    subprocess.run(["cp", "-a", original, top], check=True)
    write(top, "windows.crlf", b"one\r\nchanged on the host\r\n")
    write(top, "src/part1/unit1.py", b"staged\n")
    git(top, "add", "src/part1/unit1.py")
    (top / "empty").unlink()
    write(top, "untracked.txt", b"a secret\n")
    write(top, "build/ignored.o", b"ignored\n")
    return top


@pytest.fixture
def place(banger: Installation, system: str) -> Iterator[str]:
    """A guest directory for one test's workspace."""
    path = "/root/project"
    yield path
    # Commands of other modules, too, begin in what was the workspace.
    renew = f"rm -rf {path} /root/.project.banger-* && mkdir {path}"
    banger.do("vm", "exec", "-w", "/", system, "--", "sh", "-c", renew)


def in_guest(banger: Installation, vm: str, script: str, **options: object) -> Ended:
    """Run a shell script in the workspace."""
    return banger.exec(vm, "sh", "-euc", script, status=0, **options)


def test_status_agrees_on_both_sides(
    banger: Installation, system: str, repository: Path, place: str
) -> None:
    """F4, A5: the same commit, index and work tree; untracked and ignored files stay at home."""
    ended = banger.do("vm", "workspace", "prepare", system, repository)
    assert "ntracked files not copied: 1" in ended.err
    listed = sorted(in_guest(banger, system, STATUS).out.split(b"\0")[:-1])
    assert listed == [line for line in status(repository) if b"untracked.txt" not in line]
    head = in_guest(banger, system, "git rev-parse HEAD; git branch --show-current; pwd").text
    assert head.split() == [git(repository, "rev-parse", "HEAD").decode().strip(), "main", place]
    assert banger.exec(system, "test", "-e", "untracked.txt").status == 1
    assert banger.exec(system, "test", "-e", "build/ignored.o").status == 1


def test_commands_run_in_the_directory_that_was_named(
    banger: Installation, system: str, repository: Path, place: str
) -> None:
    banger.do("vm", "workspace", "prepare", system, repository / "src/part1")
    assert banger.exec(system, "pwd", status=0).text == f"{place}/src/part1"
    banger.do("vm", "workspace", "prepare", system, repository)
    assert banger.exec(system, "pwd", status=0).text == place


def test_other_users_reach_it(
    banger: Installation, system: str, repository: Path, place: str
) -> None:
    banger.do("vm", "workspace", "prepare", system, repository)
    done = banger.do("vm", "exec", "--user", "nobody", system, "--", "head", "-n1", "windows.crlf")
    assert done.out == b"one\r\n"


def test_untracked_files_when_asked_for(
    banger: Installation, system: str, repository: Path, place: str
) -> None:
    """A5: opt-in; ignored files never."""
    banger.do("vm", "workspace", "prepare", "--include-untracked", system, repository)
    assert in_guest(banger, system, "cat untracked.txt").text == "a secret"
    assert banger.exec(system, "test", "-e", "build/ignored.o").status == 1


def test_a_full_copy(banger: Installation, system: str, original: Path, place: str) -> None:
    """F4: all history, and the contents of submodules, through the agent."""
    banger.do("vm", "workspace", "prepare", "--full", system, original)
    logs = "git log --format=%H; git -C vendor/sub log --format=%H; cat vendor/sub/inside"
    ours = subprocess.run(["sh", "-euc", logs], cwd=original, capture_output=True, check=True)
    assert in_guest(banger, system, logs).out == ours.stdout
    assert in_guest(banger, system, STATUS).out == b""
    assert banger.do("vm", "workspace", "export", system).out == b""


def test_a_plain_directory(banger: Installation, system: str, place: str, tmp_path: Path) -> None:
    """A11, A12: in no repository, through the agent and back."""
    top = tmp_path / "project"
    write(top, ".env", b"x\n")
    write(top, b"latin-\xe9/file", b"x\n", mode=0o755)
    (top / "empty").mkdir()
    refused = banger.run("vm", "workspace", "prepare", system, top)
    assert refused.status == 2 and "--plain" in refused.err
    banger.do("vm", "workspace", "prepare", "--plain", system, top)
    in_guest(
        banger, system, "test -x \"$(printf 'latin-\\351/file')\"; test -d empty; ! test -e .git"
    )
    assert banger.do("vm", "workspace", "export", system).out == b""
    in_guest(banger, system, "echo changed >.env; mkdir new; echo x >new/.gitignore")
    git(top, "apply", "-", stdin=banger.do("vm", "workspace", "export", system).out)
    assert (top / ".env").read_bytes() == b"changed\n" and (top / "new/.gitignore").exists()
    assert banger.run("vm", "workspace", "export", system, "--branch", "b").status == 2


def test_changes_are_looked_at_and_applied(
    banger: Installation, system: str, repository: Path, place: str
) -> None:
    """A11, E1: status, diff and apply of a real guest, onto a tree with changes of its own."""
    banger.do("vm", "workspace", "prepare", system, repository)
    in_guest(banger, system, "echo guest >no-newline; rm -- -dash; mkdir new; echo x >new/file")
    status = banger.json("vm", "workspace", "status", system)
    assert not status["is_stale"] and status["guest_commits"] == 0
    assert {(each["name"], each["status"]) for each in status["changes"]} == {
        ("no-newline", "M"),
        ("-dash", "D"),
        ("new/file", "A"),
    }
    assert b"+guest" in banger.do("vm", "workspace", "diff", system).out
    write(repository, "no-newline", b"host\n")
    assert banger.json("vm", "workspace", "status", system)["is_stale"]
    refused = banger.run("vm", "workspace", "apply", system)
    assert refused.status == 5 and b"conflict no-newline" in refused.out
    assert (repository / "-dash").exists()
    git(repository, "checkout", "--quiet", "no-newline")
    banger.do("vm", "workspace", "apply", system)
    assert not (repository / "-dash").exists()
    assert (repository / "new/file").read_bytes() == b"x\n"
    assert (repository / "no-newline").read_bytes() == b"guest\n"
    assert (repository / "windows.crlf").read_bytes() == b"one\r\nchanged on the host\r\n"


def test_both_sides_are_synced(
    banger: Installation, system: str, repository: Path, place: str, tmp_path: Path
) -> None:
    """A11, E1: what each side changed goes to the other, and a conflict stays; again and again."""
    banger.do("vm", "workspace", "prepare", system, repository)
    in_guest(banger, system, "echo guest >no-newline; rm -- -dash; mkdir new; echo x >new/file")
    write(repository, "windows.crlf", b"of the host\r\n")
    (repository / "src/part1/unit1.py").unlink()
    banger.do("vm", "workspace", "sync", system)
    assert (repository / "no-newline").read_bytes() == b"guest\n"
    assert not (repository / "-dash").exists() and (repository / "new/file").exists()
    there = in_guest(banger, system, "cat windows.crlf; ls src/part1/unit1.py || true").out
    assert there == b"of the host\r\n"
    assert banger.json("vm", "workspace", "status", system)["changes"] == []
    write(repository, "new/file", b"host\n")
    in_guest(banger, system, "echo guest >new/file; echo later >no-newline")
    refused = banger.run("vm", "workspace", "sync", system)
    assert refused.status == 5 and b"conflict new/file: changed on both sides" in refused.out
    assert (repository / "no-newline").read_bytes() == b"later\n"
    assert (repository / "new/file").read_bytes() == b"host\n"
    banger.do("vm", "workspace", "sync", system, "--prefer", "host")
    assert in_guest(banger, system, "cat new/file").out == b"host\n"
    # Every second file of some directories changes in the guest, many on the host.
    in_guest(banger, system, "for f in src/part[1-4]*/*[02468].py; do echo guest >>$f; done")
    for path in repository.glob("src/part[5-8]*/*.bin"):
        path.write_bytes(b"of the host\n")
    banger.do("vm", "workspace", "sync", system)
    here = snapshot(repository)
    for name in (b"untracked.txt", b"build/ignored.o"):
        del here[name]
    there = fetch_tree(banger, system, place, tmp_path)
    assert without_submodule(here) == without_submodule(there)


def test_a_stale_workspace_is_told_and_copied_again(
    banger: Installation, system: str, repository: Path, place: str
) -> None:
    """A11: a person is told; --auto-prepare copies, keeps what git ignores, and loses no work."""
    banger.do("vm", "workspace", "prepare", system, repository)
    in_guest(banger, system, "mkdir build; echo kept >build/result")
    write(repository, "no-newline", b"newer\n")
    show = ("--", "cat", "no-newline")
    with contextlib.closing(Terminal(banger.environ, "vm", "exec", system, *show)) as terminal:
        terminal.expect(b"1 file of ")
        terminal.expect(b"the end")
    again = banger.do("vm", "exec", "--auto-prepare", system, *show, "build/result")
    assert again.out == b"newer\nkept\n"
    assert banger.do("vm", "exec", "--auto-prepare", system, *show).err == ""
    assert banger.do("vm", "workspace", "export", system).out == b""
    in_guest(banger, system, "echo work >no-newline")
    write(repository, "no-newline", b"newest of all\n")
    refused = banger.run("vm", "exec", "--auto-prepare", system, *show)
    assert refused.status == 125 and "have changed" in refused.err
    assert banger.exec(system, *show[1:], status=0).out == b"work\n"


def test_runs_of_other_copies(banger: Installation, original: Path, tmp_path: Path) -> None:
    """`vm run --full` and `--plain`, and what a dry run says of them."""
    run = ("vm", "run", "--rm", "-q", *TINY)
    ran = banger.do(*run, "--full", original, "--", "cat", "vendor/sub/inside")
    assert ran.out == b"in the submodule\n"
    top = tmp_path / "plain"
    write(top, "deep/file", b"x\n")
    plan = banger.do("vm", "run", "--dry-run", "--plain", top)
    assert plan.text.split() == ["deep/file"] and "plain directory" in plan.err
    words = ("sh", "-c", "pwd; cat deep/file; echo lost >deep/file")
    ran = banger.do(*run, "--plain", top, "--", *words)
    assert ran.out == b"/root/plain\nx\n"
    assert (top / "deep/file").read_bytes() == b"x\n"
    refused = banger.run("vm", "run", "--rm", top, "--", "true")
    assert refused.status == 125 and "--plain" in refused.err


CHANGE = r"""
git config user.name Guest; git config user.email guest@example.com
printf 'committed\n' >committed.txt; git rm -q twin; git mv big.bin moved.bin
head -c 300000 /dev/urandom >noise.bin; chmod +x no-newline
git add -A; git commit -qm 'from the guest'
printf 'more\n' >>committed.txt; git commit -qam 'and another'
printf 'uncommitted\n' >>'name with spaces'; rm 'quo"te\back'
mv long/* long/short; ln -s ../moved.bin src/link; ln -sfn part2 src/link-to-directory
mkdir -p new/deep; head -c 70000 /dev/urandom >new/deep/file.bin
printf 'no newline' >"$(printf 'tab\tnew')"
chmod -x src/part0/unit0.bin; : >now-empty; printf '\r\nx\r\n' >>windows.crlf; rm -r deep
"""


def test_what_was_changed_comes_back_bit_by_bit(
    banger: Installation, system: str, original: Path, place: str, tmp_path: Path
) -> None:
    """A3, A4: committed or not, binary, modes, links, renames; and the guest is as it was."""
    banger.do("vm", "workspace", "prepare", system, original)
    in_guest(banger, system, CHANGE)
    watched = "cat .git/index | sha256sum; git rev-parse HEAD; git for-each-ref; ls .git; " + STATUS
    before = in_guest(banger, system, watched).out
    patch = tmp_path / "changes.patch"
    banger.do("vm", "workspace", "export", system, "-o", patch)
    assert in_guest(banger, system, watched).out == before
    assert banger.do("vm", "workspace", "export", system).out == patch.read_bytes()
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--no-local", original, clone)
    git(clone, "apply", "--binary", patch)
    assert snapshot(clone) == without_submodule(fetch_tree(banger, system, place, tmp_path))


def fetch_tree(
    banger: Installation, vm: str, place: str, tmp_path: Path
) -> dict[bytes, tuple[str, bytes]]:
    """Return every file of the guest's work tree."""
    tree = tmp_path / "guest"
    tree.mkdir()
    archive = banger.exec(vm, "tar", "-C", place, "--exclude=./.git", "-cf", "-", ".", status=0).out
    subprocess.run(["tar", "-C", tree, "-xf", "-"], input=archive, check=True)
    return snapshot(tree)


def without_submodule(files: dict[bytes, tuple[str, bytes]]) -> dict[bytes, tuple[str, bytes]]:
    """A clone has no submodules until it is asked for them, and a patch has none of their files."""
    return {name: what for name, what in files.items() if not name.startswith(b"vendor/sub/")}


def test_a_branch_comes_back(
    banger: Installation, system: str, original: Path, place: str, tmp_path: Path
) -> None:
    """A3: the guest's commits as they are; the host's work tree, index and HEAD stay."""
    top = tmp_path / "project"
    subprocess.run(["cp", "-a", original, top], check=True)
    banger.do("vm", "workspace", "prepare", system, top)
    in_guest(banger, system, CHANGE)
    before = (snapshot(top), status(top), git(top, "rev-parse", "HEAD", "main"))
    done = json.loads(
        banger.do("vm", "workspace", "export", "--branch", "from-guest", "--json", system).out
    )
    assert (snapshot(top), status(top), git(top, "rev-parse", "HEAD", "main")) == before
    assert done["commits"] == 2 and done["uncommitted"] > 0
    guest_head = in_guest(banger, system, "git rev-parse HEAD HEAD^{tree}").text
    assert git(top, "rev-parse", "from-guest", "from-guest^{tree}").decode().strip() == guest_head
    assert git(top, "merge-base", "main", "from-guest") == git(top, "rev-parse", "main")
    git(top, "fsck", "--strict", "--connectivity-only")


def test_a_new_branch_in_the_guest(
    banger: Installation, system: str, original: Path, place: str
) -> None:
    """--branch starts one there, and leaves the host's repository alone."""
    banger.do("vm", "workspace", "prepare", "--branch", "topic", system, original)
    assert in_guest(banger, system, "git branch --show-current").text == "topic"
    assert b"topic" not in git(original, "branch", "--list")


def test_export_of_nothing(banger: Installation, system: str, original: Path, place: str) -> None:
    """H7: an unchanged workspace is an empty patch."""
    banger.do("vm", "workspace", "prepare", system, original)
    assert banger.do("vm", "workspace", "export", system).out == b""


def test_export_without_a_workspace(banger: Installation, tiny: str) -> None:
    """H6: one sentence, and what to do."""
    ended = banger.run("vm", "workspace", "export", tiny, status=4)
    assert "no workspace" in ended.err and "hint: banger vm workspace prepare" in ended.err
    assert ended.out == b""


def test_two_prepares_of_one_vm(
    banger: Installation, system: str, original: Path, place: str, tmp_path: Path
) -> None:
    """C1: one after the other, whichever is first; the result is one of them, whole."""
    other = tmp_path / "project"
    repositories.init(other)
    write(other, "only-file", b"the other one\n")
    repositories.commit(other)
    argv = ("vm", "workspace", "prepare", "--guest-path", place, system)
    both = [banger.start(*argv, top) for top in (original, other)]
    ended = [finish(process) for process in both]
    assert [one.status for one in ended] == [0, 0], ended
    assert in_guest(banger, system, STATUS).out == b""
    found = banger.vm(system)["workspace"]
    head = in_guest(banger, system, "git rev-parse HEAD").text
    assert head == found["commit"]


def test_an_export_sees_whole_imports_only(
    banger: Installation, system: str, original: Path, large: Path, place: str
) -> None:
    """C1: an export that is asked for during a prepare waits for it, and for nothing less."""
    banger.do("vm", "workspace", "prepare", system, original)
    in_guest(banger, system, "echo changed >>empty")
    with stalled_import(banger, system, place) as stalled:
        preparing = banger.start("vm", "workspace", "prepare", system, large)
    (worker,) = stalled
    exporting = banger.start("vm", "workspace", "export", system)
    assert exporting.poll() is None
    banger.exec(system, "kill", "-CONT", worker, status=0)
    finish(preparing, status=0)
    assert finish(exporting, status=0).out == b""


@pytest.mark.parametrize("verb", ["stop", "delete"])
def test_nothing_waits_behind_an_import(banger: Installation, large: Path, verb: str) -> None:
    """C1, H2: an import that has come to a halt for good holds up neither stop nor delete."""
    name = banger.do("vm", "create", *TINY).text
    try:
        with stalled_import(banger, name, "/root/project"):
            preparing = banger.start("vm", "workspace", "prepare", name, large)
        assert preparing.poll() is None
        banger.do("vm", verb, name)
        ended = finish(preparing)
        assert ended.status == 1 and "\nbanger: " in f"\n{ended.err}", ended
    finally:
        if verb == "stop":
            banger.do("vm", "delete", name)


STALL = r"""
read agent </proc/$PPID/comm
while sleep 0.1; do
    [ -d "$1" ] || continue
    for worker in $(cat /proc/$PPID/task/$PPID/children); do
        read name </proc/$worker/comm && [ "$name" = "$agent" ] || continue
        kill -STOP $worker && echo $worker && exit
    done
done
"""
"""Stop the agent's process that unpacks below $1. Our own parent is the agent."""


@contextlib.contextmanager
def stalled_import(banger: Installation, vm: str, place: str) -> Iterator[list[str]]:
    """Bring the import that a block starts to a halt; say in the end what stands still."""
    folder, name = place.rsplit("/", 1)
    staging = f"{folder}/.{name}.banger-import"
    stopping = banger.start("vm", "exec", "-w", "/", vm, "--", "sh", "-c", STALL, "sh", staging)
    stopped: list[str] = []
    yield stopped
    stopped.append(finish(stopping, status=0).text)
    assert stopped[0].isdecimal(), stopped
