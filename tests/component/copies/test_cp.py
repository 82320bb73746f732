"""`banger cp` through a real daemon and the real agent: the rules of `docker cp`."""

from __future__ import annotations

import io
import os
import shlex
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.component.copies.conftest import Copies, make_tree, picture
from tests.component.daemon.running import popen, wait_until, with_sources
from tests.support.sampling import choose_size
from tests.support.tars import Member, directory, make_tar, symlink

MIB = 2**20
MUCH_MIB = choose_size(256, 1024)


def _prepare(copies: Copies) -> None:
    for side in (copies.here, copies.there):
        (side / "dir").mkdir()
        (side / "old").write_text("old")
        (side / "to-dir").symlink_to("dir")
        (side / "to-old").symlink_to("old")
    for side, other in ((copies.here, "in"), (copies.there, "out")):
        (side / f"f-{other}").write_text("new")
        (side / f"t-{other}").mkdir()
        (side / f"t-{other}/a").write_text("a")
        (side / f"l-{other}").symlink_to(f"t-{other}")


PLACES = {
    ("f", "new"): {"new": "new"},
    ("f", "./new"): {"new": "new"},
    ("f", ""): {"f": "new"},
    ("f", "."): {"f": "new"},
    ("f", "dir"): {"dir/f": "new"},
    ("f", "dir/"): {"dir/f": "new"},
    ("f", "to-dir"): {"dir/f": "new"},
    ("f", "old"): {"old": "new"},
    ("f", "to-old"): {"old": "new"},
    ("t", "new"): {"new/a": "a"},
    ("t", "new/"): {"new/a": "a"},
    ("t/.", "new"): {"new/a": "a"},
    ("t", "dir"): {"dir/t/a": "a"},
    ("t/", "dir"): {"dir/t/a": "a"},
    ("t/.", "dir"): {"dir/a": "a"},
    ("l/", "dir"): {"dir/l/a": "a"},
    ("l/.", "dir"): {"dir/a": "a"},
}
"""Source and target: the files that must be there afterwards."""
REFUSED = {
    ("f", "new/"): "no directory|There is no",
    ("f", "nowhere/new"): "There is no",
    ("t", "nowhere/new"): "There is no",
    ("t", "old"): "is a file",
    ("t/.", "old"): "is a file",
    ("f", "old/"): "not a directory",
    ("f/", "new"): "not a directory|Not a directory|There is no",
    ("missing", "new"): "There is no|No such file",
}


def _words(way: str, source: str, target: str) -> tuple[str, str]:
    first, slash, rest = source.partition("/")
    name = first if first == "missing" else f"{first}-{way}"
    source = name + slash + rest
    return (source, f"box:{target}") if way == "in" else (f"box:{source}", target or ".")


@pytest.mark.parametrize("way", ["in", "out"])
def test_where_a_copy_goes(copies: Copies, way: str) -> None:
    """As docker cp; into the guest and out of it by the same rules."""
    for number, ((source, target), expected) in enumerate(PLACES.items()):
        top = copies.there if way == "in" else copies.here
        for path in (copies.here, copies.there):
            subprocess.run(["rm", "-rf", "--", *path.iterdir()], check=True)
        _prepare(copies)
        copies.cp(*_words(way, source, target))
        if way == "out" and target == "to-old":  # a guest may have sent the link
            assert (top / "to-old").read_text() == "new" and (top / "old").read_text() == "old"
            continue
        for name, content in expected.items():
            real = name.replace("dir/t/", f"dir/t-{way}/").replace("dir/l/", f"dir/l-{way}/")
            real = f"{real}-{way}" if real in ("f", "dir/f") else real
            assert (top / real).read_text() == content, (number, source, target)
        assert (top / "to-old").is_symlink() and (top / "to-dir").is_symlink()


@pytest.mark.parametrize("way", ["in", "out"])
def test_what_has_no_place_is_refused(copies: Copies, way: str) -> None:
    _prepare(copies)
    before = picture(copies.here), picture(copies.there)
    for (source, target), reason in REFUSED.items():
        said = copies.cp(*_words(way, source, target), status=_status(way, source, target)).stderr
        assert any(part in said.decode() for part in reason.split("|")), (source, target, said)
        assert said.count(b"\n") <= 3
    assert (picture(copies.here), picture(copies.there)) == before


