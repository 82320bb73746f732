"""`image import` through the real command line and daemon: every form, every way in."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zstandard

from banger.host.programs import find_tool
from tests.support.installations import Installation
from tests.support.tars import (
    Member,
    directory,
    docker_archive,
    docker_v1_archive,
    hard_link,
    image_config,
    make_tar,
    oci_files,
    symlink,
    write_files,
)

pytestmark = pytest.mark.skipif(find_tool("sqfstar") is None, reason="sqfstar is not installed")

LOWER = make_tar(
    directory("./", 0o751, uid=5, gid=6, mtime=86400),
    Member("bin/tool", b"#!", mode=0o6755, uid=5, gid=6, mtime=4_000_000_000),
    Member("old/x"),
    Member(b"raw/\xff\xfe", b"raw"),
)
UPPER = make_tar(Member(".wh.old"), hard_link("bin/same", "bin/tool"), symlink("l", "bin/tool"))
CONFIG = image_config(
    [LOWER, UPPER],
    Env=["A=1", "B=x y"],
    WorkingDir="/srv/app",
    User="5:6",
    Entrypoint=["/bin/tool"],
    Cmd=["--serve"],
    Labels={"team": "x"},
    StopSignal="SIGINT",
)
DOCKER = docker_archive([LOWER, UPPER], config=CONFIG)
KIND = "application/vnd.oci.image.layer.v1.tar"
OCI = oci_files(
    [(f"{KIND}+gzip", gzip.compress(LOWER)), (f"{KIND}+zstd", zstandard.compress(UPPER))], CONFIG
)


def tar_of(files: dict[str, bytes]) -> bytes:
    return make_tar(*(Member(f"./{name}", content) for name, content in files.items()))


def list_root(root: Path) -> dict[str, tuple[str, str]]:
    """Return name to mode and owner, as unsquashfs lists them."""
    argv = ["unsquashfs", "-UTC", "-llnumeric", "-d", "", str(root)]
    said = subprocess.run(argv, check=True, capture_output=True).stdout.decode("latin-1")
    shape = re.compile(r"(\S{10}) +(\d+/\d+) +\d+ \d{4}-\d\d-\d\d \d\d:\d\d ?(/.*?)?(?: -> .*)?")
    lines = (shape.fullmatch(line) for line in said.splitlines())
    return {line[3] or "/": (line[1], line[2]) for line in lines if line}


def require_nothing_left(banger: Installation) -> None:
    assert banger.json("image", "list") == []
    assert list(banger.layout.staging.iterdir()) == []


def test_every_form_gives_the_same_image(banger: Installation, tmp_path: Path) -> None:
    """F2: the record says what the configuration says, the root is what the layers say."""
    layout = write_files(tmp_path / "layout", OCI)
    forms = {
        "docker.tar": DOCKER,
        "docker.tar.gz": gzip.compress(DOCKER),
        "oci.tar": tar_of(OCI),
        "oci.tar.zst": zstandard.compress(tar_of(OCI)),
    }
    write_files(tmp_path, forms)
    found = {banger.do("image", "import", "-q", tmp_path / name, "same").text for name in forms}
    found.add(banger.do("image", "import", "-q", layout, "same").text)
    assert len(found) == 1
    image = banger.json("image", "show", "same")
    assert image["digest"] in found
    assert image["env"] == {"A": "1", "B": "x y"}
    assert (image["workdir"], image["user"]) == ("/srv/app", "5:6")
    assert (image["entrypoint"], image["cmd"]) == (["/bin/tool"], ["--serve"])
    assert (image["labels"], image["stop_signal"]) == ({"team": "x"}, "SIGINT")
    assert image["init"] is None
    root = banger.layout.images / image["digest"] / "root.squashfs"
    assert list_root(root) == {
        "/": ("drwxr-x--x", "5/6"),
        "/bin": ("drwxr-xr-x", "0/0"),
        "/bin/same": ("-rwsr-sr-x", "5/6"),
        "/bin/tool": ("-rwsr-sr-x", "5/6"),
        "/l": ("lrwxrwxrwx", "0/0"),
        "/raw": ("drwxr-xr-x", "0/0"),
        "/raw/\xff\xfe": ("-rw-r--r--", "0/0"),
        "/srv": ("drwxr-xr-x", "0/0"),
        "/srv/app": ("drwxr-xr-x", "0/0"),
    }
    read = subprocess.run(["unsquashfs", "-cat", root, "bin/same"], check=True, capture_output=True)
    assert read.stdout == b"#!"


def test_names(banger: Installation, tmp_path: Path) -> None:
    """The one that is given, else the archive's, else the file's."""
    write_files(tmp_path, {"my-root.tar.gz": gzip.compress(LOWER), "d.tar": DOCKER})
    banger.do("image", "import", "-q", tmp_path / "d.tar")
    assert banger.json("image", "show", "made:1")["source"] == "file:d.tar"
    banger.do("image", "import", "-q", tmp_path / "my-root.tar.gz")
    image = banger.json("image", "show", "my-root")
    assert (image["env"], image["user"], image["workdir"]) == ({}, "", "")


def test_pipes(banger: Installation, tmp_path: Path) -> None:
    """A file or a pipe as stdin; a pipe of the shell by its name."""
    path = tmp_path / "d.tar"
    path.write_bytes(DOCKER)
    program = [sys.executable, "-m", "banger", "image", "import", "-q"]
    line = '"$@" - a <"$FILE" && cat "$FILE" | "$@" - b && "$@" <(cat "$FILE") c'
    done = subprocess.run(
        ["bash", "-c", line, "bash", *program],
        env={**banger.environ, "FILE": str(path)},
        capture_output=True,
        check=True,
        timeout=100,
    )
    assert len(set(done.stdout.split())) == 1
    assert [banger.json("image", "show", name)["name"] for name in "abc"] == ["a", "b", "c"]


def test_the_oldest_archives_of_docker(banger: Installation, tmp_path: Path) -> None:
    """F1, F2: layers by their parents, empty ones among them, and the configuration of the top."""
    empty = make_tar()
    v1 = docker_v1_archive(
        [LOWER, empty, UPPER], Env=["A=1"], WorkingDir="srv", Entrypoint=["/bin/tool"]
    )
    write_files(tmp_path, {"v1.tar": v1, "v1.tgz": gzip.compress(v1)})
    banger.do("image", "import", "-q", tmp_path / "v1.tar")
    image = banger.json("image", "show", "made:1")
    assert (image["env"], image["workdir"]) == ({"A": "1"}, "/srv")
    assert image["entrypoint"] == ["/bin/tool"]
    root = list_root(banger.layout.images / image["digest"] / "root.squashfs")
    assert "/bin/same" in root and "/srv" in root and "/old" not in root
    packed = banger.do("image", "import", "-q", tmp_path / "v1.tgz", "packed")
    assert packed.text == image["digest"]


def test_an_image_without_a_program_is_told(banger: Installation, tmp_path: Path) -> None:
    """H6: data alone is kept, and said to be it."""
    (tmp_path / "data.tar").write_bytes(make_tar(Member("etc/motd", b"hello"), directory("bin")))
    ended = banger.do("image", "import", tmp_path / "data.tar")
    assert "data contains no programs" in ended.err
    assert banger.json("image", "show", "data")["has_programs"] is False
    (tmp_path / "tool.tar").write_bytes(LOWER)
    assert "no program" not in banger.do("image", "import", tmp_path / "tool.tar").err


BAD_LAYER = docker_archive([LOWER, make_tar(Member("../x"))])
REFUSED: dict[str, tuple[dict[str, bytes], int, str]] = {
    "escape": ({"a": BAD_LAYER}, 1, "could escape the root"),
    "cut": ({"a": DOCKER[:3000]}, 1, "ends"),
    "cut gzip": ({"a": gzip.compress(DOCKER)[:-20]}, 1, "too early"),
    "empty": ({"a": b""}, 1, "empty"),
    "no layers": ({"a": make_tar()}, 1, "empty"),
    "text": ({"a": b"hello " * 200}, 1, "/text/a is not an image archive"),
    "short text": ({"a": b"hello"}, 1, "/short-text/a is not an image archive"),
    "zeros": ({"a": bytes(512 * 3)}, 1, "empty"),
    "packed text": ({"a": gzip.compress(b"hello")}, 1, "a is not an image archive"),
    "squashfs": ({"a": b"hsqs" + bytes(4096)}, 1, "is a squashfs"),
    "no proc": ({"a": make_tar(Member("proc", b"x"))}, 1, "/proc in the image is not a directory"),
    "linked dev": ({"a": make_tar(symlink("dev", "/etc"))}, 1, "/dev in the image"),
    "v1 of nothing": ({"a": docker_v1_archive([LOWER], tag=None)}, 1, "must hold one image"),
    "v1 without its parent": (
        {"a": make_tar(
            Member("repositories", json.dumps({"a": {"b": "1" * 64}}).encode()),
            Member(f"{1:064}/layer.tar", LOWER), Member("1" * 64 + "/layer.tar", LOWER),
            Member("1" * 64 + "/json", json.dumps({"parent": "../../etc"}).encode()))},
        1,
        "could escape the root",
    ),
    "v1 in a circle": (
        {"a": make_tar(
            Member("repositories", json.dumps({"a": {"b": "1" * 64}}).encode()),
            Member("1" * 64 + "/layer.tar", LOWER),
            Member("1" * 64 + "/json", json.dumps({"parent": "1" * 64}).encode()))},
        1,
        "more than 512 layers",
    ),
    "wrong diff_id": ({"a": docker_archive([UPPER, LOWER], config=CONFIG)}, 1, "not what the"),
    "missing layer": ({"a": docker_archive([], config=CONFIG)}, 1, "disagree about the layers"),
    "other machine": (
        {"a": docker_archive([LOWER], config=image_config([LOWER], architecture="s390x"))},
        1,
        "linux/s390x",
    ),
    "no json": ({"a": make_tar(Member("manifest.json", b"{"))}, 1, "manifest.json cannot be read"),
    "two images": (
        {"a": make_tar(Member("manifest.json", json.dumps(
            [{"Config": "c", "RepoTags": [f"t:{n}"], "Layers": []} for n in (1, 2)]).encode()))},
        1,
        "t:2",
    ),
    "escaping names": (
        {"a": make_tar(Member("manifest.json", json.dumps(
            [{"Config": "../../etc/passwd", "Layers": []}]).encode()))},
        1,
        "could escape the root",
    ),
    "layout without image": ({"a/index.json": b'{"schemaVersion":2,"manifests":[]}'}, 1, "none"),
    "directory of something": ({"a/file": b"x"}, 1, "not an image"),
    "wrong manifest": (
        {f"a/{n}": c[:-1] + b" " if b"rootfs" in c else c for n, c in OCI.items()},
        1,
        "does not match its digest",
    ),
    "wrong size": (
        {f"a/{n}": c + b"\0" if c[:2] == b"\x1f\x8b" else c for n, c in OCI.items()},
        1,
        "bytes, not",
    ),
}  # fmt: skip


def test_refusals_are_typed_and_leave_nothing(banger: Installation, tmp_path: Path) -> None:
    """F1, A9, H6: one sentence each, and neither an image nor a file stays."""
    for case, (files, status, fact) in REFUSED.items():
        folder = write_files(tmp_path / case.replace(" ", "-"), files)
        ended = banger.run("image", "import", folder / "a", "name")
        assert ended.status == status, (case, ended.err)
        assert fact in ended.err, (case, ended.err)
        assert "bug" not in ended.err
    for words, status in (
        (("/nonexistent/x", "name"), 2),
        (("/dev/zero", "name"), 2),
        ((tmp_path / "escape/a", "bad name"), 2),
    ):
        assert banger.run("image", "import", *words).status == status
    require_nothing_left(banger)


def test_an_interrupted_import_leaves_nothing(banger: Installation, tmp_path: Path) -> None:
    """C5: the reader hangs on a pipe that nobody writes to; Ctrl-C ends it at once."""
    reading, writing = os.pipe()
    client = banger.start("image", "import", "-", "name", stdin=reading)
    try:
        os.write(writing, DOCKER[:1024])
        deadline = time.monotonic() + 60
        while not find_readers(banger) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert find_readers(banger)
        client.send_signal(signal.SIGINT)
        assert client.wait(timeout=60) == 130
    finally:
        os.close(writing)
        os.close(reading)
        client.kill()
        client.communicate()
    while find_readers(banger) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert find_readers(banger) == []
    require_nothing_left(banger)


def find_readers(banger: Installation) -> list[str]:
    """Return the programs that read layers for this installation."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_bytes()
            environ = (folder / "environ").read_bytes()
            ours = os.fsencode(banger.layout.runtime.parent) in environ
            if ours and b"banger.images.layers" in line:
                found.append(line.decode())
    return found
