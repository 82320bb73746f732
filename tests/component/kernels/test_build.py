"""Building a kernel: real make, and a source tree that is small enough for every run.

`Makefile` below answers to the two targets that are used of a kernel's. What the real ones say is
seen where BANGER_TEST_KERNEL_SOURCE names a real tree: a configuration takes seconds, but the
source is more than CI should fetch each time. `make test-kernel` builds and boots.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.errors import HostNotReady, InvalidRequest, KernelUnfit, ToolFailed
from banger.host.identity import identify
from banger.host.tools import Tool
from banger.kernels import KernelSource, Order, build_kernel, building, kernel_dir, list_kernels
from banger.kernels.building import configure
from banger.kernels.smallconfig import load_options
from banger.layout import Layout
from banger.model.artifacts import Kernel
from banger.vmm.table import find_kernel_obstacle
from tests.support.installations import wait_for
from tests.unit.kernels.samples import VERSION, config, insides

SOURCE = "BANGER_TEST_KERNEL_SOURCE"

MAKEFILE = """
allnoconfig:
	cp $(KCONFIG_ALLCONFIG) $(O)/.config
	@test ! -e refused || sed -i -f refused $(O)/.config
vmlinux:
	@mkdir $(O)/kernel
	@test ! -e broken || { echo "a.c:1: error: it is broken" >&2; exit 2; }
	@echo "  CC      a.o"
	@test ! -e slow || { echo $$$$ > pid; echo "  CC      b.o"; exec sleep 600; }
	@echo "$$KBUILD_BUILD_USER $$KBUILD_BUILD_TIMESTAMP" > builder
	ld -r -b binary -o $(O)/vmlinux built
"""


class Builder:
    """Builds into one layout, of one small tree."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(
            config=root / "c", data=root / "d", state=root / "s", cache=root / "k", runtime=root
        )
        self.agent = root / "agent"
        self.agent.write_bytes(b"agent")
        self.tree = root / "linux"
        self.tree.mkdir()
        (self.tree / "Makefile").write_text(MAKEFILE)
        (self.tree / "built").write_bytes(insides(carries=config() + "CONFIG_PVH=y\n"))
        self.events: list[tuple[str, int | None]] = []
        self.on_progress: Callable[[str, int | None], None] = lambda stage, done: None

    def progress(self, stage: str, done: int | None, total: int | None) -> None:
        self.events.append((stage, done))
        self.on_progress(stage, done)

    async def build_soon(self, name: str = "mine", **source: Path) -> Kernel:
        order = Order(
            layout=self.layout,
            name=name,
            agent=self.agent,
            agent_version="1",
            progress=self.progress,
            now=12.0,
            find_obstacle=find_kernel_obstacle,
        )
        return await build_kernel(order, KernelSource(**{"path": self.tree, **source}))

    def build(self, name: str = "mine", **source: Path) -> Kernel:
        return asyncio.run(self.build_soon(name, **source))

    def left(self) -> list[Path]:
        return [*self.layout.staging.iterdir()] if self.layout.staging.exists() else []


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    monkeypatch.setattr(building, "KERNEL_BUILD", ())  # a real kernel needs more than make
    return Builder(tmp_path)


def test_a_source_tree_becomes_a_kernel(builder: Builder) -> None:
    made = builder.build()
    assert (made.version, made.modules, made.tree) == (VERSION, (), None)
    assert made.bzimage == made.vmlinux == "vmlinux"
    assert made.source == f"build:{builder.tree}"
    kept = (kernel_dir(builder.layout, made) / made.vmlinux).read_bytes()
    assert (builder.tree / "built").read_bytes() in kept
    assert b"_binary_built_start" not in kept  # it has lost its symbols
    assert (builder.tree / "builder").read_text() == "banger Mon Jan  1 00:00:00 UTC 2024\n"
    stages = list(dict.fromkeys(stage for stage, _ in builder.events))
    assert stages[:2] == ["configuring the kernel", "compiling the kernel"]
    assert ("compiling the kernel", 2) in builder.events  # lines that make has said
    assert builder.left() == []


