"""`image register`, `promote` and `catalog` through the real command line and daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from banger.host.programs import find_tool
from tests.support.installations import Installation
from tests.support.tars import Member, directory, make_tar

pytestmark = pytest.mark.skipif(find_tool("sqfstar") is None, reason="sqfstar is not installed")


def make_squashfs(file: Path, *, init: str | None = None) -> Path:
    """Make a root file system, with a link to systemd's place for its init if asked."""
    top = file.with_suffix(".d")
    (top / "usr/lib/systemd").mkdir(parents=True)
    (top / "usr/sbin").mkdir()
    (top / "hello").write_text(file.name)
    (top / "usr/lib/systemd/systemd").write_text("")
    (top / "sbin").symlink_to("usr/sbin")
    if init is not None:
        (top / "usr/sbin/init").symlink_to(init)
    argv = ["mksquashfs", str(top), str(file), "-quiet", "-no-progress", "-all-root"]
    subprocess.run(argv, check=True, capture_output=True)
    return file


def stored(banger: Installation, digest: str) -> list[str]:
    return sorted(path.name for path in (banger.layout.images / digest).iterdir())


def test_a_file_is_used_where_it_lies(banger: Installation, tmp_path: Path) -> None:
    """A6: nothing of ours is made of it but a manifest; to delete the image is to forget it."""
    file = make_squashfs(tmp_path / "own.img", init="../lib/systemd/systemd")
    (tmp_path / "link").symlink_to(file)
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    digest = banger.do("image", "register", "-q", "own", tmp_path / "link").text
    image = banger.json("image", "show", "own")
    assert image["external"] == {"path": str(file), "mtime_ns": file.stat().st_mtime_ns}
    assert (image["init"], image["size_bytes"]) == ("/sbin/init", file.stat().st_size)
    assert stored(banger, digest) == ["manifest.json"]
    assert "registered" in banger.do("image", "list").text
    assert banger.do("image", "register", "-q", "again", file).text == digest
    listed = [line.split()[:2] for line in banger.do("image", "list").text.splitlines()[1:]]
    assert listed == [["again", digest[:12]], ["own", digest[:12]]]
    assert "deleted the name own" in banger.do("image", "delete", "own").err
    assert banger.run("image", "show", "own").status == 4
    assert banger.json("image", "list")[0]["names"] == ["again"]
    banger.do("image", "register", "-q", "own", file)
    banger.do("image", "delete", digest[:12])
    assert banger.json("image", "list") == []
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    none = banger.do("image", "register", "-q", "own", file, "--init", "none").text
    assert none != digest
    assert banger.json("image", "show", "own")["init"] is None


def test_a_promoted_image_needs_no_file(banger: Installation, tmp_path: Path) -> None:
    """A7, A9: the copy is what was hashed; the digest, which VMs and templates go by, is the
    same."""
    file = make_squashfs(tmp_path / "own.img")
    content = file.read_bytes()
    digest = banger.do("image", "register", "-q", "own", file).text
    assert banger.json("image", "show", "own")["init"] is None
    assert banger.do("image", "promote", "-q", "own").text == digest
    assert stored(banger, digest) == ["manifest.json", "root.squashfs"]
    file.unlink()
    assert banger.do("image", "promote", "-q", "own").text == digest
    assert banger.json("image", "show", "own")["external"] is None
    root = banger.layout.images / digest / "root.squashfs"
    assert root.read_bytes() == content
    file.write_bytes(content)
    assert banger.do("image", "register", "-q", "own", file).text == digest
    assert banger.json("image", "show", "own")["external"] is None
    assert list(banger.layout.staging.iterdir()) == []


def test_what_is_made_anew_takes_the_place_of_a_file(banger: Installation, tmp_path: Path) -> None:
    """A7: an import that comes to the same image as a registered one brings it into the store."""
    (tmp_path / "root.tar").write_bytes(make_tar(directory("./"), Member("f", b"f")))
    digest = banger.do("image", "import", "-q", tmp_path / "root.tar", "made").text
    file = shutil.copy(banger.layout.images / digest / "root.squashfs", tmp_path / "own.img")
    banger.do("image", "delete", "made")
    assert banger.do("image", "register", "-q", "own", file).text == digest
    assert stored(banger, digest) == ["manifest.json"]
    assert banger.do("image", "import", "-q", tmp_path / "root.tar", "made").text == digest
    assert stored(banger, digest) == ["manifest.json", "root.squashfs"]
    assert banger.json("image", "show", "own")["external"] is None
    assert list(banger.layout.staging.iterdir()) == []


