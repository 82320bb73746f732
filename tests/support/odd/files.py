"""Odd names, modes and types of files."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.support import repositories as repo
from tests.support.odd.registry import odd


@odd()
def names_with_control_characters(top: Path) -> None:
    for name in (b"new\nline", b"tab\there", b"escape-\x1b[31m", b"\x01", b"bell\x07", b"cr\rx"):
        repo.write(top, name, b"x\n")
    repo.commit(top)
    repo.write(top, b"new\nline", b"changed\n")
    repo.write(top, b"also\nuntracked", b"x\n")


@odd()
def names_that_are_no_text(top: Path) -> None:
    for name in (b"latin-\xe9-\xff", b"\xff\xfe/\x80", b"half-\xe2\x82"):
        repo.write(top, name, b"x\n")
    repo.commit(top)
    os.unlink(os.fsencode(top) + b"/latin-\xe9-\xff")


@odd()
def names_that_look_like_options(top: Path) -> None:
    for name in (
        b"-dash",
        b"--help",
        b":(glob)*",
        b"*",
        b"[a]",
        b"~",
        b"$HOME",
        b"%s",
        b"a b",
        b"'",
    ):
        repo.write(top, name, b"x\n")
    for name in (b'quo"te\\back', b"...", b"..x/y", b".gitx", b"git~x", b"!bang", b"#hash"):
        repo.write(top, name, b"x\n")
    repo.commit(top)


@odd()
def twins(top: Path) -> None:
    """By case, and by the composition of their letters."""
    for name in ("twin", "TWIN", "Dir/a", "dir/a", "n\u00fc", "nu\u0308"):
        repo.write(top, name, name.encode())
    repo.commit(top)
    repo.write(top, "TWIN", b"only this one\n")


@odd()
def long_names(top: Path) -> None:
    repo.write(top, b"n" * 255, b"long\n")
    repo.write(top, b"/".join([b"d" * 200] * 15) + b"/leaf", b"deep\n")
    repo.write(top, b"/".join(b"%d" % n for n in range(180)), b"deeper\n")
    repo.commit(top)


@odd()
def modes(top: Path) -> None:
    for mode in (0o600, 0o444, 0o555, 0o700, 0o666, 0o777, 0o4755):
        repo.write(top, f"mode-{mode:o}", b"x\n", mode=mode)
    repo.commit(top)
    (top / "mode-600").chmod(0o711)
    (top / "mode-777").chmod(0o666)


@odd()
def modes_that_do_not_count(top: Path) -> None:
    repo.git(top, "config", "core.fileMode", "false")
    (top / "README").chmod(0o777)
    repo.write(top, "new", b"x\n", mode=0o755)


@odd()
def links(top: Path) -> None:
    for name, target in (
        ("dangling", "nowhere"),
        ("absolute", "/etc/passwd"),
        ("out", "../../../.."),
        ("loop", "loop"),
        ("to-a-directory", "src"),
        ("into-git", ".git/config"),
        ("long", "x/" * 500),
        ("lines", "a\nb"),
    ):
        (top / name).symlink_to(target)
    repo.commit(top)
    (top / "dangling").unlink()
    (top / "dangling").symlink_to("somewhere else")


@odd()
def links_as_files(top: Path) -> None:
    """What git writes where it cannot make links."""
    (top / "link").symlink_to("README")
    repo.commit(top)
    repo.git(top, "config", "core.symlinks", "false")
    (top / "link").unlink()
    repo.write(top, "link", b"README")


@odd()
def types_that_changed(top: Path) -> None:
    """A file became a directory, a directory a file, and another a link."""
    for name in ("file", "dir/a", "dir/b", "linked/a"):
        repo.write(top, name, b"x\n")
    repo.commit(top)
    (top / "file").unlink()
    repo.write(top, "file/inside", b"x\n")
    for name in ("dir/a", "dir/b", "linked/a"):
        (top / name).unlink()
    (top / "dir").rmdir()
    repo.write(top, "dir", b"a file\n")
    (top / "linked").rmdir()
    (top / "linked").symlink_to("src")


@odd(left_out="cannot be copied")
def neither_files_nor_links(top: Path) -> None:
    repo.write(top, "piped")
    repo.commit(top)
    (top / "piped").unlink()
    os.mkfifo(top / "piped")
    os.mkfifo(top / "untracked-pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(top)
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)


@odd()
def hard_links(top: Path) -> None:
    (top / "one").write_bytes(b"the same\n")
    os.link(top / "one", top / "two")
    repo.commit(top)


@odd()
def times(top: Path) -> None:
    """Before the epoch, at it, far in the future; all known to the index."""
    for number, when in enumerate((-1_000_000_000, 0, 1, 2**31, 2**33 - 1)):
        repo.write(top, f"time{number}", b"x\n")
        os.utime(top / f"time{number}", (when, when))
    repo.commit(top)


@odd()
def empty_directories(top: Path) -> None:
    (top / "empty/inner").mkdir(parents=True)
