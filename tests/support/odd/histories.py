"""Odd histories: heads, references, boundaries, replaced and strange commits."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support import repositories as repo
from tests.support.odd.registry import clone, commits, odd

COMMIT = b"""tree %s
author A U Thor <author@example.com> %s
committer A U Thor <author@example.com> %s
%s
%s"""


@odd()
def one_commit(top: Path) -> None:
    pass


@odd()
def merges(top: Path) -> None:
    """Two branches and an octopus."""
    for name in ("one", "two", "three"):
        repo.git(top, "switch", "--quiet", "-c", name, "main")
        repo.write(top, name, name.encode())
        repo.commit(top, name)
    repo.git(top, "switch", "--quiet", "main")
    repo.git(top, "merge", "--quiet", "--no-ff", "one", "-m", "one")
    repo.git(top, "merge", "--quiet", "two", "three", "-m", "octopus")


@odd()
def unrelated_histories(top: Path) -> None:
    repo.git(top, "switch", "--quiet", "--orphan", "other")
    repo.write(top, "alone", b"alone\n")
    repo.commit(top, "a second root")
    repo.git(top, "merge", "--quiet", "--allow-unrelated-histories", "main", "-m", "joined")


@odd()
def detached(top: Path) -> None:
    commits(top, 3)
    repo.git(top, "checkout", "--quiet", "--detach", "HEAD~1")


@odd()
def detached_and_unreachable(top: Path) -> None:
    """A commit that no reference names."""
    repo.git(top, "checkout", "--quiet", "--detach")
    commits(top, 2)


@odd(refused="no commit yet")
def unborn(top: Path) -> None:
    shutil.rmtree(top / ".git")
    repo.init(top)


@odd(refused="no commit yet")
def orphan_branch(top: Path) -> None:
    repo.git(top, "switch", "--quiet", "--orphan", "nothing-yet")


@odd()
def empty_commits(top: Path) -> None:
    repo.git(top, "rm", "--quiet", "-r", ".")
    repo.commit(top, "nothing left")
    repo.commit(top, "still nothing")


@odd()
def odd_branch_names(top: Path) -> None:
    for name in ("feature/gr\u00fcn+x", 'quo"te', "a.b.lock-er", "x@", "HEADS", "refs/x"):
        repo.git(top, "branch", name)
    repo.git(top, "switch", "--quiet", 'quo"te')
    repo.git(top, "config", 'branch.quo"te.remote', ".")
    repo.git(top, "config", 'branch.quo"te.merge', "refs/heads/main")


@odd()
def many_references(top: Path) -> None:
    commit = repo.git(top, "rev-parse", "HEAD").decode().strip()
    lines = [
        f"create refs/heads/b/{n} {commit}\ncreate refs/tags/t{n} {commit}" for n in range(500)
    ]
    repo.git(top, "update-ref", "--stdin", stdin="\n".join(lines).encode() + b"\n")
    repo.git(top, "pack-refs", "--all")
    commits(top, 1)
    repo.git(top, "branch", "--force", "b/7", "HEAD")


@odd()
def tags_of_everything(top: Path) -> None:
    repo.git(top, "tag", "light")
    repo.git(top, "tag", "-a", "annotated", "-m", "a tag")
    repo.git(top, "tag", "-a", "of-a-tag", "annotated", "-m", "a tag of a tag")
    repo.git(top, "tag", "of-a-blob", "HEAD:README")
    repo.git(top, "tag", "-a", "of-a-tree", "HEAD^{tree}", "-m", "a tree")
    repo.git(top, "checkout", "--quiet", "of-a-tag")


@odd()
def symbolic_references(top: Path) -> None:
    repo.git(top, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    repo.git(top, "symbolic-ref", "refs/heads/to-nothing", "refs/heads/gone")
    repo.git(top, "symbolic-ref", "refs/heads/elsewhere", "refs/original/main")
    repo.git(top, "update-ref", "refs/original/main", "HEAD")


@odd()
def notes(top: Path) -> None:
    repo.git(top, "notes", "add", "-m", "a note")
    commits(top, 1)


@odd()
def replaced_parents(top: Path) -> None:
    commits(top, 3)
    repo.git(top, "replace", "--graft", "HEAD~1")


@odd()
def stashes(top: Path) -> None:
    repo.write(top, "README", b"stashed\n")
    repo.git(top, "stash", "--quiet")


@odd()
def ahead_and_behind(top: Path) -> Path:
    commits(top, 2)
    copy = clone(top)
    repo.git(copy, "reset", "--quiet", "--hard", "HEAD~1")
    repo.write(copy, "mine", b"mine\n")
    repo.commit(copy, "mine")
    return copy


@odd()
def other_remotes(top: Path) -> Path:
    copy = clone(top)
    repo.git(copy, "remote", "add", "other", f"file://{top}")
    repo.git(copy, "fetch", "--quiet", "other")
    repo.git(copy, "branch", "--quiet", "follows", "--track", "other/main")
    return copy


@odd()
def secrets_in_the_remote(top: Path) -> None:
    repo.git(top, "remote", "add", "origin", "https://user:hidden-secret@example.com/a.git?t=x#y")
    repo.git(top, "config", "http.extraHeader", "Authorization: hidden-secret")
    repo.git(top, "config", "branch.main.pushRemote", "https://u:hidden-secret@example.com/")
    repo.git(top, "config", "branch.main.remote", "https://u:hidden-secret@example.com/")


@odd()
def signing(top: Path) -> None:
    """A signed commit, and a repository that would sign."""
    tree = repo.git(top, "rev-parse", "HEAD^{tree}").strip()
    signature = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n abc\n -----END PGP SIGNATURE-----\n"
    write_commit(top, COMMIT % (tree, b"1700000000 +0100", b"1700000000 +0100", signature, b"x\n"))
    for key in ("commit.gpgSign", "tag.gpgSign"):
        repo.git(top, "config", key, "true")
    repo.git(top, "config", "user.signingKey", "0123456789ABCDEF")


@odd()
def strange_commits(top: Path) -> None:
    """No message, another encoding, times at both ends, a zone that does not exist."""
    tree = repo.git(top, "rev-parse", "HEAD^{tree}").strip()
    for when, more, said in (
        (b"0 +0000", b"", b""),
        (b"4102444800 -1159", b"encoding ISO-8859-1\n", b"gr\xfcn\n"),
        (b"1700000000 +9999", b"x-own header\n", b"no newline at the end"),
    ):
        write_commit(top, COMMIT % (tree, when, when, more, said))


@odd()
def shallow(top: Path) -> Path:
    commits(top, 4)
    return clone(top, "--depth", "1")


@odd()
def shallow_with_merges(top: Path) -> Path:
    """Several commits whose parents are not there."""
    merges(top)
    commits(top, 1)
    return clone(top, "--depth", "3", "--no-single-branch")


@odd()
def single_branch(top: Path) -> Path:
    repo.git(top, "switch", "--quiet", "-c", "side")
    commits(top, 2)
    return clone(top, "--single-branch", "--branch", "side", "--no-tags")


@odd(refused_full="missing")
def partial_without_blobs(top: Path) -> Path:
    """A clone of which old contents were never fetched; the present ones were."""
    commits(top, 6)
    return clone(top, "--filter=blob:none")


@odd(refused_full="missing")
def partial_without_trees(top: Path) -> Path:
    commits(top, 6)
    return clone(top, "--filter=tree:0")


@odd()
def partial_and_complete(top: Path) -> Path:
    """A partial clone that lacks nothing."""
    commits(top, 2)
    copy = clone(top, "--filter=blob:none")
    repo.git(copy, "rev-list", "--objects", "--all")
    repo.git(copy, "fetch", "--quiet", "--refetch", "--no-filter", "origin")
    return copy


@odd(refused="missing")
def partial_without_a_checkout(top: Path) -> Path:
    return clone(top, "--filter=blob:none", "--no-checkout")


@odd(refused_full="cannot be read")
def broken_past(top: Path) -> None:
    """An object of an older commit is gone."""
    commits(top, 4)
    blob = repo.git(top, "rev-parse", "HEAD~3:src/part0").decode().strip()
    (top / ".git/objects" / blob[:2] / blob[2:]).unlink()


@odd(refused="cannot be read")
def broken_present(top: Path) -> None:
    blob = repo.git(top, "rev-parse", "HEAD:README").decode().strip()
    (top / ".git/objects" / blob[:2] / blob[2:]).unlink()


@odd()
def packed_in_every_way(top: Path) -> None:
    """Deltas, several packs with one index of all, bitmaps, a commit graph; then loose objects."""
    content = b"".join(b"line %d\n" % n for n in range(3000))
    for number in range(4):
        repo.write(top, "grows", content + b"%d\n" % number)
        repo.commit(top, f"grows {number}")
    repo.git(top, "repack", "-q", "-a", "-d", "--write-bitmap-index")
    commits(top, 3)
    repo.git(top, "repack", "-q")
    repo.git(top, "multi-pack-index", "write")
    repo.git(top, "commit-graph", "write", "--reachable")
    commits(top, 1)


@odd()
def sha256(top: Path) -> None:
    shutil.rmtree(top)
    top.mkdir()
    repo.git(top, "init", "--quiet", "--object-format=sha256", "--initial-branch=main")
    commits(top, 4)
    repo.write(top, "README", b"not committed\n")
    repo.git(top, "tag", "-a", "annotated", "-m", "a tag")


def write_commit(top: Path, content: bytes) -> None:
    """Write a commit as it is, whatever git thinks of it, and check it out."""
    made = repo.git(
        top, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=content
    )
    repo.git(top, "update-ref", f"refs/heads/strange-{made[:8].decode()}", made.strip())
    repo.git(top, "checkout", "--quiet", made.decode().strip())
