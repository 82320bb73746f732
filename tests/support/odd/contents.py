"""Odd contents: conversions, ignored and attributed files, sizes."""

from __future__ import annotations

import os
import random
from pathlib import Path

from tests.support import repositories as repo
from tests.support.odd.registry import odd


@odd()
def automatic_line_ends(top: Path) -> None:
    repo.git(top, "config", "core.autocrlf", "true")
    repo.git(top, "config", "core.safecrlf", "false")
    repo.write(top, "dos.txt", b"one\r\ntwo\r\n")
    repo.write(top, "mixed.txt", b"one\r\ntwo\n")
    repo.write(top, "binary", b"\0one\r\n")
    repo.commit(top)
    repo.write(top, "dos.txt", b"one\r\nchanged\r\n")


@odd()
def line_ends_by_attribute(top: Path) -> None:
    repo.write(top, ".gitattributes", b"*.crlf text eol=crlf\n*.lf text eol=lf\n* text=auto\n")
    repo.write(top, "a.crlf", b"one\r\ntwo\r\n")
    repo.write(top, "b.lf", b"one\n")
    repo.commit(top)
    repo.write(top, "a.crlf", b"one\r\n")


@odd()
def never_normalized(top: Path) -> None:
    """Committed with CRLF before there was an attribute: changed, as git sees it."""
    repo.write(top, "old.txt", b"one\r\ntwo\r\n")
    repo.commit(top)
    repo.write(top, ".gitattributes", b"*.txt text\n")
    repo.git(top, "add", ".gitattributes")
    repo.git(top, "commit", "--quiet", "-m", "attributes")
    os.utime(top / "old.txt", (1_600_000_000, 1_600_000_000))


@odd()
def encodings(top: Path) -> None:
    repo.write(top, ".gitattributes", b"*.utf16 working-tree-encoding=UTF-16LE-BOM\n*.id ident\n")
    repo.write(top, "a.utf16", "gr\u00fcn\n".encode("utf-16"))
    repo.write(top, "b.id", b"$Id$\n")
    repo.commit(top)
    (top / "b.id").unlink()
    repo.git(top, "checkout", "--quiet", "b.id")


@odd()
def filters(top: Path) -> None:
    """A filter that swaps letters, on the host only."""
    repo.git(top, "config", "filter.swap.clean", "tr a-z b-za")
    repo.git(top, "config", "filter.swap.smudge", "tr b-za a-z")
    repo.git(top, "config", "filter.swap.required", "true")
    repo.write(top, ".gitattributes", b"*.swap filter=swap\n")
    repo.write(top, "a.swap", b"hello\n")
    os.utime(top / "a.swap", (1_600_000_000, 1_600_000_000))
    repo.commit(top)


@odd()
def attributes_in_many_places(top: Path) -> None:
    (top / ".git/info/attributes").write_bytes(b"*.crlf text eol=crlf\n")
    repo.write(top, "src/.gitattributes", b"[attr]own -text\n*.own own\nmain.py export-ignore\n")
    repo.write(top, "a.crlf", b"one\r\n")
    repo.write(top, "src/b.own", b"one\r\n")
    repo.commit(top)


@odd()
def ignored_and_tracked(top: Path) -> None:
    repo.write(top, ".gitignore", b"*.log\n/build/\n!keep.log\n")
    repo.write(top, "src/.gitignore", b"*\n!*.py\n")
    for name in ("tracked.log", "build/tracked", "src/tracked"):
        repo.write(top, name, b"x\n")
    repo.git(top, "add", "--force", ".")
    repo.commit(top)
    for name in ("x.log", "keep.log", "build/y", "src/z", "src/z.py"):
        repo.write(top, name, b"x\n")


@odd()
def large_and_binary(top: Path) -> None:
    noise = random.Random(7).randbytes(3 * 1024 * 1024)
    repo.write(top, "noise.bin", noise)
    repo.write(top, "empty", b"")
    repo.write(top, "no-newline", b"the end")
    repo.write(top, "zeros", bytes(1024 * 1024))
    repo.commit(top)
    repo.write(top, "noise.bin", noise[:-1] + bytes((noise[-1] ^ 1,)))


@odd()
def files_of_git_in_the_tree(top: Path) -> None:
    for name in (".mailmap", ".gitmodules", ".gitattributes", ".gitignore", "x/.gitkeep"):
        repo.write(top, name, b"")
    repo.write(top, ".gitmodules", b'[submodule "a"]\n\tpath = nothing-there\n\turl = ../a\n')
    repo.commit(top)
