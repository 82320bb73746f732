"""One thing after the other that a guest may do in its work tree, and what has to come back.

A11: byte for byte, whatever the guest's git is set to; what git cannot hold is named.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from banger.errors import GuestRefused
from tests.component.workspace.conftest import Trip
from tests.component.workspace.test_export import fingerprint
from tests.component.workspace.trees import Entry, Tree, apply_to, walk
from tests.support import repositories as repo
from tests.support.local_guest import LocalGuest

README: Entry = ("100644", b"read me\n")
MAIN: Entry = ("100755", b"print('hello')\n")
TWINS = {b"one": ("100644", b"1111\n"), b"two": ("100644", b"2222\n")}
"""Two files of one size and time."""


@dataclass(frozen=True)
class Row:
    """A script of the guest, and what of the base it changes."""

    name: str
    script: str
    changes: dict[bytes, Entry | None] = field(default_factory=dict)
    """The new entry by name; None: the name is gone."""
    notice: str = ""


def plain(content: bytes) -> Entry:
    return ("100644", content)


INNER = {b"app/f": plain(b"inner\n"), b"app/d/g": plain(b"deeper\n")}
IN_APP = "git init -q app; cd app; mkdir d; echo inner >f; echo deeper >d/g"
NESTED = "Repositories made in the guest, exported without their history: app."

ROWS = [
    Row("nothing", "git status"),
    # --- repositories within ---
    Row("nested", IN_APP, INNER, NESTED),
    Row("nested-committed", f"{IN_APP}; git add .; git commit -qm inner", INNER, NESTED),
    Row("nested-added", f"{IN_APP}; git add .; git commit -qm x; cd ..; git add .", INNER, NESTED),
    Row("nested-by-file", f"{IN_APP}; mv .git $T/x; echo gitdir: $T/x >.git", INNER, NESTED),
    Row("nested-broken", f"{IN_APP}; rm -rf .git/*", INNER, NESTED),
    Row(
        "nested-below",
        "mkdir -p a/b; echo x >a/x; cd a/b; git init -q c; echo y >c/y",
        {b"a/x": plain(b"x\n"), b"a/b/c/y": plain(b"y\n")},
        "without their history: a/b/c.",
    ),
    Row("nested-around", "cd src; git init -q; git add .; git commit -qm x", {}, ": src."),
    Row(
        "worktree",
        "git worktree add -q copy",
        {b"copy/README": README, b"copy/src/main.py": MAIN}
        | {b"copy/" + name: entry for name, entry in TWINS.items()},
        "without their history: copy.",
    ),
    # --- the same size and time ---
    Row(
        "swapped", "mv one t; mv two one; mv t two", {b"one": TWINS[b"two"], b"two": TWINS[b"one"]}
    ),
    Row("moved-over", "mv two one", {b"one": TWINS[b"two"], b"two": None}),
    Row("copied-over", "cp -p two one", {b"one": TWINS[b"two"]}),
    Row("linked-over", "ln -f two one", {b"one": TWINS[b"two"]}),
    Row("synced-over", "cp --remove-destination -p two one", {b"one": TWINS[b"two"]}),
    Row(
        "rewritten",
        "touch -r one $T/t; printf '3333\\n' >one; touch -r $T/t one",
        {b"one": plain(b"3333\n")},
    ),
    Row(
        "unpacked-over",
        "mkdir $T/x; cp -p two $T/x/one; tar -cC $T/x . | tar -x",
        {b"one": TWINS[b"two"]},
    ),
    # --- settings of git ---
    Row(
        "autocrlf",
        "git config core.autocrlf true; sed -i 's/$/\\r/' README",
        {b"README": plain(b"read me\r\n")},
    ),
    Row(
        "autocrlf-committed",
        "git config core.autocrlf input; printf 'a\\r\\nb\\n' >x; git add x; git commit -qm x",
        {b"x": plain(b"a\r\nb\n")},
    ),
    Row(
        "filter",
        "git config filter.f.clean 'tr a-z A-Z'; echo '* filter=f' >.git/info/attributes; "
        "echo quiet >x; git add .; git commit -qm x",
        {b"x": plain(b"quiet\n")},
    ),
    Row(
        "filter-that-fails",
        "git config filter.f.clean false; git config filter.f.required true; "
        "echo '* filter=f' >.gitattributes; echo x >x",
        {b"x": plain(b"x\n"), b".gitattributes": plain(b"* filter=f\n")},
    ),
    Row(
        "attributes",
        "printf '* text eol=crlf ident\\n' >.gitattributes; printf '$Id$\\n' >x; git add .",
        {b"x": plain(b"$Id$\n"), b".gitattributes": plain(b"* text eol=crlf ident\n")},
    ),
    Row(
        "encoding",
        "echo '*.u working-tree-encoding=UTF-16' >.gitattributes; printf '\\377\\376a\\0' >x.u",
        {
            b"x.u": plain(b"\xff\xfea\0"),
            b".gitattributes": plain(b"*.u working-tree-encoding=UTF-16\n"),
        },
    ),
    Row(
        "file-mode",
        "git config core.fileMode false; chmod +x README; chmod -x src/main.py",
        {b"README": ("100755", README[1]), b"src/main.py": ("100644", MAIN[1])},
    ),
    Row(
        "symlinks",
        "git config core.symlinks false; rm README; ln -s src README",
        {b"README": ("120000", b"src")},
    ),
    Row(
        "ignore-case",
        "git config core.ignoreCase true; echo lower >readme",
        {b"readme": plain(b"lower\n")},
    ),
    Row(
        "excludes",
        "git config core.excludesFile $T/x; echo '*' >$T/x; echo x >x",
        {b"x": plain(b"x\n")},
    ),
    Row("info-exclude", "echo '*' >.git/info/exclude; echo x >x", {b"x": plain(b"x\n")}),
    Row(
        "ignored-but-added",
        "printf '*.o\\nout/\\n' >.gitignore; mkdir out; echo 1 >a.o; echo 2 >b.o; echo 3 >out/c; "
        "echo 4 >out/d; git add -f a.o out/c",
        {b".gitignore": plain(b"*.o\nout/\n"), b"a.o": plain(b"1\n"), b"out/c": plain(b"3\n")},
    ),
    Row(
        "no-untracked",
        "git config status.showUntrackedFiles no; echo x >d; git config core.untrackedCache true",
        {b"d": plain(b"x\n")},
    ),
    Row("elsewhere", "git config core.worktree /nonexistent; echo x >x", {b"x": plain(b"x\n")}),
    Row("bare", "git config core.bare true; echo x >x", {b"x": plain(b"x\n")}),
    # --- the index ---
    Row(
        "assume-unchanged",
        "git update-index --assume-unchanged README; echo x >README",
        {b"README": plain(b"x\n")},
    ),
    Row(
        "skip-worktree",
        "git update-index --skip-worktree README; echo x >README",
        {b"README": plain(b"x\n")},
    ),
    Row("sparse", "git sparse-checkout set nothing; test ! -e src"),
    Row(
        "sparse-changed",
        "git sparse-checkout set src; echo x >src/new; rm README",
        {b"src/new": plain(b"x\n"), b"README": None},
    ),
    Row("no-index", "rm .git/index; echo x >x", {b"x": plain(b"x\n")}),
    Row("bad-index", "echo garbage >.git/index; echo x >x", {b"x": plain(b"x\n")}),
    Row("locked-index", "touch .git/index.lock; rm README", {b"README": None}),
    Row("emptied-index", "git rm -rq --cached .; git commit -qm none"),
    # --- history ---
    Row(
        "committed",
        "echo x >x; git add x; git commit -qm x; echo y >>x; git commit -qam y",
        {b"x": plain(b"x\ny\n")},
    ),
    Row("reverted", "echo x >x; git add x; git commit -qm x; git revert --no-edit HEAD"),
    Row("committed-and-undone", "echo x >one; git commit -qam x; printf '1111\\n' >one"),
    Row(
        "orphan",
        "git checkout -q --orphan o; git rm -q --cached README; rm README",
        {b"README": None},
    ),
    Row("other-commit", "echo x >x; git add x; git commit -qm x; git checkout -q HEAD~1"),
    Row(
        "stash",
        "echo x >README; git stash -q; echo y >one",
        {b"one": plain(b"y\n")},
        "The guest has a stash, which was not exported.",
    ),
    Row("stash-packed", "echo x >README; git stash -q; git pack-refs --all", {}, "has a stash"),
    Row(
        "stash-popped", "echo x >README; git stash -q; git stash pop -q", {b"README": plain(b"x\n")}
    ),
    # --- no git ---
    Row(
        "no-repository", "rm -rf .git; rm README; echo x >x", {b"README": None, b"x": plain(b"x\n")}
    ),
    Row("empty-repository", "rm -rf .git/*; echo x >x", {b"x": plain(b"x\n")}),
    Row(
        "made-anew",
        "rm -rf .git; git init -q; git add .; git commit -qm anew; echo x >x",
        {b"x": plain(b"x\n")},
    ),
    Row(
        "by-file",
        "mv .git $T/away; echo gitdir: $T/away >.git; echo x >x",
        {b"x": plain(b"x\n")},
    ),
    Row("by-link", "mv .git $T/away; ln -s $T/away .git; echo x >x", {b"x": plain(b"x\n")}),
    # --- what git cannot hold ---
    Row(
        "empty-directories",
        "mkdir -p a/b c; rm src/main.py",
        {b"src/main.py": None},
        "Empty directories, which git cannot store: a/b, c, src.",
    ),
    Row("pipe", "mkfifo p; rm one; mkfifo one", {b"one": None}, "which git cannot store: one, p."),
    Row(
        "socket",
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'; echo x >x",
        {b"x": plain(b"x\n")},
        "Pipes, sockets and devices, which git cannot store: s.",
    ),
    Row(
        "many-pipes",
        "for n in 1 2 3 4 5; do mkfifo p$n; done",
        {},
        "which git cannot store: p1, p2, p3 and 2 more.",
    ),
    # --- names, kinds and sizes ---
    Row(
        "odd-names",
        """
        printf n >"$(printf 'new\\nline')"; printf q >'quo"te\\'; printf d >-dash
        printf b >"$(printf '\\351\\377')"; printf g >'*[?'; printf c >:colon; printf s >' '
        """,
        {
            b"new\nline": plain(b"n"),
            b'quo"te\\': plain(b"q"),
            b"\xe9\xff": plain(b"b"),
            b"-dash": plain(b"d"),
            b"*[?": plain(b"g"),
            b":colon": plain(b"c"),
            b" ": plain(b"s"),
        },
    ),
    Row(
        "twins",
        "echo 1 >readme; echo 2 >Readme",
        {b"readme": plain(b"1\n"), b"Readme": plain(b"2\n")},
    ),
    Row(
        "links-out",
        "ln -s /etc/passwd out; ln -s ../../.. up; ln -s nowhere gone; ln -s . self",
        {
            b"out": ("120000", b"/etc/passwd"),
            b"up": ("120000", b"../../.."),
            b"gone": ("120000", b"nowhere"),
            b"self": ("120000", b"."),
        },
    ),
    Row(
        "hard-links",
        "ln README other; echo more >>other",
        {b"README": plain(b"read me\nmore\n"), b"other": plain(b"read me\nmore\n")},
    ),
    Row("empty-file", "true >empty; true >README", {b"empty": plain(b""), b"README": plain(b"")}),
    Row("holes", "truncate -s 3M holes", {b"holes": plain(bytes(3 << 20))}),
    Row(
        "kinds",
        "rm -r src one; echo x >src; mkdir one; echo y >one/y; ln -sf README two",
        {
            b"src/main.py": None,
            b"src": plain(b"x\n"),
            b"one": None,
            b"one/y": plain(b"y\n"),
            b"two": ("120000", b"README"),
        },
    ),
    Row(
        "directory-for-link",
        "mv src real; ln -s real src",
        {b"src/main.py": None, b"real/main.py": MAIN, b"src": ("120000", b"real")},
    ),
    Row("only-times", "touch README one; touch -d @0 two; chmod 600 README; chmod 666 two"),
    Row(
        "names-of-git",
        "mkdir .GIT sub; echo x >.GIT/config; echo y >sub/git~1; echo z >z",
        {b"z": plain(b"z\n")},
        "Names that are not allowed in a patch, left out: .GIT, sub/git~1.",
    ),
]


@pytest.fixture
def trip(trip: Trip) -> Trip:
    for name, (_, content) in TWINS.items():
        repo.write(trip.top, name, content)
        os.utime(trip.top / name.decode(), (1_700_000_000, 1_700_000_000))
    repo.commit(trip.top, "twins")
    return trip


def run(trip: Trip, script: str) -> None:
    temporary = trip.scratch.with_name("T")
    temporary.mkdir()
    script = f"set -e; T={temporary}; cd {trip.work}; {script}"
    done = trip.guest.run_sync(["sh", "-c", script])
    assert done.status == 0, done.untrusted_stderr.decode()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_comes_back(trip: Trip, row: Row) -> None:
    """A4, A11."""
    trip.prepare()
    before = walk(trip.work).files
    run(trip, row.script)
    left = fingerprint(trip.work)
    changes = row.changes.items()
    gone = {name for name, entry in changes if entry is None}
    expected: Tree = {name: entry for name, entry in before.items() if name not in gone}
    expected |= {name: entry for name, entry in changes if entry is not None}
    assert apply_to(before, trip.export()) == expected
    assert fingerprint(trip.work) == left
    assert len(trip.notices) == bool(row.notice)
    assert row.notice in "".join(trip.notices)


class WithoutPrograms(LocalGuest):
    """A guest in which nothing can be run."""

    async def run(self, *_: object, **__: object) -> None:  # type: ignore[override]
        raise GuestRefused("no such program")

    def open_output(self, *_: object, **__: object) -> None:  # type: ignore[override]
        raise GuestRefused("no such program")


def test_without_any_program_in_the_guest(trip: Trip) -> None:
    """A11: nothing of an export is done by the guest's git."""
    trip.prepare()
    before = walk(trip.work).files
    run(trip, "rm README; echo x >x; echo '*.o' >.gitignore; echo y >y.o")
    patch = trip.export(WithoutPrograms(trip.guest.home))
    changed = {b"x": plain(b"x\n"), b".gitignore": plain(b"*.o\n")}
    expected = {name: entry for name, entry in before.items() if name != b"README"} | changed
    assert apply_to(before, patch) == expected


def test_a_large_file_comes_back(trip: Trip) -> None:
    """A11: larger than any buffer on the way."""
    content = os.urandom(20 << 20)
    trip.prepare()
    before = walk(trip.work).files
    repo.write(trip.work, "large", content)
    assert apply_to(before, trip.export()) == before | {b"large": plain(content)}


def test_nothing_is_written_in_the_guest(trip: Trip) -> None:
    """A4, A11: so an export works on a full disk, and on one that is read-only."""
    trip.prepare()
    run(trip, "echo x >x; echo '*' >.gitignore; rm README; git add -f x")
    directories = [Path(each) for each, _, _ in os.walk(trip.work)]
    for directory in directories:
        directory.chmod(0o500)
    try:
        assert b"+x" in trip.export()
    finally:
        for directory in directories:
            directory.chmod(0o700)