def test_a_file_that_changed_is_noticed(banger: Installation, tmp_path: Path) -> None:
    """D5, F3: another content is refused with the file's name; a touched file is not."""
    file = make_squashfs(tmp_path / "own.img")
    content = file.read_bytes()
    digest = banger.do("image", "register", "-q", "own", file).text

    def refused(*words: str) -> str:
        return banger.run(*words, status=1).err

    create = ("vm", "create", "--image", "own", "--no-start")
    file.write_bytes(content[:-1] + b"x")
    for words in (("image", "promote", "own"), create):
        assert f"{file}, has changed" in refused(*words)
    file.unlink()
    for words in (("image", "promote", "own"), create):
        assert f"{file}, is gone" in refused(*words)
    assert banger.json("vm", "list") == []
    assert stored(banger, digest) == ["manifest.json"]
    assert banger.json("image", "list")[0]["digest"] == digest
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))
    moved = file.rename(tmp_path / "moved.img")
    assert banger.do("image", "register", "-q", "own", moved).text == digest
    assert banger.json("image", "show", "own")["external"]["path"] == str(moved)
    os.utime(moved, ns=(2, 2))
    banger.do("image", "promote", "-q", "own")


def test_prune_only_forgets_a_registered_image(banger: Installation, tmp_path: Path) -> None:
    """A6: neither what has lost its name nor what has one takes the user's file along."""
    files = [make_squashfs(tmp_path / f"{name}.img") for name in ("one", "two")]
    digests = [banger.do("image", "register", "-q", "own", file).text for file in files]
    assert sorted(image["names"] for image in banger.json("image", "list")) == [[], ["own"]]
    assert "none (was own)" in banger.do("image", "show", digests[0]).text
    assert banger.do("image", "prune", "--dry-run").text.split() == [digests[0]]
    assert banger.do("image", "prune", "--force").text.split() == [digests[0]]
    assert [image["digest"] for image in banger.json("image", "list")] == [digests[1]]
    assert banger.do("image", "prune", "--all", "--force").text.split() == [digests[1]]
    assert banger.json("image", "list") == []
    assert all(file.is_file() for file in files)


def test_what_is_no_squashfs_is_refused(banger: Installation, tmp_path: Path) -> None:
    """H6: with what it is, and what can be done with it."""
    (tmp_path / "f").write_bytes(bytes(1080) + b"\x53\xef")
    refused = banger.run("image", "register", "own", tmp_path / "f", status=2)
    assert "is not a squashfs file, but an ext4" in refused.err
    assert "hint: tar -C DIRECTORY -c . | banger image import - NAME" in refused.err
    for words in (
        ("own", tmp_path / "none"),
        ("own", tmp_path),
        ("own", "/dev/zero"),
        ("bad name", tmp_path / "f"),
        ("own", make_squashfs(tmp_path / "g"), "--init", "sbin/init"),
    ):
        assert banger.run("image", "register", *words).status == 2, words
    assert banger.json("image", "list") == []


def test_the_catalogue_and_slips(banger: Installation, tmp_path: Path) -> None:
    """H6, C7: what is known by name, whether it is here, and what a wrong name was meant for."""
    known = banger.json("image", "catalog")
    assert [image["name"] for image in known][:2] == ["debian-bookworm", "debian-trixie"]
    assert [image["digest"] for image in known] == [None] * len(known)
    file = make_squashfs(tmp_path / "own.img")
    digest = banger.do("image", "register", "-q", "debian-trixie", file).text
    banger.do("image", "register", "-q", "my-image", file)
    here = {image["name"]: image["digest"] for image in banger.json("image", "catalog")}
    assert (here["debian-bookworm"], here["debian-trixie"]) == (None, digest)
    names = banger.do("image", "catalog", "-q").text.splitlines()
    assert names == [image["name"] for image in known]
    table = banger.do("image", "catalog").text.splitlines()
    assert table[0].split() == ["NAME", "HOW", "HERE", "WHAT"]
    assert table[2].split()[:3] == ["debian-trixie", "build", "yes"]
    for slip, meant in (("debian-bulseye", "debian-bullseye"), ("my-imag", "my-image")):
        refused = banger.run("vm", "create", "--image", slip, status=4)
        assert f"There is no image {slip}.\n  hint: did you mean {meant}?" in refused.err
    refused = banger.run("vm", "create", "--image", "alpine", status=4)
    assert "hint: banger image pull alpine (banger image catalog" in refused.err
    assert banger.json("vm", "list") == []