def test_a_tar_of_a_source_tree(builder: Builder, tmp_path: Path) -> None:
    tar = tmp_path / "linux.tar.gz"
    subprocess.run(["tar", "-C", str(tmp_path), "-czf", str(tar), "linux"], check=True)
    assert builder.build(path=tar).source == f"build:{tar}"
    assert not (builder.tree / "builder").exists()
    assert builder.left() == []


def test_options_that_the_source_does_not_take_are_named(builder: Builder, tmp_path: Path) -> None:
    """H6: by name, and before anything is compiled; also those of the user's own."""
    (builder.tree / "refused").write_text("/^CONFIG_VIRTIO_MMIO=/d\ns/^CONFIG_XFS_FS=y/# off/\n")
    more = tmp_path / "more"
    more.write_text("CONFIG_XFS_FS=y\n")
    with pytest.raises(KernelUnfit, match="does not accept 2 of the options") as caught:
        builder.build(options=more)
    assert (caught.value.details or "").splitlines() == ["CONFIG_VIRTIO_MMIO=y", "CONFIG_XFS_FS=y"]
    assert not (builder.tree / "builder").exists()
    more.write_text("XFS\n")
    with pytest.raises(InvalidRequest, match=f"{more}, line 1"):
        builder.build(options=more)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        builder.build(options=tmp_path / "gone")
    assert builder.left() == []


def test_what_does_not_compile_says_why(builder: Builder) -> None:
    (builder.tree / "broken").touch()
    with pytest.raises(ToolFailed) as caught:
        builder.build()
    assert "a.c:1: error: it is broken" in (caught.value.details or "")
    assert list_kernels(builder.layout) == []
    assert builder.left() == []


def test_what_lacks_something_is_no_kernel(builder: Builder) -> None:
    """The result is checked as every other kernel is."""
    (builder.tree / "built").write_bytes(insides(carries=config("EXT4_FS")))
    with pytest.raises(KernelUnfit, match="CONFIG_EXT4_FS is not set"):
        builder.build()
    assert builder.left() == []


def test_a_cancelled_build_ends_its_compilers(builder: Builder) -> None:
    """C5, H3; and while they run they have what others leave."""
    (builder.tree / "slow").touch()
    pid = builder.tree / "pid"

    async def work() -> None:
        compiles = asyncio.Event()
        # The third line: make names its directory first.
        builder.on_progress = lambda _, done: compiles.set() if done == 3 else None
        task = asyncio.ensure_future(builder.build_soon())
        await asyncio.wait_for(compiles.wait(), 60)
        compiler = int(pid.read_text())
        assert identify(compiler) is not None
        assert os.getpriority(os.PRIO_PROCESS, compiler) == 19
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    # Killed; its parent is gone, so it goes when process 1 has taken note.
    wait_for(lambda: identify(int(pid.read_text())) is None, "the compiler's end")
    assert builder.left() == []


def test_all_that_the_host_lacks_is_named_at_once(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H8."""
    lacking = tuple(Tool(f"no-such-{n}", "is not here", (f"p-{n}",) * 5) for n in (1, 2))
    monkeypatch.setattr(building, "KERNEL_BUILD", lacking)
    with pytest.raises(HostNotReady, match=r"lacks: no-such-1, no-such-2"):
        builder.build()
    with pytest.raises(InvalidRequest, match="reserved for a kernel that can be pulled"):
        builder.build("debian-cloud")
    assert builder.left() == []


@pytest.mark.skipif(
    "BANGER_TEST_KERNEL_SOURCE" not in os.environ, reason="no source of a kernel here"
)
def test_a_real_source_takes_every_option(tmp_path: Path) -> None:
    """Seen with Linux 6.1 and 6.12. The source is 140 MB to fetch and 1.4 GB to unpack."""
    source = Path(os.environ[SOURCE])
    asyncio.run(configure(source, tmp_path, load_options("x86_64")))
    assert "CONFIG_MODULES=y" not in (tmp_path / ".config").read_text()
