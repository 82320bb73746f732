"""Building a real image from the distribution's archive, as an ordinary user.

The recipe is as small as a Debian gets. It is built once, with a copy of the tar that its root is
made from, which is what the result is compared with. In three runs of four what mmdebstrap gives
is a kept one (`tests.support.packages`).
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from banger.artifacts.store import hash_file
from banger.errors import HostNotReady, ImageNotFound, RecipeInvalid, ToolFailed
from banger.host.mmdebstrap import Bootstrap, bootstrap, require_mmdebstrap
from banger.images import (
    Recipe,
    build_image,
    delete_image,
    find_image,
    get_image,
    image_root,
    is_intact,
    list_images,
    require_image_tools,
)
from banger.images.plan import EPOCH, plan_sqfstar
from banger.images.recipe import RecipeFile
from banger.images.rootinode import RootInode, set_root_inode
from banger.layout import Layout
from banger.model.artifacts import Image
from tests.support.packages import keep_packages
from tests.support.sampling import choose

pytestmark = pytest.mark.timeout(600)
FRESH = True in choose((False, False, False, True), 1)

# libcap2-bin makes ping's installation set a file capability instead of the setuid bit.
TINY = Recipe(
    name="tiny",
    suite="bookworm",
    variant="essential",
    packages=("passwd", "libcap2-bin", "iputils-ping"),
    drop=("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*"),
    env={"LANG": "C.UTF-8"},
    files=(RecipeFile(path="/etc/deep/example", mode=0o4750, content="text"),),
)


def make_layout(root: Path) -> Layout:
    return Layout(
        config=root / "c", data=root / "d", state=root / "s", cache=root / "k", runtime=root
    )


@dataclass
class Built:
    layout: Layout
    image: Image
    progress: list[tuple[str, int | None]]
    root: Path
    archive: Path
    """The tar stream that the root was made from."""


def test_apt_is_told_the_proxies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its environment, which a program in mmdebstrap's place prints."""
    try:
        require_mmdebstrap()
    except HostNotReady as error:
        pytest.skip(str(error))
    (tmp_path / "mmdebstrap").write_text("#!/bin/sh\nenv\n")
    (tmp_path / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    request = Bootstrap(
        suite="none", variant="extract", packages=(), proxies={"http_proxy": "http://p.test:1"}
    )

    def consume(source: int) -> bytes:
        return b"".join(iter(lambda: os.read(source, 65536), b""))

    said = asyncio.run(bootstrap(request, consume=consume, on_stage=lambda _: None))
    assert b"http_proxy=http://p.test:1\n" in said


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    try:
        require_image_tools()
    except HostNotReady as error:
        pytest.skip(str(error))
    layout = make_layout(tmp_path_factory.mktemp("images"))
    programs = tmp_path_factory.mktemp("programs")
    archive = programs / "root.tar"
    copying = f'#!/bin/sh\ntee -p {archive} | {shutil.which("sqfstar")} "$@"\n'
    (programs / "sqfstar").write_text(copying)
    (programs / "sqfstar").chmod(0o755)
    progress: list[tuple[str, int | None]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(programs), prepend=":")
        keep_packages(patch, programs, of=TINY, source="src/banger/images", fresh=FRESH)
        image = asyncio.run(
            build_image(
                layout,
                TINY,
                progress=lambda stage, done, _: progress.append((stage, done)),
                now=3.0,
            )
        )
    return Built(layout, image, progress, image_root(layout, image), archive)


def list_root(root: Path) -> dict[str, tuple[str, str, str]]:
    """Return name to mode, owner, size or device, as unsquashfs lists them."""
    argv = ["unsquashfs", "-UTC", "-llnumeric", "-d", "", str(root)]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    shape = re.compile(
        r"(\S{10}) +(\d+/\d+) +(\d+, *\d+|\d+) (\d{4}-\d\d-\d\d \d\d:\d\d) ?(/.*?)?(?: -> .*)?"
    )
    found = {}
    for line in said.splitlines():
        if match := shape.fullmatch(line):
            found[match[5] or "/"] = (match[1], match[2], re.sub(" +", "", match[3]))
    return found


def test_the_image_says_what_it_is(built: Built) -> None:
    assert find_image(built.layout, "tiny") == built.image
    assert built.image.root_sha256 == hash_file(built.root)
    assert built.image.size_bytes == built.root.stat().st_size
    assert (built.image.source, built.image.init) == ("recipe:tiny", None)
    assert built.image.env == {"LANG": "C.UTF-8"}
    assert {"libc6", "bash", "iputils-ping"} <= set(built.image.packages)
    assert is_intact(built.layout, built.image)
    assert list(built.layout.staging.iterdir()) == []


def test_progress_has_stages_and_bytes(built: Built) -> None:
    """H9."""
    stages = list(dict.fromkeys(stage for stage, _ in built.progress))
    assert stages.index("extracting archives") < stages.index("writing the root")
    moved = [done for stage, done in built.progress if stage == "writing the root" and done]
    assert moved == sorted(moved)
    assert moved[-1] > built.image.size_bytes / 2


def test_the_same_recipe_gives_the_same_digest(built: Built, tmp_path: Path) -> None:
    """In every fourth run of two whole builds, the tar's programs included."""
    if FRESH:
        assert build(make_layout(tmp_path), TINY).root_sha256 == built.image.root_sha256
        return
    root = tmp_path / "root"
    with open(built.archive, "rb") as stream:
        subprocess.run(plan_sqfstar(root), stdin=stream, check=True, capture_output=True)
    set_root_inode(root, RootInode(mtime=EPOCH))
    assert hash_file(root) == built.image.root_sha256


def test_owners_modes_and_devices_are_those_of_the_tar(built: Built) -> None:
    """F2, file by file."""
    listed = list_root(built.root)
    seen = set()
    with tarfile.open(built.archive) as tar:
        for member in tar:
            name = "/" + member.name.removeprefix("./").removeprefix(".").strip("/")
            seen.add(name)
            if member.islnk():
                continue  # its mode is that of what it is linked to, which is in the tar as well
            kind = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK}
            kind |= {tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK}
            mode = stat.filemode(kind.get(member.type, stat.S_IFREG) | member.mode)
            assert listed[name][:2] == (mode, f"{member.uid}/{member.gid}"), name
            if member.isreg():
                assert listed[name][2] == str(member.size), name
            if member.ischr():
                assert listed[name][2] == f"{member.devmajor},{member.devminor}", name
    assert seen == set(listed)
    assert listed["/"][:2] == ("drwxr-xr-x", "0/0")
    assert [n for n, e in listed.items() if e[:2] == ("-rwsr-xr-x", "0/0") and n.endswith("bin/su")]
    assert listed["/etc/shadow"][:2] == ("-rw-r-----", "0/42")
    assert listed["/etc/deep/example"] == ("-rwsr-x---", "0/0", "4")


