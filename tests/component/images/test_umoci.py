"""F1, F2: layers drawn by chance, merged by us and unpacked by umoci, an independent reader.

umoci runs as an ordinary user here, so owners and devices are not compared; `test_merge` has
them. The layers are of the kind that builders write: what a whiteout hides is not named again
in its layer before the whiteout, and nothing is below what is no directory.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.errors import ImageInvalid
from tests.support.tars import Member, directory, hard_link, make_tar, symlink
from tests.unit.images.layers.merging import contents, merge, read

pytestmark = pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed")

PART = st.sampled_from(["a", "b", "c"])
PATH = st.lists(PART, min_size=1, max_size=3).map("/".join)
TARGET = st.one_of(PATH, PATH.map("/".__add__), PATH.map("../".__add__))
TIME = st.integers(1, 2**31 - 1)
WHITEOUTS = st.one_of(
    PATH.map(lambda path: Member(os.path.join(os.path.dirname(path), ".wh." + path[-1]))),
    PATH.map(lambda path: Member(path + "/.wh..wh..opq")),
)
FILES = st.builds(Member, PATH, st.binary(max_size=20), mtime=TIME)
DIRECTORIES = st.builds(directory, PATH, st.sampled_from([0o755, 0o700, 0o1777]), mtime=TIME)
LINKS = st.one_of(st.builds(symlink, PATH, TARGET), st.builds(hard_link, PATH, PATH))
ENTRIES = st.one_of(FILES, FILES, DIRECTORIES, DIRECTORIES, LINKS)
LAYER = st.tuples(st.lists(WHITEOUTS, max_size=2), st.lists(ENTRIES, max_size=6))
Listed = dict[str, tuple[object, ...]]


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.lists(LAYER, min_size=1, max_size=3))
def test_the_same_tree(
    tmp_path_factory: pytest.TempPathFactory, layers: list[tuple[list[Member], list[Member]]]
) -> None:
    folder = tmp_path_factory.mktemp("u")
    tars = [make_tar(*whiteouts, *entries) for whiteouts, entries in layers]
    expected = unpack_by_umoci(folder, tars)
    try:
        merged = merge(folder, *tars)
    except ImageInvalid:
        return  # umoci is more lenient with what makes no sense
    if expected is not None:
        assert list_merged(merged) == expected


def unpack_by_umoci(folder: Path, tars: list[bytes]) -> Listed | None:
    """Return what umoci makes of the layers; None if it refuses them."""
    layout, bundle = folder / "layout", folder / "root"
    umoci("init", "--layout", layout)
    umoci("new", "--image", f"{layout}:t")
    for number, content in enumerate(tars):
        (folder / f"{number}.tar").write_bytes(content)
        umoci("raw", "add-layer", "--image", f"{layout}:t", folder / f"{number}.tar")
    done = umoci("raw", "unpack", "--rootless", "--image", f"{layout}:t", bundle, check=False)
    return list_tree(bundle) if done.returncode == 0 else None


def umoci(*words: object, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["umoci", *map(str, words)], check=check, capture_output=True, timeout=60)


def list_tree(top: Path) -> Listed:
    found: Listed = {}
    for folder, folders, files in os.walk(top):
        for name in sorted(folders + files):
            path = Path(folder, name)
            status = path.lstat()
            key = str(path.relative_to(top))
            if stat.S_ISDIR(status.st_mode):
                found[key] = ("dir", stat.S_IMODE(status.st_mode))
            elif stat.S_ISLNK(status.st_mode):
                found[key] = ("link", os.readlink(path), status.st_nlink)
            else:
                found[key] = ("file", path.read_bytes(), int(status.st_mtime), status.st_nlink)
    return found


def list_merged(merged: bytes) -> Listed:
    members = read(merged)
    members.pop(b"proc", None)
    targets = {os.fsencode(m.linkname) if m.islnk() else n: [] for n, m in members.items()}
    for name, member in members.items():
        targets[os.fsencode(member.linkname) if member.islnk() else name].append(name)
    found: Listed = {}
    content = contents(merged)
    for first, names in targets.items():
        member = members[first]
        for name in names:
            key = os.fsdecode(name)
            if member.isdir():
                found[key] = ("dir", member.mode)
            elif member.issym():
                found[key] = ("link", member.linkname, len(names))
            else:
                assert member.type == tarfile.REGTYPE
                found[key] = ("file", content.get(first, b""), int(member.mtime), len(names))
    return found
