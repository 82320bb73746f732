"""What the emulated host is made of: a kernel with KVM, an image, banger and its packages.

Images and the guests' kernel are banger's own artefacts, in the tests' cache. The rest is
cached beside them, in `kvm-*` directories that are named by what they are made from and
published by rename; those that nobody used for two weeks are removed. Everything that is
downloaded is downloaded here: nothing is inside.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from banger import images, kernels
from banger.engine.artifacts import find_agent
from banger.host import proc
from banger.host.files import publish_dir
from banger.host.mmdebstrap import Bootstrap, bootstrap
from banger.kernels.initramfs import build_initramfs
from banger.kernels.modules import order_modules, parse_module, unpack_module
from banger.kernels.package import Package, take_package
from banger.kernels.parts import MODULES, save_parts
from banger.layout import Layout
from tests.support.artifacts import CHECKOUT, hash_sources
from tests.support.installations import Installation
from tests.support.vms import ensure_image

PYTHON = "3.11"
"""Of Debian 12, which the emulated host is."""
KEEP_UNUSED_S = 14 * 86400
DOWNLOAD_DEADLINE_S = 900.0

GUEST_RECIPE = """\
name = "kvm-guest"
suite = "bookworm"
variant = "essential"
packages = ["git"]
drop = ["/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*"]
"""
"""A guest of the emulated host: no init, since each boot is emulated twice."""

HOST_RECIPE = """\
name = "kvm-host"
suite = "bookworm"
variant = "apt"
packages = [
    "bubblewrap", "debian-archive-keyring", "e2fsprogs", "git", "mmdebstrap", "openssh-client",
    "passt", "passwd", "procps", "python3", "qemu-system-x86", "squashfs-tools", "uidmap",
]
drop = [
    "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*",
    "/usr/share/qemu/edk2-*", "/usr/share/qemu/*.img", "/usr/lib/x86_64-linux-gnu/dri/*",
]
"""
"""What `banger setup` would install, and what the checks look around with."""


@dataclass(frozen=True, kw_only=True)
class Supplies:
    """Files on this host that the emulated one is made from."""

    bzimage: Path
    initramfs: Path
    root: Path
    site: Path
    """banger and the packages that it needs, as an installer lays them out."""
    artifacts: Path
    """A data directory of banger's with the guest's image and kernel."""
    guest_image: str


async def gather(cache: Path, layout: Layout, work: Path) -> Supplies:
    """Make what the cache lacks; `work` is the run's own directory."""
    _forget_unused(cache)
    with contextlib.closing(Installation(os.environ)) as banger:
        guest_image = _ensure(banger, GUEST_RECIPE, work)
        host_image = _ensure(banger, HOST_RECIPE, work)
        banger.do("kernel", "pull", "debian-cloud", deadline_s=DOWNLOAD_DEADLINE_S)
    agent, _ = find_agent()
    made_by = hash_sources(("src/banger/kernels",)).encode() + Path(__file__).read_bytes()
    key = _hash(made_by, agent.read_bytes())
    kernel = await _cached(cache, f"kvm-kernel-{key}", _make_kernel)
    return Supplies(
        bzimage=kernel / "bzimage",
        initramfs=kernel / "initramfs",
        root=images.image_root(layout, images.get_image(layout, host_image)),
        site=await _install(await _download(cache), work),
        artifacts=_pick_artifacts(layout, guest_image, work / "artifacts"),
        guest_image=guest_image,
    )


def _ensure(banger: Installation, recipe: str, work: Path) -> str:
    """Have an image built unless it is there; its name carries its recipe's hash."""
    name = f"{tomllib.loads(recipe)['name']}-{_hash(recipe.encode())}"
    return ensure_image(banger, name, recipe, work)


# --- the kernel: banger's own, with KVM among the modules that the agent loads -------


async def _make_kernel(directory: Path) -> None:
    """Write a guest kernel whose initramfs loads kvm-amd as well."""
    arch = platform.machine()
    packaged = kernels.require_pullable("debian-cloud")
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
    parts = save_parts(package, staged, name=packaged.name, arch=arch)
    modules = {name: (staged / MODULES / name).read_bytes() for name in parts.modules}
    modules |= _kvm_modules(package, known=set(modules))
    agent, _ = find_agent()
    (directory / "bzimage").write_bytes(package.kernel)
    (directory / "initramfs").write_bytes(
        build_initramfs(agent.read_bytes(), modules=modules, order=list(modules))
    )
    shutil.rmtree(unpacked)
    shutil.rmtree(staged)


