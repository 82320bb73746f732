"""E1: the patch of a hostile guest, checked as it passes."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import UnsafePatch
from banger.workspace import patchsection
from banger.workspace.patch import LINE_BYTES_MAX, PatchChecker

A, B = b"1" * 40, b"2" * 40
INDEX = b"index %s..%s" % (A, B)


def modify(name: bytes, mode: bytes = b"100644") -> bytes:
    return (
        b"diff --git a/%s b/%s\n%s %s\n--- a/%s\n+++ b/%s\n@@ -1,2 +1,2 @@ f()\n one\n-two\n+2\n"
        % (name, name, INDEX, mode, name, name)
    )


def create(name: bytes, content: bytes = b"x", mode: bytes = b"100644") -> bytes:
    return (
        b"diff --git a/%s b/%s\nnew file mode %s\n%s\n--- /dev/null\n+++ b/%s\n@@ -0,0 +1 @@\n+%s\n"
        b"\\ No newline at end of file\n" % (name, name, mode, INDEX, name, content)
    )


def delete(name: bytes, mode: bytes = b"100644") -> bytes:
    return (
        b"diff --git a/%s b/%s\ndeleted file mode %s\n%s\n--- a/%s\n+++ /dev/null\n"
        b"@@ -1 +0,0 @@\n-x\n" % (name, name, mode, INDEX, name)
    )


def symlink(name: bytes, target: bytes = b"/etc") -> bytes:
    return create(name, target, b"120000")


def rename(old: bytes, new: bytes) -> bytes:
    return b"diff --git a/%s b/%s\nsimilarity index 100%%\nrename from %s\nrename to %s\n" % (
        old,
        new,
        old,
        new,
    )


BINARY = (
    b"diff --git a/x.bin b/x.bin\n%s 100644\nGIT binary patch\nliteral 3\nKcmZQzWMT#Y01f~L\n\n"
    b"literal 0\nHcmV?d00001\n\n" % INDEX
)
MODE_ONLY = b"diff --git a/run b/run\nold mode 100644\nnew mode 100755\n"
EMPTY_NEW = b"diff --git a/e b/e\nnew file mode 100644\n" + INDEX + b"\n"
SUBMODULE = (
    b"diff --git a/s b/s\n%s 160000\n--- a/s\n+++ b/s\n@@ -1 +1 @@\n-Subproject %s\n+S %s\n"
    % (
        INDEX,
        A,
        B,
    )
)
GOOD = [
    b"",
    modify(b"a"),
    create(b"dir/new"),
    delete(b"old"),
    BINARY,
    MODE_ONLY,
    EMPTY_NEW,
    SUBMODULE,
    rename(b"a b", b"c d e"),
    symlink(b"link"),
    create(b".gitmodules"),
    modify(b"sp ace").replace(b"--- a/sp ace", b"--- a/sp ace\t").replace(b"+ace", b"+ace"),
    delete(b"t", b"100644") + symlink(b"t"),  # a file becomes a link
    delete(b"link", b"120000") + create(b"link/x"),  # a link becomes a directory
    symlink(b"d") + delete(b"d/f"),  # a directory becomes a link
    modify(b'"\\303\\251"').replace(b'a/"', b'"a/').replace(b'b/"', b'"b/'),
    EMPTY_NEW + MODE_ONLY + BINARY + modify(b"z"),
]


def check(patch: bytes, *, links: Iterable[bytes] = (), chunks: Iterable[int] = ()) -> bytes:
    checker = PatchChecker(frozenset(links))
    passed, start = b"", 0
    for end in [*sorted(chunks), len(patch)]:
        passed += checker.feed(patch[start:end])
        start = max(start, end)
    return passed + checker.finish()


@pytest.mark.parametrize("patch", GOOD)
def test_passes_what_git_writes_unchanged(patch: bytes) -> None:
    assert check(patch, links=[b"link"] if b"link/x" in patch else []) == patch


@given(st.data())
def test_passes_the_same_bytes_however_they_are_cut(data: st.DataObject) -> None:
    pieces = [modify(b"m"), BINARY, EMPTY_NEW, MODE_ONLY, create(b"c"), rename(b"r", b"s")]
    patch = b"".join(data.draw(st.permutations(pieces)))
    cuts = data.draw(st.lists(st.integers(0, len(patch))))
    assert check(patch, chunks=cuts) == patch


@pytest.mark.parametrize(
    "name",
    [b"../x", b"a/../../x", b".git/hooks/pre-commit", b"sub/.GIT/config", b"git~1/config", b"/abs"],
)
@pytest.mark.parametrize("make", [modify, create, delete, symlink])
def test_refuses_names_outside_the_tree(name: bytes, make: object) -> None:
    assert callable(make)
    with pytest.raises(UnsafePatch, match="outside the work tree"):
        check(make(name))


def test_refuses_quoted_names_outside_the_tree() -> None:
    patch = modify(b"NAME").replace(b"a/NAME", b'"a/\\056\\056/x"').replace(b"b/NAME", b'"b/../x"')
    with pytest.raises(UnsafePatch, match="outside"):
        check(patch)


@pytest.mark.parametrize(("old", "new"), [(b"a", b"../b"), (b"../a", b"b"), (b"a", b".git/config")])
def test_refuses_renames_outside_the_tree(old: bytes, new: bytes) -> None:
    with pytest.raises(UnsafePatch, match="outside"):
        check(rename(old, new))


def test_refuses_a_copy_into_git() -> None:
    with pytest.raises(UnsafePatch, match="outside"):
        check(rename(b"a", b".git/x").replace(b"rename", b"copy"))


@pytest.mark.parametrize(
    "patch",
    [
        symlink(b"d") + create(b"d/f"),
        create(b"d/f") + symlink(b"d"),
        symlink(b"d") + create(b"d/e/f"),
        symlink(b"d") + modify(b"d/f"),
        symlink(b"d") + rename(b"a", b"d/a"),
        modify(b"d", b"120000") + create(b"d/f"),
        MODE_ONLY.replace(b"100755", b"120000") + create(b"run/f"),
        symlink(b"d") + symlink(b"d/e"),
    ],
)
def test_refuses_writing_through_a_link_of_the_patch(patch: bytes) -> None:
    with pytest.raises(UnsafePatch, match="through a symbolic link"):
        check(patch)


def test_refuses_writing_through_a_link_of_the_prepared_commit() -> None:
    with pytest.raises(UnsafePatch, match="through a symbolic link"):
        check(create(b"link/x"), links=[b"link"])


def test_refuses_a_link_that_is_deleted_only_afterwards() -> None:
    with pytest.raises(UnsafePatch, match="through a symbolic link"):
        check(create(b"link/x") + delete(b"link", b"120000"), links=[b"link"])


def test_refuses_gitmodules_as_a_link() -> None:
    with pytest.raises(UnsafePatch, match="gitmodules"):
        check(symlink(b".gitmodules"))


@pytest.mark.parametrize(
    "patch",
    [
        b"garbage\n" + modify(b"a"),
        modify(b"a") + b"--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n",
        b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
        b"Index: x\n" + modify(b"a"),
        modify(b"a").replace(b"--- a/a", b"--- a/other"),
        modify(b"a").replace(b"+++ b/a", b"+++ b/.git/config"),
        modify(b"a").replace(b"+++ b/a", b"+++ /dev/null"),
        modify(b"a").replace(b"diff --git a/a b/a", b"diff --git a/a b/b"),
        modify(b"a").replace(b"diff --git a/a", b"diff --git x/a"),
        rename(b"a", b"b").replace(b"rename to b", b"rename to ../b"),
        rename(b"a", b"b").replace(b"rename to b\n", b""),
        rename(b"a", b"b") + b"rename to c\n",
        modify(b"a").replace(b"100644", b"104755"),
        create(b"a", mode=b"060000"),
        modify(b"a").replace(b"@@ -1,2 +1,2 @@", b"@@ -1,9 +1,2 @@"),
        modify(b"a") + b" one more\n",
        modify(b"a").replace(b"@@ -1,2 +1,2 @@", b"@@ -0,0 +0,0 @@"),
        BINARY.replace(b"KcmZ", b"\x01cmZ"),
        BINARY.replace(b"literal 3", b"literal -3"),
        BINARY.replace(b"\n\nliteral 0", b"\n\n\nliteral 0"),
        b"diff --git a/x b/x\nBinary files a/x and b/x differ\n",
        modify(b"a")[:-1],
        modify(b"a")[:-4],
        BINARY[:-1],
        modify(b"a") + modify(b"a"),
        delete(b"a") + delete(b"a"),
        b"diff --git " + b" " * (LINE_BYTES_MAX + 1),
        b"diff --git a/x b/x\n" + b"similarity index 50%\n" * 20000,
        b"x" * 100_000,
    ],
)
def test_refuses_what_git_does_not_write(patch: bytes) -> None:
    with pytest.raises(UnsafePatch):
        check(patch)


def test_hands_nothing_of_an_unsafe_file_on() -> None:
    checker = PatchChecker()
    good, bad = modify(b"good"), modify(b"../bad")
    passed = checker.feed(good)
    with pytest.raises(UnsafePatch):
        checker.feed(bad)
    assert passed == good


def test_an_endless_content_line_passes_without_being_kept() -> None:
    """E2: memory stays bounded."""
    checker = PatchChecker()
    checker.feed(create(b"a").split(b"+x")[0] + b"+")
    for _ in range(100):
        assert checker.feed(b"y" * LINE_BYTES_MAX) == b"y" * LINE_BYTES_MAX
    assert len(checker._line) == 0 and len(checker._held) == 0


def test_bounds_the_names_it_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    """E2: deep names cost as much as all their parents."""
    monkeypatch.setattr(patchsection, "NAMES_BYTES_MAX", 100_000)
    with pytest.raises(UnsafePatch, match="more files than"):
        check(create(b"/".join([b"d"] * 1000)))


def test_never_fails_otherwise_on_mutated_patches() -> None:
    """A fuzz by mutation: only UnsafePatch may come out, and what passes is a prefix."""
    rng = random.Random(7)
    whole = b"".join(GOOD[1:8])
    for _ in range(2000):
        patch = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(patch))
            patch[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        checker = PatchChecker()
        passed = b""
        try:
            for start in range(0, len(patch), 100):
                passed += checker.feed(bytes(patch[start : start + 100]))
            passed += checker.finish()
            assert passed == patch
        except UnsafePatch:
            assert patch.startswith(passed)
