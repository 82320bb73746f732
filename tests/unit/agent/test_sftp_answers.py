"""The agent's SFTP server answers as OpenSSH's: the same requests, the same replies.

The golden file has OpenSSH's answers (1:9.2p1). Where its server is installed (Debian:
openssh-sftp-server) it is asked as well; BANGER_TEST_SFTP_SERVER names another program.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.golden import check_golden
from tests.support.sftp import (
    APPEND,
    ATTRS,
    CLOSE,
    CREATE,
    DATA,
    EXCLUSIVE,
    EXTENDED_REPLY,
    FOR_READING,
    FOR_WRITING,
    FSETSTAT,
    FSTAT,
    HANDLE,
    LSTAT,
    MKDIR,
    NAME,
    NOTHING,
    OPEN,
    OPENDIR,
    READ,
    READDIR,
    READLINK,
    REALPATH,
    REMOVE,
    RENAME,
    RMDIR,
    SETSTAT,
    STAT,
    STATUS,
    SYMLINK,
    TRUNCATE,
    U64,
    WRITE,
    Attributes,
    Reply,
    SftpClient,
    Value,
)
from tests.unit.agent.sftp import start_session
from tests.unit.agent.wire import Host

GOLDEN = Path(__file__).parent / "golden" / "sftp-answers.txt"
SERVER = os.environ.get("BANGER_TEST_SFTP_SERVER", "/usr/lib/openssh/sftp-server")
NOON = 1_000_036_800
"""A day in 2001, whatever the time zone."""
STATUSES = ["OK", "EOF", "NO_SUCH_FILE", "PERMISSION_DENIED", "FAILURE", "BAD_MESSAGE"]
LIMITS = "limits"

Step = tuple[str, int | str, tuple[Value, ...]]


class Kept(str):
    """The handle that an earlier request of this name got; "none" was never given."""


def steps(root: str) -> Iterator[Step]:
    """Yield the requests: a name, a type or an extension, the fields."""
    yield from file_steps()
    yield from attribute_steps()
    yield from name_steps()
    yield from directory_steps()
    yield from path_steps(root)


def file_steps() -> Iterator[Step]:
    new, none = FOR_WRITING | CREATE, Kept("none")
    yield "open missing", OPEN, ("missing", FOR_READING, NOTHING)
    yield "open no name", OPEN, ("", FOR_READING, NOTHING)
    yield "open below a file", OPEN, ("old/x", FOR_READING, NOTHING)
    yield "open long name", OPEN, ("x" * 300, new, NOTHING)
    yield "open directory to write", OPEN, ("directory", FOR_WRITING, NOTHING)
    yield "open exclusive", OPEN, ("old", new | EXCLUSIVE, NOTHING)
    yield "open forbidden", OPEN, ("closed", FOR_READING, NOTHING)
    yield "w", OPEN, ("new", new, Attributes(mode=0o640))
    yield "write", WRITE, (Kept("w"), U64(0), b"hello world")
    yield "write far", WRITE, (Kept("w"), U64(100_000), b"end")
    yield "write nothing", WRITE, (Kept("w"), U64(5), b"")
    yield "read what is for writing", READ, (Kept("w"), U64(0), 5)
    yield "fstat", FSTAT, (Kept("w"),)
    yield "fsetstat", FSETSTAT, (Kept("w"), Attributes(size=11, mode=0o604, times=(NOON, NOON)))
    yield "fstat again", FSTAT, (Kept("w"),)
    yield "fsync", "fsync", (Kept("w"),)
    yield "fstatvfs", "fstatvfs", (Kept("w"),)
    yield "close", CLOSE, (Kept("w"),)
    yield "close again", CLOSE, (Kept("w"),)
    yield "r", OPEN, ("new", FOR_READING, NOTHING)
    yield "read", READ, (Kept("r"), U64(6), 100)
    yield "read at the end", READ, (Kept("r"), U64(11), 100)
    yield "read nothing", READ, (Kept("r"), U64(0), 0)
    yield "read before the start", READ, (Kept("r"), U64(2**63), 10)
    yield "write what is for reading", WRITE, (Kept("r"), U64(0), b"x")
    yield "readdir of a file", READDIR, (Kept("r"),)
    yield "a", OPEN, ("new", FOR_WRITING | APPEND, NOTHING)
    yield "append", WRITE, (Kept("a"), U64(0), b"!")
    yield "appended", STAT, ("new",)
    yield "t", OPEN, ("new", FOR_WRITING | TRUNCATE, NOTHING)
    yield "truncated", STAT, ("new",)
    requests: list[Step] = [
        ("read", READ, (U64(0), 5)),
        ("write", WRITE, (U64(0), b"x")),
        ("fstat", FSTAT, ()),
        ("fsetstat", FSETSTAT, (Attributes(mode=0),)),
        ("readdir", READDIR, ()),
        ("close", CLOSE, ()),
        ("fsync", "fsync", ()),
        ("fstatvfs", "fstatvfs", ()),
    ]
    for name, kind, more in requests:
        yield f"{name} of no handle", kind, (none, *more)


def attribute_steps() -> Iterator[Step]:
    yield "stat", STAT, ("old",)
    yield "stat link", STAT, ("link",)
    yield "lstat link", LSTAT, ("link",)
    yield "stat dangling", STAT, ("dangling",)
    yield "stat loop", STAT, ("loop",)
    yield "stat below a file", STAT, ("old/x",)
    yield "setstat mode", SETSTAT, ("old", Attributes(mode=0o100600))
    yield "setstat times", SETSTAT, ("link", Attributes(times=(NOON, NOON + 1)))
    yield "setstat size", SETSTAT, ("old", Attributes(size=2))
    yield "stat after", STAT, ("old",)
    yield "setstat missing", SETSTAT, ("missing", Attributes(mode=0o600))
    yield "setstat nothing", SETSTAT, ("missing", NOTHING)
    yield "setstat owner", SETSTAT, ("old", Attributes(owner=(0, 0)))
    yield "lsetstat times", "lsetstat", ("link", Attributes(times=(NOON, NOON)))
    yield "lstat after", LSTAT, ("link",)
    yield "lsetstat size", "lsetstat", ("link", Attributes(size=0))
    yield "lsetstat file", "lsetstat", ("old", Attributes(mode=0o644))
    yield "statvfs", "statvfs", (".",)
    yield "statvfs missing", "statvfs", ("missing",)
    yield LIMITS, LIMITS, ()


def name_steps() -> Iterator[Step]:
    yield "mkdir", MKDIR, ("made", Attributes(mode=0o751))
    yield "mkdir again", MKDIR, ("made", NOTHING)
    yield "mkdir nowhere", MKDIR, ("missing/x", NOTHING)
    yield "stat made", STAT, ("made",)
    yield "rmdir full", RMDIR, ("directory",)
    yield "rmdir file", RMDIR, ("old",)
    yield "rmdir", RMDIR, ("made",)
    yield "remove directory", REMOVE, ("directory",)
    yield "remove missing", REMOVE, ("missing",)
    yield "symlink", SYMLINK, ("the target", "made-link")
    yield "readlink", READLINK, ("made-link",)
    yield "symlink again", SYMLINK, ("other", "made-link")
    yield "readlink file", READLINK, ("old",)
    yield "readlink missing", READLINK, ("missing",)
    yield "hardlink", "hardlink", ("old", "twin")
    yield "hardlink again", "hardlink", ("old", "twin")
    yield "hardlink missing", "hardlink", ("missing", "y")
    yield "rename over", RENAME, ("old", "new")
    yield "rename directory over", RENAME, ("directory", "new")
    yield "rename missing", RENAME, ("missing", "x")
    yield "rename", RENAME, ("twin", "renamed")
    yield "rename directory", RENAME, ("directory", "moved")
    yield "posix-rename over", "posix-rename", ("renamed", "new")
    yield "posix-rename missing", "posix-rename", ("missing", "x")
    yield "stat renamed", STAT, ("new",)
    yield "remove", REMOVE, ("new",)
    yield "unknown extension", "of-nobody", ("x",)


def directory_steps() -> Iterator[Step]:
    yield "d", OPENDIR, ("moved",)
    yield "readdir", READDIR, (Kept("d"),)
    yield "readdir at the end", READDIR, (Kept("d"),)
    yield "read a directory", READ, (Kept("d"), U64(0), 5)
    yield "close directory", CLOSE, (Kept("d"),)
    yield "opendir file", OPENDIR, ("old",)
    yield "opendir missing", OPENDIR, ("missing",)
    yield "opendir forbidden", OPENDIR, ("shut",)


def path_steps(root: str) -> Iterator[Step]:
    for path in [
        "", ".", "/", "//", "missing", "missing/", "missing/x", "old", "old/", "old/x", "link",
        "dangling", "loop", "moved/../old", "to-moved/../old", "to-moved", "to-moved/x", "..//",
        f"{root}/moved/./f", "/..", "x" * 300, "shut/x",
    ]:  # fmt: skip
        yield f"realpath {path.replace(root, 'ROOT')[:40]}", REALPATH, (path,)
    for path in ["~root", "~nobody-of-this-name", "old", "", "/", "missing/x"]:
        yield f"expand-path {path}", "expand-path", (path,)


# --- one run ---


def make_tree(root: Path) -> None:
    """Make what the requests are about."""
    (root / "old").write_bytes(b"12345")
    os.chmod(root / "old", 0o644)
    (root / "directory").mkdir()
    (root / "directory/f").write_bytes(b"x")
    (root / "directory/s").symlink_to("f")
    os.mkfifo(root / "directory/p")
    os.chmod(root / "directory/f", 0o4750)
    os.chmod(root / "directory/p", 0o600)
    for name in ("f", "s", "p"):
        os.utime(root / "directory" / name, (NOON, NOON), follow_symlinks=False)
    (root / "link").symlink_to("old")
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    (root / "to-moved").symlink_to(root / "moved")
    (root / "closed").touch(0o000)
    (root / "shut").mkdir(0o000)


def run_steps(client: SftpClient, root: Path) -> str:
    """Ask everything and render the replies, without what differs from run to run."""
    handles, lines = {"none": b"no handle"}, []
    for name, kind, values in steps(str(root)):
        fields = [handles[value] if isinstance(value, Kept) else value for value in values]
        reply = client.extend(kind, *fields) if isinstance(kind, str) else client.ask(kind, *fields)
        if reply.kind == HANDLE:
            handles[name] = reply.text()
        lines.append(f"{name}: {render(reply, is_limits=name == LIMITS)}")
    text = "\n".join(lines) + "\n"
    home = pwd.getpwuid(os.getuid()).pw_dir
    return text.replace(str(root), "ROOT").replace(str(root.parent), "ABOVE").replace(home, "HOME")


def render(reply: Reply, *, is_limits: bool) -> str:
    if reply.kind == STATUS:
        return render_status(reply.status)
    if reply.kind == HANDLE:
        return "handle"
    if reply.kind == DATA:
        return f"data {reply.text()!r}"
    if reply.kind == NAME:
        return " | ".join(sorted(render_name(*each) for each in reply.names()))
    if reply.kind == ATTRS:
        return render_attributes(reply.attributes())
    assert reply.kind == EXTENDED_REPLY
    values = [reply.u64() for _ in range(4 if is_limits else 11)]
    assert reply.is_read
    # Not how many handles, nor how full the disk is.
    return f"numbers {values[:3] if is_limits else len(values)}"


def render_status(code: int) -> str:
    return STATUSES[code] if code < len(STATUSES) else f"status {code}"


def render_name(name: bytes, line: bytes, attributes: Attributes) -> str:
    if name in (b".", b".."):
        return name.decode()
    owner = rf" {re.escape(pwd.getpwuid(os.getuid()).pw_name)} +\S+ +"
    shown = re.sub(owner, " OWNER ", line.decode())
    return f"{name.decode()} [{shown}] {render_attributes(attributes)}"


def render_attributes(found: Attributes) -> str:
    if found == NOTHING:
        return "nothing"
    assert found.mode is not None
    assert found.times is not None
    assert found.owner == (os.getuid(), os.getgid())
    size = "" if stat.S_ISDIR(found.mode) else f" size {found.size}"
    times = [at - NOON if abs(at - NOON) < 5 else "now" for at in found.times]
    return f"{stat.filemode(found.mode)}{size} times {times[1]}"


needs_a_user = pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")


@needs_a_user
def test_the_answers_are_those_of_openssh(host: Host, tmp_path: Path) -> None:
    """H7."""
    make_tree(tmp_path)
    assert run_steps(start_session(host, tmp_path), tmp_path) == GOLDEN.read_text("utf-8")


@needs_a_user
@pytest.mark.skipif(not os.access(SERVER, os.X_OK), reason="openssh-sftp-server is not installed")
def test_the_golden_answers_are_openssh_s(tmp_path: Path) -> None:
    make_tree(tmp_path)
    with subprocess.Popen(
        [SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, umask=0o022
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        stdin, stdout = server.stdin, server.stdout

        def send(raw: bytes) -> None:
            stdin.write(raw)
            stdin.flush()

        client = SftpClient(send, stdout.read)
        client.greet()
        check_golden(GOLDEN, run_steps(client, tmp_path))
        stdin.close()
        assert server.wait(10) == 0
