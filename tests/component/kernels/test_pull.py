"""Pulling a real kernel from the distribution's archive, as an ordinary user.

One download for the module; every test works on a copy of what it gave.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from banger.errors import (
    HostNotReady,
    KernelNotFound,
    KernelUnfit,
    ToolFailed,
    ToolMissing,
)
from banger.host.mmdebstrap import require_mmdebstrap
from banger.host.shelf import hash_file
from banger.kernels import (
    KERNELS,
    PackagedKernel,
    find_kernel,
    get_kernel,
    kernel_dir,
    list_kernels,
    pull_kernel,
    remove_kernel,
)
from banger.kernels.elf import MACHINES, read_machine
from banger.layout import Layout
from banger.model.artifacts import Kernel

pytestmark = pytest.mark.timeout(600)

NAME = "debian-cloud"


class Puller:
    """Pulls into one layout and keeps the stages of the last pull."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(
            config=root / "c", data=root / "d", state=root / "s", cache=root / "k", runtime=root
        )
        self.agent = root / "agent"
        self.agent.write_bytes(b"agent one")
        self.stages: list[str] = []

    def pull(self, *, name: str = NAME, force: bool = False) -> Kernel:
        self.stages.clear()
        return asyncio.run(
            pull_kernel(
                self.layout,
                name,
                agent=self.agent,
                agent_version="1",
                force=force,
                progress=lambda stage, done, total: self.stages.append(stage),
                now=12.0,
            )
        )

    @property
    def downloaded(self) -> bool:
        return "fetching the kernel package" in self.stages

    def staged(self) -> list[Path]:
        return list(self.layout.staging.iterdir()) if self.layout.staging.exists() else []


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> Puller:
    try:
        require_mmdebstrap()
    except HostNotReady as error:
        pytest.skip(str(error))
    puller = Puller(tmp_path_factory.mktemp("kernels"))
    puller.pull()
    assert puller.downloaded
    return puller


@pytest.fixture
def puller(downloaded: Puller, tmp_path: Path) -> Puller:
    shutil.copytree(downloaded.layout.data, tmp_path / "d")
    return Puller(tmp_path)


def test_the_directory_holds_what_the_manifest_says(downloaded: Puller) -> None:
    kernel = get_kernel(downloaded.layout, NAME)
    directory = kernel_dir(downloaded.layout, kernel)
    files = {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}
    assert files == {*kernel.hashes, "manifest.json"}
    assert all(hash_file(directory / n) == h for n, h in kernel.hashes.items())
    if kernel.arch == "x86_64":
        vmlinux = (directory / kernel.vmlinux).read_bytes()
        assert read_machine(vmlinux) == MACHINES["x86_64"]
        assert kernel.version.encode() in vmlinux
    assert "CONFIG_EXT4_FS=y" in (directory / kernel.config).read_text()
    assert {"virtio_blk.ko", "overlay.ko", "squashfs.ko"} <= set(kernel.modules)
    assert kernel.modules.index("virtio.ko") < kernel.modules.index("virtio_blk.ko")
    assert directory.stat().st_mode & 0o077 == 0
    assert downloaded.staged() == []


def test_a_second_pull_does_nothing(puller: Puller) -> None:
    """C3: and its time of making stays."""
    first = get_kernel(puller.layout, NAME)
    assert puller.pull() == first
    assert puller.stages == []
    assert [k.digest for k in list_kernels(puller.layout)] == [first.digest]


def test_a_new_agent_needs_no_download_and_leaves_the_old_kernel(puller: Puller) -> None:
    """A7: a VM that uses the old one is not disturbed."""
    old = get_kernel(puller.layout, NAME)
    before = (kernel_dir(puller.layout, old) / old.initramfs).read_bytes()
    puller.agent.write_bytes(b"agent two")
    new = puller.pull()
    assert not puller.downloaded
    assert new.digest != old.digest
    assert (kernel_dir(puller.layout, old) / old.initramfs).read_bytes() == before
    assert b"agent two" in (kernel_dir(puller.layout, new) / new.initramfs).read_bytes()
    same = [n for n in new.hashes if n != new.initramfs]
    assert all(new.hashes[n] == old.hashes[n] for n in same)
    assert find_kernel(puller.layout, NAME) == new
    remove_kernel(puller.layout, old)
    assert (kernel_dir(puller.layout, new) / new.bzimage).stat().st_size > 1_000_000
    assert puller.pull() == new


def test_an_altered_part_is_not_carried_on(puller: Puller) -> None:
    """F3."""
    kernel = get_kernel(puller.layout, NAME)
    path = kernel_dir(puller.layout, kernel) / "modules/virtio.ko"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    puller.agent.write_bytes(b"agent three")
    repaired = puller.pull()
    assert puller.downloaded
    assert (kernel_dir(puller.layout, repaired) / "modules/virtio.ko").read_bytes() == content


def test_force_repairs_what_is_damaged_under_the_same_digest(puller: Puller) -> None:
    """F3: the same package gives the same digest, so the damaged one must make way."""
    kernel = get_kernel(puller.layout, NAME)
    path = kernel_dir(puller.layout, kernel) / kernel.vmlinux
    content = path.read_bytes()
    path.write_bytes(b"")
    again = puller.pull(force=True)
    assert puller.downloaded
    assert again.digest == kernel.digest
    assert path.read_bytes() == content
    assert puller.staged() == []


def test_unknown_names_missing_agents_and_packages(
    puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KernelNotFound, match=NAME):
        puller.pull(name="no-such")
    arch = os.uname().machine
    monkeypatch.setitem(
        KERNELS, "gone", PackagedKernel("gone", "bookworm", {arch: "linux-image-no-such"})
    )
    with pytest.raises(ToolFailed) as caught:
        puller.pull(name="gone")
    assert "linux-image-no-such" in (caught.value.details or "")
    monkeypatch.setitem(KERNELS, "jq", PackagedKernel("jq", "bookworm", {arch: "netbase"}))
    with pytest.raises(KernelUnfit, match="no kernel and no configuration and no modules"):
        puller.pull(name="jq")
    puller.agent.unlink()
    with pytest.raises(ToolMissing, match="agent"):
        puller.pull()
    assert puller.staged() == []
    assert list_kernels(puller.layout)[0].name == NAME


def test_a_cancelled_pull_leaves_nothing(
    downloaded: Puller, tmp_path: Path, count_bootstraps: Callable[[], int]
) -> None:
    """C5, H3: the programs are gone, and so is what they wrote."""
    puller = Puller(tmp_path)

    async def scenario() -> None:
        begun = asyncio.Event()
        task = asyncio.ensure_future(
            pull_kernel(
                puller.layout,
                NAME,
                agent=puller.agent,
                agent_version="1",
                progress=lambda stage, done, total: (
                    begun.set() if stage == "extracting archives" else None
                ),
                now=1.0,
            )
        )
        await asyncio.wait_for(begun.wait(), 100)
        assert count_bootstraps() > 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert count_bootstraps() == 0
    assert puller.staged() == []
    assert list_kernels(puller.layout) == []


@pytest.fixture
def count_bootstraps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], int]]:
    """A function that counts the work directories of mmdebstrap and the processes in them."""
    work = Path(os.environ.get("TMPDIR", "/var/tmp")) / f"w{os.getpid()}"
    work.mkdir(mode=0o711)
    monkeypatch.setenv("TMPDIR", str(work))

    def count() -> int:
        processes = 0
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                processes += str(work).encode() in environ.read_bytes() and (
                    environ.parent.name != str(os.getpid())
                )
            except OSError:
                continue
        return processes + len(list(work.iterdir()))

    yield count
    work.rmdir()
