"""What the emulated host is made of: a kernel with KVM, an image, banger, and guests' artefacts.

Images and the guests' kernel are banger's own, in the tests' cache; the rest is in `cache`.
Everything that is downloaded is downloaded here: nothing is inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import tarfile
import time
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from banger import images, kernels
from banger.engine.verbs.kernels import find_agent
from banger.host import programs
from banger.host.mmdebstrap import Bootstrap, bootstrap
from banger.kernels.contents import MODULES
from banger.kernels.initramfs import build_initramfs
from banger.kernels.modules import order_modules, parse_module, unpack_module
from banger.kernels.package import Package, take_package
from banger.kernels.parts import save_parts
from banger.layout import Layout
from banger.vmm.qemu.upgrade import find_suite
from banger.vmm.table import find_kernel_obstacle
from tests.kvm.cache import cached, content_hash, forget_unused
from tests.kvm.firecracker import PROGRAMS, ensure_firecracker, find_other
from tests.kvm.wheels import DOWNLOAD_DEADLINE_S, download, install
from tests.support.artifacts import hash_sources
from tests.support.firecracker import answers
from tests.support.installations import Installation
from tests.support.newer_qemu import ensure_newer_qemu
from tests.support.vms import DEFAULT_IMAGE, ensure_image

UID = 1000
"""Of the emulated host's ordinary user."""
KERNEL = "debian-cloud"
QEMU, BACKPORTS = "BANGER_TEST_KVM_QEMU", "backports"
"""Names the emulated host's own QEMU: a path, or that of this distribution's backports."""

GUEST_RECIPE = """\
name = "kvm-guest"
suite = "bookworm"
variant = "essential"
packages = ["git", "hostname", "iputils-ping"]
drop = ["/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*"]
"""
"""Most guests of the emulated host: without an init, since each boot is emulated twice."""

HOST_RECIPE = """\
name = "kvm-host"
suite = "bookworm"
variant = "apt"
packages = [
    "bubblewrap", "dbus-user-session", "debian-archive-keyring", "e2fsprogs", "git", "iproute2",
    "kmod", "libpam-systemd", "mmdebstrap", "mount", "nftables", "openssh-client", "passwd",
    "procps", "python3", "qemu-system-x86", "slirp4netns", "squashfs-tools", "sudo", "systemd-sysv",
    "uidmap",
]
drop = [
    "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*",
    "/usr/share/qemu/edk2-*", "/usr/share/qemu/*.img", "/usr/lib/x86_64-linux-gnu/dri/*",
]

[units]
# What waits for devices that only udev would name, and what takes emulated seconds for nothing.
mask = [
    "getty.target", "serial-getty@ttyS0.service", "e2scrub_reap.service", "modprobe@.service",
    "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount", "systemd-journal-flush.service", "apt-daily.timer",
    "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
]
"""
"""What `banger setup` would install on a host with systemd, and what checks look around with."""

HOST_MODULES = (
    *("kvm_amd", "vhost_vsock", "tun", "bridge"),
    *("nft_chain_nat", "nft_connlimit", "nft_ct", "nft_masq", "nft_meta_bridge", "nft_redir"),
    *("nft_reject_ipv4", "nft_reject_ipv6"),
)
"""Of the emulated host's kernel, besides a guest's."""
LOOPBACK = "vsock_loopback"
"""What a guest needs to reach its own vsock listeners; a check loads it."""
OTHER_FIRECRACKER = "firecracker-other"
"""The program that BANGER_TEST_FIRECRACKER names, inside."""
INSIDE = (Path(__file__).with_name("vsock.py"), Path(answers.__file__))
"""Programs that checks run inside."""


@dataclass(frozen=True, kw_only=True)
class Supplies:
    """Files on this host that the emulated one is made from."""

    bzimage: Path
    initramfs: Path
    root: Path
    site: Path
    """banger and the packages that it needs, as an installer lays them out."""
    artifacts: Path
    """A squashfs with banger's `images` and `kernels`: what guests are made of."""
    guest_image: str
    inside: Path
    """A directory of what checks run inside, and the programs that are installed there."""
    qemu: str | None
    """The QEMU of the emulated host itself; None: this host's."""


async def gather(cache: Path, layout: Layout, work: Path) -> Supplies:
    """Make what the cache lacks; `work` is the run's own directory."""
    forget_unused(cache)
    # First, since building the wheel brings the agent up to date.
    site = await install(await download(cache), work)
    with contextlib.closing(Installation(os.environ)) as banger:
        guest_image = _ensure(banger, GUEST_RECIPE, work)
        host_image = _ensure(banger, HOST_RECIPE, work)
        if DEFAULT_IMAGE not in {image["name"] for image in banger.json("image", "list")}:
            banger.do("image", "build", DEFAULT_IMAGE, deadline_s=DOWNLOAD_DEADLINE_S)
    agent, version = find_agent()
    # By digest from here on: a run with another agent may move the name at any moment.
    order = kernels.Order(
        layout=layout,
        name=KERNEL,
        agent=agent,
        agent_version=version,
        progress=lambda *_: None,
        now=time.time(),
        find_obstacle=find_kernel_obstacle,
    )
    guest_kernel = await kernels.pull_kernel(order)
    made_by = hash_sources(("src/banger/kernels",)).encode() + Path(__file__).read_bytes()
    key = content_hash(made_by, agent.read_bytes())
    kernel = await cached(cache, f"kvm-kernel-{key}", _make_kernel)
    (work / "inside").mkdir()
    for path in (*INSIDE, kernel / f"{LOOPBACK}.ko"):
        shutil.copy(path, work / "inside")
    await _take_firecracker(cache, work / "inside")
    return Supplies(
        bzimage=kernel / "bzimage",
        initramfs=kernel / "initramfs",
        root=images.image_root(layout, images.get_image(layout, host_image)),
        site=site,
        artifacts=await _pack_artifacts(
            layout, (guest_image, DEFAULT_IMAGE), guest_kernel.digest, work=work
        ),
        guest_image=guest_image,
        inside=work / "inside",
        qemu=await _find_qemu(cache),
    )