def test_file_capabilities_survive(built: Built) -> None:
    """F2: ping may open raw sockets by its capability."""
    with tarfile.open(built.archive) as tar:
        (ping,) = (member for member in tar if member.name.endswith("bin/ping"))
    key = "SCHILY.xattr.security.capability"
    value = ping.pax_headers[key].encode("utf-8", "surrogateescape")
    assert value[:4] in (b"\x01\x00\x00\x02", b"\x00\x00\x00\x02")
    content = built.root.read_bytes()
    assert b"capability" in content
    assert value in content[-65536:]


def test_nothing_of_one_machine_or_one_build_is_left(built: Built) -> None:
    """D2."""
    listed = list_root(built.root)
    assert listed["/etc/machine-id"][2] == "0"
    assert listed["/etc/fstab"][2] == "0"
    for name in ("/etc/hostname", "/etc/resolv.conf", "/var/lib/systemd/random-seed"):
        assert name not in listed
    empty = ("/etc/ssh/ssh_host_", "/var/lib/apt/lists/", "/var/cache/apt/", "/tmp/", "/var/log/")
    left = [n for n, entry in listed.items() if n.startswith(empty) and entry[0][0] == "-"]
    assert [n for n in left if not n.endswith("/lock")] == []
    with tarfile.open(built.archive) as tar:
        file = tar.extractfile("./etc/shadow")
        assert file is not None
        assert file.read().startswith(b"root:*:")


