"""Images and kernels as their manifests describe them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import Struct, field


class ImageLayer(Struct, frozen=True):
    """A packed layer of an image."""

    digest: str
    """`sha256:` and 64 hex digits, of the packed layer."""
    size_bytes: int


class ImageDraft(Struct, frozen=True, kw_only=True):
    """The facts of an image that are known before its root is finished."""

    name: str
    created_at: float
    init: str | None
    """Path of the image's init in the guest, or None: the agent stays PID 1."""
    has_programs: bool = True
    """False: no file of the root can be executed, so commands cannot run in the image."""
    source: str
    """Origin, as shown to people: `recipe:debian-bookworm`."""
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = ""
    """Default working directory of commands; empty means the user's home."""
    user: str = ""
    """Default user of commands: `user` or `uid`, with or without `:group`."""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    """Arguments that follow `entrypoint` in the image's default command."""
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    platform: str = ""
    """Platform of the image, such as `linux/arm64`; empty means the host's."""
    signed_by: str = ""
    """The key whose signature was verified at the pull; empty means that none was required."""
    packages: dict[str, str] = field(default_factory=dict)
    """Name and version of each distribution package, when known."""
    recipe: str = ""
    """Hash of the built-in recipe; empty means that the image is never rebuilt."""
    layers: tuple[ImageLayer, ...] = ()
    """Layers of an image that came from a registry, lowest first."""


class ExternalRoot(Struct, frozen=True):
    """A root that is the user's own file; banger never writes or removes it."""

    path: str
    mtime_ns: int
    """Modification time at registration; any other time means that the file may have changed."""


class Image(ImageDraft, frozen=True, kw_only=True):
    """An image: a root file system that any number of VMs read."""

    digest: str
    """sha256, in hex, over the root and every field of the draft that a VM depends on."""
    size_bytes: int
    root: str
    """File name of the root, relative to the image's directory."""
    root_sha256: str
    external: ExternalRoot | None = None
    """The user's file that is the root; None means a root in the image's directory."""


@dataclass(frozen=True, kw_only=True)
class KernelForm:
    """What decides whether a driver boots a kernel."""

    is_compressed: bool
    """There is a bzImage (x86-64), not only an ELF file."""
    has_option: Callable[[str], bool]
    """Tells whether an option is built in; may read the kernel's configuration."""


class Kernel(Struct, frozen=True, kw_only=True):
    """A kernel with its initramfs, which holds the agent and the modules needed at boot."""

    digest: str
    """sha256 over the name and the files' hashes: the identity."""
    name: str
    """Name that users refer to, such as `debian-cloud`."""
    version: str
    """Output of `uname -r` in the guest."""
    arch: str
    created_at: float
    bzimage: str
    """File names are relative to the kernel's directory."""
    vmlinux: str
    initramfs: str
    config: str
    modules: tuple[str, ...]
    hashes: dict[str, str]
    """sha256 of each file, in hex."""
    agent_version: str
    source: str = "package"
    """Origin, as shown to people: `package:linux-image-cloud-amd64 of bookworm`."""
    size_bytes: int = 0
    """Size of all files; a file that two kernels share is on the disk once."""
    tree: str | None = None
    """The squashfs of all modules, for `/lib/modules/VERSION`; None if the kernel has none."""
    missed: tuple[str, ...] = ()
    """Optional features that the kernel lacks, one line each."""