def _status(way: str, source: str, target: str) -> int:
    """4 for what the guest lacks (`guest-path-not-found`), else 2."""
    missing_there = (way == "out" and source in ("missing", "f/")) or (
        way == "in" and (target.startswith("nowhere") or target == "new/")
    )
    return 4 if missing_there and source != "f/" else 2


def test_a_tree_there_and_back_is_the_same(copies: Copies) -> None:
    """Modes, times, links, hard links, names of any bytes; devices and pipes are named."""
    made = make_tree(copies.here / "tree")
    expected = picture(made)
    os.mkfifo(made / "pipe")
    said = copies.cp("tree", "box:copy").stderr.decode()
    assert "not copied: copy/pipe is a pipe" in said
    assert picture(copies.there / "copy") == expected
    copies.cp("box:copy", "back")
    assert picture(copies.here / "back") == expected
    assert (copies.here / "back").stat().st_mtime_ns == (copies.there / "copy").stat().st_mtime_ns


def test_links_are_copied_or_followed(copies: Copies) -> None:
    make_tree(copies.here / "tree")
    copies.cp("tree/link", "box:link")
    assert os.readlink(copies.there / "link") == "sub/big"
    copies.cp("-L", "tree/link", "box:big")
    copies.cp("-L", "box:big", "big")
    assert (copies.here / "big").read_bytes() == (copies.here / "tree/sub/big").read_bytes()
    (copies.there / "again").symlink_to("big")
    assert b"symbolic link to big" in copies.cp("box:again", "again").stderr
    assert (copies.here / "again").is_symlink()
    copies.cp("--follow-link", "box:again", "followed")
    assert (copies.here / "followed").read_bytes() == (copies.here / "big").read_bytes()


def test_several_go_into_one_directory(copies: Copies) -> None:
    for side in (copies.here, copies.there):
        make_tree(side / "tree")
        (side / "a").write_text("a")
        (side / "dir").mkdir()
    copies.cp("a", "tree", "box:dir")
    copies.cp("box:a", "box:tree", "dir")
    for side, other in ((copies.here, copies.there), (copies.there, copies.here)):
        assert (side / "dir/a").read_text() == "a"
        assert picture(side / "dir/tree") == picture(other / "tree")
    assert "can only be copied into a directory" in copies.refused("a", "tree", "box:a", status=2)
    assert "can only be copied into a directory" in copies.refused(
        "box:a", "box:tree", "new", status=2
    )
    assert "There is no" in copies.refused("a", "tree", "box:new", status=4)
    said = copies.refused("missing", "tree/file", "box:dir", status=2)
    assert "missing cannot be read" in said and (copies.there / "dir/file").exists()


def test_archives_by_stdin_and_stdout(copies: Copies) -> None:
    make_tree(copies.there / "tree")
    out = copies.cp("box:tree", "-").stdout
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        assert {"tree", "tree/file", "tree/sub/big"} <= set(tar.getnames())
    content = copies.cp("box:tree/.", "-").stdout
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert {"file", "sub/big"} <= set(tar.getnames())
    (copies.there / "new").mkdir()
    copies.cp("-", "box:new", stdin=content)
    assert picture(copies.there / "new") == picture(copies.there / "tree")
    assert "not a directory" in copies.refused("-", "box:tree/file", status=2)
    done = copies.cp("-", "box:new", stdin=b"no tar at all" * 100, status=1)
    assert b"not one of a tar" in done.stderr


def test_names_are_never_words_of_a_shell(copies: Copies) -> None:
    """G2: on neither side, and quoted where a hint has them."""
    name = "a b;touch new $(touch new) '"
    (copies.here / name).write_text("x")
    copies.cp(name, f"box:{name}2")
    copies.cp(f"box:{name}2", f"{name}3")
    assert (copies.here / f"{name}3").read_text() == "x"
    said = copies.refused(f"box:{name}/missing/x", "y", status=4)
    assert shlex.quote(f"{copies.there}/{name}/missing") in said
    assert f"mkdir -p {shlex.quote(f'{copies.here}/{name}4')}" in copies.refused(
        f"box:{name}2", f"{name}4/x", status=2
    )
    assert not (copies.here / "new").exists() and not (copies.there / "new").exists()