def _kvm_modules(package: Package, *, known: set[str]) -> dict[str, bytes]:
    """Return kvm-amd and what it stands on, in load order, without those that are `known`."""

    def read(name: str) -> bytes:
        path = package.modules[name]
        return unpack_module(path.name, path.read_bytes())

    order, missing = order_modules(
        ["kvm_amd"],
        find=lambda name: parse_module(read(name), name=name) if name in package.modules else None,
    )
    lacking = set(missing) - package.builtin
    assert not lacking, f"the kernel {package.version} lacks {lacking}"
    found = {f"{module.name}.ko": read(module.name) for module in order}
    return {name: content for name, content in found.items() if name not in known}


# --- banger and the packages that it needs -------------------------------------------


async def _download(cache: Path) -> Path:
    """Return a directory with the pinned wheels, verified by their hashes."""
    pinned = _runtime_requirements((CHECKOUT / "requirements.lock").read_text("utf-8"))

    async def make(directory: Path) -> None:
        (directory / "requirements").write_text(pinned)
        options = ("--require-hashes", "--no-deps", "--requirement", directory / "requirements")
        await _pip("download", "--dest", directory, *_FOR_DEBIAN, *options)

    return await _cached(cache, f"kvm-wheels-{_hash(pinned.encode(), PYTHON.encode())}", make)


async def _install(wheels: Path, work: Path) -> Path:
    """Build banger's wheel and lay it out with the others, as pip does; return the directory."""
    built, site = work / "wheel", work / "site"
    await _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", built, CHECKOUT)
    found = [*wheels.glob("*.whl"), *built.glob("*.whl")]
    await _pip("install", "--target", site, "--no-deps", "--no-index", *_FOR_DEBIAN, *found)
    return site


_FOR_DEBIAN = (
    *("--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON),
    *(
        word
        for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "linux")
        for word in ("--platform", f"{tag}_{platform.machine()}")
    ),
)


async def _pip(command: str, *words: str | Path) -> None:
    passed_on = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    argv = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check"]
    await proc.run([*argv, *map(str, words)], deadline_s=DOWNLOAD_DEADLINE_S, env=passed_on)


def _runtime_requirements(lock: str) -> str:
    """Return the lock's entries, with their hashes, for what banger itself needs."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = _closure(project["dependencies"])
    entries = re.findall(r"^[A-Za-z0-9].*?(?=\n[A-Za-z0-9]|\Z)", lock, re.DOTALL | re.MULTILINE)
    return "".join(f"{e.strip()}\n" for e in entries if _canonical(e.split("==")[0]) in wanted)


def _closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of the required packages and of those that they require."""
    found: set[str] = set()
    open_ = list(requirements)
    while open_:
        requirement = Requirement(open_.pop())
        name = _canonical(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        open_ += metadata.requires(name) or []
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# --- the guest's image and kernel -----------------------------------------------------


def _pick_artifacts(layout: Layout, image_name: str, target: Path) -> Path:
    """Link one image and the kernel into a data directory of their own."""
    image = images.get_image(layout, image_name)
    kernel = kernels.get_kernel(layout, "debian-cloud")
    for shelf, digest, name in (
        (layout.images, image.digest, image_name),
        (layout.kernels, kernel.digest, "debian-cloud"),
    ):
        (target / shelf.name / "names").mkdir(parents=True)
        (target / shelf.name / digest).symlink_to((shelf / digest).resolve())
        (target / shelf.name / "names" / name).write_text(digest)
    return target


# --- the cache ------------------------------------------------------------------------


async def _cached(cache: Path, name: str, make: Callable[[Path], Awaitable[None]]) -> Path:
    """Return the directory of this name, made aside and renamed if it is not there."""
    target = cache / name
    if not target.is_dir():
        staged = Path(tempfile.mkdtemp(dir=cache, prefix="kvm-making-"))
        try:
            await make(staged)
            publish_dir(staged, target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    os.utime(target)
    return target


def _forget_unused(cache: Path) -> None:
    for old in cache.glob("kvm-*"):
        if time.time() - old.stat().st_mtime > KEEP_UNUSED_S:
            shutil.rmtree(old, ignore_errors=True)


def _hash(*contents: bytes) -> str:
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:12]
