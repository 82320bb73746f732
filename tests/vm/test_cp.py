"""`banger cp` with a real guest: the everyday cases, and a VM that ends in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.component.copies.conftest import make_tree, picture
from tests.support.installations import Installation, finish, kill_and_wait, wait_for
from tests.support.vms import TINY


@pytest.fixture(scope="module")
def vm(banger: Installation) -> Iterator[str]:
    name = banger.do("vm", "create", *TINY).text
    yield name
    banger.do("vm", "delete", name)


def test_a_tree_goes_in_and_comes_back(banger: Installation, vm: str, tmp_path: Path) -> None:
    """E3: owned by root there and by the user here; contents, modes, times and links are kept."""
    made = make_tree(tmp_path / "tree")
    banger.do("cp", made, f"{vm}:tree")
    listed = banger.exec(vm, "stat", "-c", "%u %g %a %n", "tree/sub/run.sh", status=0).text
    assert listed == "0 0 750 tree/sub/run.sh"  # relative to root's home, on both ways
    banger.do("cp", f"{vm}:~//tree", tmp_path / "back")  # as in a shell: below the home
    assert picture(tmp_path / "back") == picture(made)
    banger.do("vm", "cp", "--archive", made / "file", f"{vm}:/tmp")
    assert banger.exec(vm, "stat", "-c", "%u", "/tmp/file", status=0).text == str(os.getuid())


def test_what_only_root_can_make_does_not_come_out(
    banger: Installation, vm: str, tmp_path: Path
) -> None:
    """E3: devices, pipes, setuid bits, unreadable modes and hostile names of a real guest."""
    script = """
        mkdir -p /srv/odd/closed && cd /srv/odd
        mknod device c 1 3; mkfifo pipe; cp /bin/true setuid; chmod 6755 setuid
        ln -s /etc/shadow link; echo x >"$(printf 'e\\033[31mscape')"; chmod 000 closed
        truncate -s 16M sparse
    """
    banger.exec(vm, "sh", "-ec", script, status=0)
    ended = banger.do("cp", f"{vm}:/srv/odd", tmp_path)
    assert "not copied: odd/device is a device" in ended.err
    assert "not copied: odd/pipe is a pipe" in ended.err
    odd = tmp_path / "odd"
    names = {path.name for path in odd.iterdir()}
    assert names == {"setuid", "link", "e\x1b[31mscape", "closed", "sparse"}
    assert (odd / "setuid").stat().st_mode & 0o7777 == 0o755
    assert os.readlink(odd / "link") == "/etc/shadow"
    assert (odd / "sparse").stat().st_blocks * 512 < 2**22
    (odd / "closed").chmod(0o700)


def test_archives_through_pipes(banger: Installation, vm: str, tmp_path: Path) -> None:
    banger.exec(vm, "sh", "-c", "mkdir -p /srv/a/b /srv/c; echo x >/srv/a/b/f", status=0)
    archive = banger.do("cp", f"{vm}:/srv/a", "-").out
    banger.do("cp", "-", f"{vm}:/srv/c", stdin=archive)
    assert banger.exec(vm, "cat", "/srv/c/a/b/f", status=0).text == "x"


def test_a_full_disk_of_the_guest_is_said(banger: Installation, vm: str, tmp_path: Path) -> None:
    """A10, H7: the client is told in the middle of what it sends."""
    with open(tmp_path / "big", "wb") as file:
        file.truncate(2**30)
    fill = "fallocate -l $(( $(stat -f -c '%a * %S' /root) - 8000000 )) /root/fill"
    banger.exec(vm, "sh", "-ec", fill, status=0)
    ended = banger.run("cp", tmp_path / "big", f"{vm}:", status=1)
    assert "No space left on device" in ended.err
    banger.exec(vm, "rm", "/root/fill", status=0)


def test_an_interrupted_copy(banger: Installation, vm: str, tmp_path: Path) -> None:
    """C5."""
    banger.exec(vm, "truncate", "-s", "100G", "/root/endless", status=0)
    process = banger.start("cp", f"{vm}:/root/endless", tmp_path / "copy")
    wait_for(lambda: list(tmp_path.glob(".banger-cp.*")), "the copy to begin")
    process.send_signal(signal.SIGINT)
    finish(process, status=130)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_goes_on_after_its_part(banger: Installation, vm: str, tmp_path: Path) -> None:
    """A9: both ways, with a part as an interrupt leaves it."""
    content = os.urandom(5_000_000)
    (tmp_path / "noise").write_bytes(content)
    (tmp_path / "half").write_bytes(content[:3_000_000])
    banger.do("cp", tmp_path / "half", f"{vm}:/srv/.noise.banger-part")
    ended = banger.do("cp", "--resume", tmp_path / "noise", f"{vm}:/srv/noise")
    assert "continues after the 3000000 bytes" in ended.err
    assert "banger-part" not in banger.exec(vm, "ls", "-A", "/srv", status=0).text
    (tmp_path / "half").rename(tmp_path / ".back.banger-part")
    ended = banger.do("cp", "--resume", f"{vm}:/srv/noise", tmp_path / "back")
    assert "continues after the 3000000 bytes" in ended.err
    assert (tmp_path / "back").read_bytes() == content
    assert not (tmp_path / ".back.banger-part").exists()


def test_the_vmm_dies_under_a_copy(banger: Installation, vm: str, tmp_path: Path) -> None:
    """H2: both ways end at once with a sentence, and nothing half-made is left."""
    banger.exec(vm, "truncate", "-s", "100G", "/root/endless", status=0)
    out = banger.start("cp", f"{vm}:/root/endless", tmp_path / "copy")
    silent = banger.start("cp", "-", f"{vm}:/root")
    wait_for(lambda: list(tmp_path.glob(".banger-cp.*")), "the copy to begin")
    wait_for(lambda: silent.poll() is not None or _receives(banger, vm), "the other to begin")
    kill_and_wait(int(banger.vm(vm)["pid"]))
    for process in (out, silent):
        ended = finish(process, status=1)
        assert "The VM ended" in ended.err or "The VM has ended" in ended.err
    assert list(tmp_path.iterdir()) == []


def _receives(banger: Installation, vm: str) -> bool:
    """Tell whether a `vm.copy_in` is in progress."""
    return any(one["method"] == "vm.copy_in" for one in banger.json("operations", "list"))