def test_sides_that_make_no_sense(copies: Copies) -> None:
    assert "VM to VM" in copies.refused("box:a", "box:b", status=2)
    assert "Neither" in copies.refused("a", "b", status=2)
    assert "Neither" in copies.refused("./box:a", "b", status=2)
    assert "as an image" in copies.refused("box:/", "x", status=2)
    assert "a device" in copies.refused("box:/dev/null", "x", status=2)
    for path in ("/proc/version", "/proc", "/proc/.", "/sys/kernel"):
        said = copies.refused(f"box:{path}", "x", status=2)
        assert "generated by the VM's kernel" in said and " -- " in said
    assert not (copies.here / "x/version").exists()
    (copies.there / "f").write_text("x")
    assert "is a device" in copies.refused("box:f", "/dev/null", status=2)
    assert "NUL" not in copies.refused("box:" + "n" * 300, "x", status=2)


def test_hostile_archives_end_with_a_sentence(copies: Copies) -> None:
    """E3: through the daemon and the command line; the forty cases are in `test_extract`."""
    (copies.here / "dir").mkdir()
    (copies.here / "mine").write_text("mine")
    for content, reason in (
        (make_tar(directory("src"), Member("src/../../mine", b"x")), "could escape"),
        (make_tar(Member("mine", b"x")), "was not requested"),
        (
            make_tar(directory("src"), symlink("src/l", ".."), Member("src/l/mine", b"x")),
            "followed",
        ),
        (make_tar(Member("src/f", b"x" * 5000))[:1500], "middle of a file"),
        (b"", ""),
    ):
        copies.send_hostile(content)
        done = copies.cp("hostile:src", "dir", status=1 if reason else 0)
        assert reason in done.stderr.decode()
    assert (copies.here / "mine").read_text() == "mine"
    assert not (copies.here / "dir/src/f").exists()


def test_a_link_that_was_brought_is_not_written_through(copies: Copies) -> None:
    """E3: a guest that sends a link first, and a file for the same place later."""
    (copies.here / "mine").write_text("mine")
    (copies.there / "out").symlink_to(copies.here / "mine")
    copies.cp("box:out", "got")
    (copies.there / "out").unlink()
    (copies.there / "out").write_text("theirs")
    copies.cp("box:out", "got")
    assert (copies.here / "mine").read_text() == "mine"
    assert (copies.here / "got").read_text() == "theirs" and not (copies.here / "got").is_symlink()


def test_names_that_a_terminal_obeys_are_printed_escaped(copies: Copies) -> None:
    """E3."""
    kind = tarfile.FIFOTYPE
    copies.send_hostile(make_tar(directory("src"), Member(b"src/\x1b[31m\xff\n", kind=kind)))
    said = copies.cp("hostile:src", "new").stderr
    assert rb"new/\x1b[31m\xff\n is a pipe" in said and b"\x1b" not in said
    copies.send_hostile(make_tar(directory("src"), Member("src/\x1b]0;owned\x07/../x")))
    assert b"\x1b" not in copies.cp("hostile:src", "other", status=1).stderr


MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Run a command and print its peak in KiB. A process begins with the peak of the one that started
it, so this is not the tests' own."""


