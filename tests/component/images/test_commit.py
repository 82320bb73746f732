"""A guest's root as an image: what the agent's tar becomes, and what a hostile one does not."""

from __future__ import annotations

import asyncio
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from banger.errors import BangerError, ImageInvalid, ImageUnsupported
from banger.host.files import staged_dir
from banger.host.programs import find_tool
from banger.images import commit_image, image_root, keep_root_tar, list_images
from banger.layout import Layout, layout_from_environment
from banger.model.artifacts import Image
from banger.plan.identity import UNSHARED, render_identity_files
from tests.support.tars import Member, directory, hard_link, make_tar, symlink

pytestmark = pytest.mark.skipif(find_tool("sqfstar") is None, reason="sqfstar is not installed")

BASE = Image(
    name="base",
    created_at=1.0,
    init=None,
    source="registry:x",
    env={"A": "1"},
    workdir="/srv/work",
    user="5:6",
    entrypoint=("/bin/tool",),
    cmd=("--serve",),
    labels={"team": "x"},
    stop_signal="SIGINT",
    packages={"old": "1"},
    digest="0" * 64,
    size_bytes=1,
    root="root.squashfs",
    root_sha256="0" * 64,
)


@pytest.fixture
def layout(private_environ: dict[str, str]) -> Layout:
    return layout_from_environment(private_environ)


def commit(layout: Layout, sent: bytes, *, limit_bytes: int = 2**20) -> Image:
    """Make an image of what a guest has sent, in the agent's uneven pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(sent), 32749):
            yield sent[start : start + 32749]

    async def make() -> Image:
        with staged_dir(layout.staging, prefix="image") as staged:
            await keep_root_tar(staged, pieces(), limit_bytes=limit_bytes, progress=ignore)
            return await commit_image(
                layout,
                staged,
                BASE,
                name="made",
                source="vm:box",
                hidden=UNSHARED,
                stores=["/var/lib/docker"],
                progress=ignore,
                now=2.0,
            )

    return asyncio.run(make())


def ignore(stage: str, done: int | None = None, total: int | None = None) -> None:
    assert stage


def list_names(root: Path) -> set[str]:
    argv = ["unsquashfs", "-l", "-d", "", str(root)]
    said = subprocess.run(argv, check=True, capture_output=True).stdout
    return set(said.decode().splitlines()[1:])


def test_the_image_is_run_as_its_base_is(layout: Layout) -> None:
    """A9, F2: all but name, time and source is the base's; only the root lies in the store."""
    image = commit(
        layout,
        make_tar(
            directory("./", 0o711, uid=7, gid=7),
            Member("./own", b"own", uid=7, gid=7),
            hard_link("./same", "./own"),
            # A guest's file of this name does not make its root an archive of `docker save`.
            Member("./manifest.json", b"{}"),
        ),
    )
    assert (image.name, image.source, image.created_at) == ("made", "vm:box", 2.0)
    kept = ("env", "workdir", "user", "entrypoint", "cmd", "labels", "stop_signal", "init")
    assert [getattr(image, key) for key in kept] == [getattr(BASE, key) for key in kept]
    assert image.packages == {}
    assert list_images(layout) == [image]
    files = sorted(path.name for path in image_root(layout, image).parent.iterdir())
    assert files == ["manifest.json", "root.squashfs"]
    names = list_names(image_root(layout, image))
    assert names >= {"/own", "/same", "/manifest.json", "/srv/work"}


def test_what_makes_a_guest_itself_is_left_out(layout: Layout) -> None:
    """D2, D6: every file of the identity, also where the guest has made links of the way to it."""
    given = render_identity_files(
        hostname="box", machine_id="0" * 32, nameservers=(), host_key=b"", host_key_public=b""
    )
    ours = {file.path for file in given}
    assert ours <= {f"/{path}" for path in UNSHARED}
    members = [Member(f".{path}", b"secret") for path in sorted(ours)]
    members += [
        Member("./etc/ssh/ssh_host_rsa_key", b"secret"),
        Member("./etc/ssh/sshd_config", b"kept"),
        directory("./data/systemd"),
        Member("./data/systemd/random-seed", b"secret"),
        Member("./data/systemd/other", b"kept"),
        directory("./var"),
        symlink("./var/lib", "/data"),
    ]
    names = list_names(image_root(layout, commit(layout, make_tar(directory("./"), *members))))
    assert not names & (ours | {"/etc/ssh/ssh_host_rsa_key", "/data/systemd/random-seed"})
    assert names >= {"/etc/ssh/sshd_config", "/data/systemd/other"}


WHITEOUT = {"kind": tarfile.CHRTYPE}
"""With the numbers 0,0."""


def test_a_container_store_is_kept_as_it_is(layout: Layout) -> None:
    """F2: the overlays in it are the guest's own; its root's overlay does not show them."""
    opaque = {"trusted.overlay.opaque": b"y"}
    image = commit(
        layout,
        make_tar(
            directory("./var/lib/docker/overlay2/upper/d", xattrs=opaque),
            Member("./var/lib/docker/overlay2/upper/gone", **WHITEOUT),
        ),
    )
    argv = ["unsquashfs", "-lln", "-d", "", str(image_root(layout, image)), "var/lib/docker"]
    said = subprocess.run(argv, check=True, capture_output=True).stdout.decode()
    (whiteout,) = (line for line in said.splitlines() if line.endswith("/upper/gone"))
    assert whiteout.startswith("c")


WHOLE = make_tar(directory("./"), Member("./f", bytes(4096)))
HOSTILE: dict[str, tuple[bytes, type[BangerError], str]] = {
    "leaves": (make_tar(Member("../x")), ImageInvalid, "could escape the root"),
    "cut": (WHOLE[:1500], ImageInvalid, "ends"),
    "nothing": (b"", ImageInvalid, "empty"),
    "noise": (bytes(range(256)) * 8, ImageInvalid, "not a tar"),
    "endless": (WHOLE + bytes(2**20), ImageInvalid, "more than 0 GiB"),
    "overlay": (
        make_tar(Member("./f", xattrs={"trusted.overlay.opaque": b"y"})),
        ImageUnsupported,
        "overlayfs",
    ),
    "overlay by a link": (
        make_tar(symlink("./var/lib/docker", "/etc"), Member("./var/lib/docker/f", **WHITEOUT)),
        ImageUnsupported,
        "'etc/f' in a layer is an overlayfs whiteout",
    ),
    "overlay by a hard link": (
        make_tar(Member("./var/lib/docker/f", **WHITEOUT), hard_link("./f", "./var/lib/docker/f")),
        ImageUnsupported,
        "'f' in a layer is an overlayfs whiteout",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_guest_gets_no_image(layout: Layout, case: str) -> None:
    """E2, F1, A9: what the agent sends is as foreign as a layer, and no longer than can be."""
    sent, error, fact = HOSTILE[case]
    with pytest.raises(error, match=fact):
        commit(layout, sent)
    assert list_images(layout) == []
    assert list(layout.staging.iterdir()) == []