async def _take_firecracker(cache: Path, inside: Path) -> None:
    """Copy the programs of Firecracker, and the other one as OTHER_FIRECRACKER if one is wanted."""
    found = await ensure_firecracker(cache)
    for name in PROGRAMS:
        shutil.copy(found / name, inside)
    if other := find_other():
        shutil.copy(other, inside / OTHER_FIRECRACKER)


async def _find_qemu(cache: Path) -> str | None:
    """Return the QEMU that the caller wants for the emulated host."""
    wanted = os.environ.get(QEMU)
    if wanted != BACKPORTS:
        return wanted
    suite = find_suite()
    assert suite, f"{QEMU}={BACKPORTS}: this distribution's backports have no newer QEMU"
    return str(await ensure_newer_qemu(cache, suite))


def _ensure(banger: Installation, recipe: str, work: Path) -> str:
    """Have an image built unless it is there; its name carries its recipe's hash."""
    name = f"{tomllib.loads(recipe)['name']}-{content_hash(recipe.encode())}"
    return ensure_image(banger, name, recipe, work)


# --- the kernel: banger's own, with KVM and vhost among the modules that the agent loads -------


async def _make_kernel(directory: Path) -> None:
    """Write a guest kernel whose initramfs loads HOST_MODULES as well, and LOOPBACK beside it."""
    arch = platform.machine()
    packaged = kernels.require_pullable(KERNEL)
    request = Bootstrap(
        suite=packaged.suite, variant="extract", packages=(packaged.packages[arch],)
    )
    unpacked, staged = directory / "unpacked", directory / "staged"
    unpacked.mkdir()
    staged.mkdir()
    package = await bootstrap(
        request,
        consume=lambda descriptor: take_package(descriptor, unpacked),
        on_stage=lambda stage: None,
    )
    parts = save_parts(
        package,
        staged,
        name=packaged.name,
        arch=arch,
        source="package",
        find_obstacle=find_kernel_obstacle,
    )
    modules = {name: (staged / MODULES / name).read_bytes() for name in parts.modules}
    modules |= _take_modules(package, HOST_MODULES, known=set(modules))
    loopback = _take_modules(package, [LOOPBACK], known=set(modules))
    (directory / f"{LOOPBACK}.ko").write_bytes(loopback.pop(f"{LOOPBACK}.ko"))
    assert not loopback, f"{LOOPBACK} stands on {list(loopback)}, which no guest has"
    agent, _ = find_agent()
    (directory / "bzimage").write_bytes(package.kernel)
    (directory / "initramfs").write_bytes(
        build_initramfs(agent.read_bytes(), modules=modules, order=list(modules))
    )
    shutil.rmtree(unpacked)
    shutil.rmtree(staged)


def _take_modules(package: Package, wanted: Iterable[str], *, known: set[str]) -> dict[str, bytes]:
    """Return modules and what they stand on, in load order, without those that are `known`."""

    def read(name: str) -> bytes:
        path = package.modules[name]
        return unpack_module(path.name, path.read_bytes())

    order, missing = order_modules(
        wanted,
        find=lambda name: parse_module(read(name), name=name) if name in package.modules else None,
    )
    lacking = set(missing) - package.builtin
    assert not lacking, f"the kernel {package.version} lacks {lacking}"
    found = {f"{module.name}.ko": read(module.name) for module in order}
    return {name: content for name, content in found.items() if name not in known}


# --- images and the kernel of the guests ------------------------------------------------


async def _pack_artifacts(
    layout: Layout, image_names: Iterable[str], kernel: str, *, work: Path
) -> Path:
    """Pack images and a kernel, under their names, for the emulated host's user."""
    target = work / "artifacts"
    digests = {name: images.get_image(layout, name).digest for name in image_names}
    for store, named in ((layout.images, digests), (layout.kernels, {KERNEL: kernel})):
        (target / store.name / "names").mkdir(parents=True)
        for name, digest in named.items():
            (target / store.name / digest).symlink_to((store / digest).resolve())
            (target / store.name / "names" / name).write_text(digest)
    await asyncio.to_thread(_pack, target, work / "artifacts.tar")
    packed = work / "artifacts.squashfs"
    with open(work / "artifacts.tar", "rb") as source:  # noqa: ASYNC230 - just written
        options = ("-quiet", "-no-progress", "-force-uid", str(UID), "-force-gid", str(UID))
        argv = ["sqfstar", *options, "-noI", "-noD", "-noF", "-noX", str(packed)]
        async with programs.piped(argv, stdin=source) as process:
            _, said = await process.communicate()
    assert process.returncode == 0, f"sqfstar: {said.decode('utf-8', 'replace')}"
    (work / "artifacts.tar").unlink()
    return packed


def _pack(source: Path, target: Path) -> None:
    with tarfile.open(target, mode="w", dereference=True) as archive:
        archive.add(source, ".")