def peak_of_copy(copies: Copies, *words: str) -> int:
    """Copy, and return the most memory that the client has had, in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, sys.executable, "-m", "banger", "cp", *words],
        env=with_sources(copies.environ),
        cwd=copies.here,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=300,
    )
    return int(done.stdout.splitlines()[-1]) * 1024


def test_much_costs_no_memory(copies: Copies) -> None:
    """E2, H7: on the way out the zeros of a sparse file become holes again."""
    with open(copies.there / "big", "wb") as file:
        file.truncate(MUCH_MIB * MIB)
        file.seek(200 * MIB)
        file.write(b"data")
    peaks = [peak_of_copy(copies, "box:big", "big")]
    status = (copies.here / "big").stat()
    assert status.st_size == MUCH_MIB * MIB and status.st_blocks * 512 < 8 * MIB
    with open(copies.here / "big", "rb") as file:
        file.seek(200 * MIB)
        assert file.read(4) == b"data"
    os.truncate(copies.here / "big", 256 * MIB)
    peaks.append(peak_of_copy(copies, "big", "box:again"))
    assert (copies.there / "again").stat().st_size == 256 * MIB
    assert max(peaks) < 100 * MIB
    status_text = Path(f"/proc/{copies.daemon.pid}/status").read_text()
    [peak_kib] = [int(x.split()[1]) for x in status_text.splitlines() if x.startswith("VmHWM")]
    assert peak_kib * 1024 < 160 * MIB


def test_an_interrupt_leaves_nothing_under_the_real_name(copies: Copies) -> None:
    """A10, C5."""
    with open(copies.there / "endless", "wb") as file:
        file.truncate(2**40)
    (copies.here / "old").write_text("old")
    with popen(copies.environ, "cp", "box:endless", "old", cwd=copies.here) as process:
        wait_until(lambda: list(copies.here.glob(".banger-cp.*")), "the copy to begin")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert [path.name for path in copies.here.iterdir()] == ["old"]
    assert (copies.here / "old").read_text() == "old"
    wait_until(lambda: not _workers(copies), "the guest to stop packing")


def test_the_next_copy_removes_what_a_killed_one_left(copies: Copies) -> None:
    """A10."""
    with open(copies.there / "endless", "wb") as file:
        file.truncate(2**40)
    (copies.there / "f").write_text("f")
    with popen(copies.environ, "cp", "box:endless", ".", cwd=copies.here) as process:
        wait_until(lambda: list(copies.here.glob(".banger-cp.*")), "the copy to begin")
        process.kill()
    assert len(list(copies.here.iterdir())) == 1
    copies.cp("box:f", ".")
    assert [path.name for path in copies.here.iterdir()] == ["f"]


@pytest.mark.parametrize("how", ["interrupt", "daemon"])
def test_a_copy_in_that_breaks_off_leaves_what_was_there(copies: Copies, how: str) -> None:
    """A9, A10, C5: also when the daemon dies, whose agent's worker sees the end of its input."""
    with open(copies.here / "endless", "wb") as file:
        file.truncate(2**40)
    (copies.there / "old").write_text("old")
    with popen(copies.environ, "cp", "endless", "box:old", cwd=copies.here) as process:
        wait_until(lambda: list(copies.there.glob(".banger-*.part")), "the copy to begin")
        if how == "interrupt":
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        else:
            copies.daemon.kill()
            process.wait(30)
    wait_until(lambda: os.listdir(copies.there) == ["old"], "the part to go")
    assert (copies.there / "old").read_text() == "old"


def test_a_client_that_leaves_ends_the_copy_in(copies: Copies) -> None:
    """C5, H2: killed in the middle of a file, or while it reads a silent pipe."""
    with open(copies.here / "endless", "wb") as file:
        file.truncate(2**40)
    with popen(copies.environ, "cp", "endless", "box:new", cwd=copies.here) as process:
        wait_until(lambda: _workers(copies), "the copy to begin")
        process.kill()
    wait_until(lambda: not _workers(copies), "the guest to stop extracting")
    with popen(copies.environ, "cp", "-", "box:.", cwd=copies.here) as process:
        wait_until(lambda: _workers(copies), "the copy to begin")
        process.kill()
    wait_until(lambda: not _workers(copies), "the guest to stop extracting")


def test_a_guest_that_dies_wakes_both_ways(copies: Copies) -> None:
    """H2: also a client that waits for its own stdin."""
    with open(copies.there / "endless", "wb") as file:
        file.truncate(2**40)
    out = popen(copies.environ, "cp", "box:endless", "new", cwd=copies.here)
    silent = popen(copies.environ, "cp", "-", "box:.", cwd=copies.here)
    wait_until(lambda: len(_workers(copies)) == 2, "both copies to begin")
    wait_until(lambda: list(copies.here.glob(".banger-cp.*")), "the file to begin")
    [agent] = _children(copies.daemon.pid)
    os.kill(agent, signal.SIGKILL)
    for process in (out, silent):
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 1 and b"The VM" in said, said
    assert list(copies.here.iterdir()) == []


def _workers(copies: Copies) -> list[int]:
    """The agent's processes for single requests."""
    return [worker for agent in _children(copies.daemon.pid) for worker in _children(agent)]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