def test_an_altered_root_is_noticed(built: Built, tmp_path: Path) -> None:
    """F3: one that is cut short is not even found; a changed byte takes a read to see."""
    shutil.copytree(built.layout.data, tmp_path / "d")
    layout = make_layout(tmp_path)
    image = get_image(layout, "tiny")
    with open(image_root(layout, image), "r+b") as file:
        file.seek(5000)
        file.write(b"altered")
    assert not is_intact(layout, image)
    for size in (4096, 0):
        os.truncate(image_root(layout, image), size)
        assert find_image(layout, "tiny") is None
        assert list_images(layout) == []
    image_root(layout, image).unlink()
    assert find_image(layout, "tiny") is None


def test_delete_removes_the_image_and_its_name(built: Built, tmp_path: Path) -> None:
    shutil.copytree(built.layout.data, tmp_path / "d")
    layout = make_layout(tmp_path)
    delete_image(layout, get_image(layout, "tiny"))
    assert list_images(layout) == []
    with pytest.raises(ImageNotFound):
        get_image(layout, "tiny")


def build(layout: Layout, recipe: Recipe) -> Image:
    return asyncio.run(build_image(layout, recipe, progress=lambda *_: None, now=1.0))


def test_failures_say_why_and_leave_nothing(built: Built, tmp_path: Path) -> None:
    """A9, H6."""
    layout = make_layout(tmp_path)
    with pytest.raises(ToolFailed) as caught:
        build(layout, Recipe(name="x", suite="no-such-suite"))
    assert "no-such-suite" in (caught.value.details or "")
    with pytest.raises(RecipeInvalid):
        build(layout, Recipe(name="x", suite="bookworm", packages=("--bad",)))
    assert list_images(layout) == []
    assert list(layout.staging.iterdir()) == []


def test_a_cancelled_build_leaves_nothing(built: Built, tmp_path: Path) -> None:
    """C5, H3: neither a program nor a file, staged or in mmdebstrap's work directory."""
    layout = make_layout(tmp_path)

    async def scenario() -> None:
        begun = asyncio.Event()
        task = asyncio.ensure_future(
            build_image(
                layout,
                TINY,
                progress=lambda stage, *_: begun.set() if "extracting" in stage else None,
                now=1.0,
            )
        )
        await asyncio.wait_for(begun.wait(), 200)
        assert count_programs(layout.staging) > 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())
    assert count_programs(layout.staging) == 0
    assert list(layout.staging.iterdir()) == []
    assert list_images(layout) == []


def count_programs(path: Path) -> int:
    """Return the number of programs with a path in their arguments: sqfstar and mmdebstrap."""
    found = 0
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += str(path).encode() in arguments.read_bytes()
        except OSError:
            continue
    return found


FULL_DISK = """
import asyncio, sys
from pathlib import Path
from banger.errors import NoSpace
from banger.host.files import staged_dir
from banger.images.build import _Pump
from banger.images.rootwriter import open_root_writer

async def main(directory, archive):
    with staged_dir(directory, prefix="image") as staged, open(archive, "rb") as file:
        async with open_root_writer(staged / "root") as writer:
            import os
            source, sink = os.pipe()
            feeder = asyncio.ensure_future(asyncio.to_thread(feed, file, sink))
            await asyncio.to_thread(_Pump(writer.sink, lambda *_: None).run, source)
            await feeder
            await writer.finish()

def feed(file, sink):
    import shutil
    with open(sink, "wb") as pipe:
        shutil.copyfileobj(file, pipe)

try:
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
except NoSpace as error:
    print("no space:", error.message, list(Path(sys.argv[1]).iterdir()))
"""


def test_a_full_file_system_is_named_and_left_clean(built: Built, tmp_path: Path) -> None:
    """A10: with a real file system that is full, mounted in a user namespace of its own."""
    full = tmp_path / "full"
    full.mkdir()
    script = 'mount -t tmpfs -o size=4m,mode=700 none "$1" && exec "$2" -c "$3" "$1" "$4"'
    arguments = [str(full), sys.executable, FULL_DISK, str(built.archive)]
    finished = subprocess.run(
        ["unshare", "-r", "-m", "sh", "-c", script, "sh", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        timeout=100,
    )
    if "Operation not permitted" in finished.stderr:
        pytest.skip("this host does not allow mounts in a user namespace")
    assert finished.stdout.startswith("no space: The file system of"), finished.stderr
    assert finished.stdout.strip().endswith("[]")
