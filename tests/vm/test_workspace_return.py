"""What comes back from a real guest, through the real agent, in the worst cases (A11, A12)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import repositories as repo
from tests.support.installations import Installation

SIZE = "4M"
"""Of the file system that the workspace is on, in the guest's memory."""
FULL = "cat /dev/zero >../fill || true"

SCRIPTS = {
    "nothing": "git status",
    "nested-repository": "git init -q app; cd app; echo x >f; git add f; git commit -qm inner",
    "nested-without-a-commit": "git init -q app; echo x >app/f",
    "swapped": "mv one t; mv two one; mv t two",
    "copied-over": "cp -p two one",
    "rewritten": "touch -r one /tmp/t; printf 3333 >one; touch -r /tmp/t one",
    "line-ends": "git config core.autocrlf true; sed -i 's/$/\\r/' README; git commit -qam crlf",
    "filter": "git config filter.f.clean 'tr a-z A-Z'; echo '* filter=f' >.git/info/attributes; "
    "echo quiet >x; git add .; git commit -qm x",
    "file-mode": "git config core.fileMode false; chmod +x README",
    "assume-unchanged": "git update-index --assume-unchanged README; echo x >README",
    "sparse": "git sparse-checkout set --no-cone src; echo x >src/x",
    "stash": "echo x >README; git stash -q; git stash pop -q; git stash -q; echo y >y",
    "no-git": "rm -rf .git; rm README; echo x >x",
    "made-anew": "rm -rf .git; git init -q; git add .; git commit -qm anew; echo x >x",
    "full": f"echo x >x; rm README; {FULL}",
    "odd-names": "echo x >\"$(printf 'new\\nline\\351')\"; ln -s /etc/passwd out; mkfifo pipe",
    "large": "head -c 2500000 /dev/urandom >large",
}
NOTICES = {
    "nested-repository": "exported without their history: app.",
    "nested-without-a-commit": "exported without their history: app.",
    "stash": "The guest has a stash",
    "odd-names": "Pipes, sockets and devices, which git cannot store: pipe.",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a change that is not committed, and files of one size and time."""
    top = repo.init(tmp_path / "project")
    for name in ("one", "two"):
        repo.write(top, name, name.encode() + b"\n")
    repo.write(top, "README", b"read me\n")
    repo.write(top, "src/main.py", b"print('hello')\n", mode=0o755)
    repo.commit(top)
    repo.write(top, "src/main.py", b"print('not committed')\n", mode=0o755)
    return top


@pytest.fixture(scope="module")
def vm(banger: Installation, system: str) -> Iterator[str]:
    """A VM of the default image for this module: the shared ones have no workspace."""
    name = banger.do("vm", "create", "--name", "returning").text
    yield name
    banger.do("vm", "delete", name)


@pytest.fixture
def place(banger: Installation, vm: str) -> Iterator[str]:
    """A directory of the guest on a small file system of its own."""
    mount = f"mkdir -p /mnt/small && mount -t tmpfs -o size={SIZE} tmpfs /mnt/small"
    banger.do("vm", "exec", "-w", "/", vm, "--", "sh", "-c", mount)
    yield "/mnt/small/project"
    banger.do("vm", "exec", "-w", "/", vm, "--", "umount", "/mnt/small")


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_comes_back(
    banger: Installation, vm: str, repository: Path, place: str, tmp_path: Path, name: str
) -> None:
    """A11, A12."""
    banger.do("vm", "workspace", "prepare", "--guest-path", place, vm, repository)
    banger.exec(vm, "sh", "-euc", SCRIPTS[name], status=0)
    patch = tmp_path / "patch"
    ended = banger.do("vm", "workspace", "export", vm, "-o", patch)
    assert NOTICES.get(name, "") in ended.err
    assert (patch.read_bytes() == b"") == (name == "nothing")
    expected = fetch_tree(banger, vm, place, tmp_path)
    if name == "sparse":
        assert b"one" not in expected
        at_top = ("one", "two", "README")
        expected |= {n.encode(): ("-", (repository / n).read_bytes()) for n in at_top}
    if patch.read_bytes():
        repo.git(repository, "apply", str(patch))
    assert repo.snapshot(repository) == expected


def fetch_tree(
    banger: Installation, vm: str, place: str, tmp_path: Path
) -> dict[bytes, tuple[str, bytes]]:
    """Return every file of the guest's work tree."""
    tree = tmp_path / "guest"
    tree.mkdir()
    options = ["--exclude=.git", "--exclude=./pipe", "-cf", "-"]
    archive = banger.exec(vm, "tar", "-C", place, *options, ".", status=0).out
    subprocess.run(["tar", "-C", tree, "-xf", "-"], input=archive, check=True)
    return repo.snapshot(tree)
