"""What is built on ssh: sftp, scp of both protocols, rsync, git and sshfs, with a VM."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.installations import Installation
from tests.support.ssh import SshClient


@pytest.fixture
def client(banger: Installation, short_dir: Path) -> SshClient:
    return SshClient(banger, short_dir)


@pytest.fixture
def tree(short_dir: Path) -> Path:
    """A tree with a binary file, a mode, an empty directory and a link."""
    tree = short_dir / "tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "data").write_bytes(os.urandom(300_000))
    (tree / "run.sh").write_text("#!/bin/sh\n")
    (tree / "run.sh").chmod(0o750)
    (tree / "a b").write_text("spaced\n")
    return tree


def listing(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the mode and the content of each file below a directory."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def use(client: SshClient, *words: str) -> None:
    """Run a program that runs ssh with our configuration."""
    subprocess.run(
        words,
        env={**client.banger.environ, "GIT_SSH_COMMAND": f"ssh -F {client.config}"},
        check=True,
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize("options", [[], ["-O"]], ids=["sftp", "rcp"])
def test_scp_copies_trees_both_ways(
    client: SshClient, system: str, tree: Path, options: list[str]
) -> None:
    """H7: by SFTP, and by the older protocol, which the guest's own scp speaks."""
    there = f"{system}.vm:scp{len(options)}"
    client.run("scp", *options, "-qrp", str(tree), there)
    client.run("scp", *options, "-qrp", there, str(client.folder / "back"))
    assert listing(client.folder / "back") == listing(tree)
    missing = client.run("scp", *options, f"{system}.vm:no-such", str(client.folder), status=1)
    assert b"No such file" in missing.stderr


def test_scp_of_the_older_protocol_says_what_it_needs(client: SshClient, tiny: str) -> None:
    """H6: an image without an ssh client has no scp; by sftp it needs none."""
    (client.folder / "file").write_text("x")
    names = (str(client.folder / "file"), f"{tiny}.vm:/root/file")
    assert client.banger.exec(tiny, "sh", "-c", "! command -v scp").status == 0
    refused = client.run("scp", "-O", *names, status=1).stderr.decode()
    assert "banger: `scp -O` needs an scp program in the VM, and there is none.\n" in refused
    assert "hint: scp without -O\n" in refused
    client.run("scp", *names)


def test_sftp_obeys_a_batch(client: SshClient, system: str, tree: Path) -> None:
    """H7: in the user's home, as an ssh server has it."""
    batch = f"pwd\nput {tree}/data file\nchmod 600 file\nrename file other\nls -l other\n"
    batch += f"get other {client.folder}/got\nrm other\nls other\n"
    ended = client.run("sftp", "-b", "-", f"{system}.vm", stdin=batch.encode(), status=1)
    assert b"Remote working directory: /root" in ended.stdout
    assert b"-rw-------" in ended.stdout
    assert (client.folder / "got").read_bytes() == (tree / "data").read_bytes()
    assert b"not found" in ended.stderr


def test_rsync_copies_what_differs(client: SshClient, system: str, tree: Path) -> None:
    """H7."""
    rsync = ("rsync", "-a", "--delete", "-e", f"ssh -F {client.config}")
    use(client, *rsync, f"{tree}/", f"{system}.vm:rsync/")
    (tree / "data").write_bytes(b"changed")
    (tree / "a b").unlink()
    use(client, *rsync, f"{tree}/", f"{system}.vm:rsync/")
    use(client, *rsync, f"{system}.vm:rsync/", f"{client.folder}/back/")
    assert listing(client.folder / "back") == listing(tree)


SSHFS = """
sshfs -F "$1" "$2:mounted" mounted
cp -a tree mounted/
mv mounted/tree mounted/moved
diff -r tree mounted/moved
test "$(stat -c %a mounted/moved/run.sh)" = 750
ln -s moved/data mounted/link
cmp mounted/link tree/data
rm -r mounted/link mounted/moved/empty
"""


@pytest.mark.skipif(
    not os.access("/dev/fuse", os.R_OK | os.W_OK) or shutil.which("sshfs") is None,
    reason="sshfs is not installed, or /dev/fuse is not this user's",
)
def test_sshfs_mounts_a_directory(client: SshClient, system: str, tree: Path) -> None:
    """H7: in a namespace of its own, which the mount ends with; it needs no root."""
    (client.folder / "mounted").mkdir()
    client.ssh(f"{system}.vm", "mkdir mounted")
    script = ("sh", "-euc", SSHFS, "sh", str(client.config), f"{system}.vm")
    subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", *script],
        cwd=client.folder,
        env=client.banger.environ,
        check=True,
        timeout=120,
    )
    kept = client.ssh(f"{system}.vm", "cd mounted/moved; find . | sort; sha256sum < data")
    listed, _, digest = kept.decode().rstrip().rpartition("\n")
    assert listed.split("\n") == [".", "./a b", "./data", "./run.sh"]
    assert digest.split()[0] == hashlib.sha256((tree / "data").read_bytes()).hexdigest()


def test_git_clones_and_pushes(client: SshClient, system: str) -> None:
    """H1: the status of git's own programs in the guest; ssh:// and the shorter form."""
    make = "rm -rf r; git init -q -b main r; cd r; git config receive.denyCurrentBranch ignore; "
    make += "git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first"
    client.ssh(f"{system}.vm", make)
    clone = client.folder / "clone"
    use(client, "git", "clone", "-q", f"ssh://{system}.vm/root/r", str(clone))
    (clone / "file").write_text("new\n")
    git = ("git", "-C", str(clone), "-c", "user.name=a", "-c", "user.email=a@b")
    use(client, *git, "add", "file")
    use(client, *git, "commit", "-qm", "second")
    use(client, *git, "push", "-q", f"{system}.vm:r", "main")
    assert client.ssh(f"{system}.vm", "git -C r log --format=%s main") == b"second\nfirst\n"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        use(client, "git", "clone", "-q", f"{system}.vm:nothing", str(client.folder / "no"))
    assert failed.value.returncode == 128
