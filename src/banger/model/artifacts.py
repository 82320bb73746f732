"""Images and kernels as their manifests describe them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import Struct, field


class ImageLayer(Struct, frozen=True):
    """A packed layer that an image was made of."""

    digest: str
    """`sha256:` and 64 hex digits, of the packed layer."""
    size_bytes: int


class ImageDraft(Struct, frozen=True, kw_only=True):
    """What is known of an image before its root is finished."""

    name: str
    created_at: float
    init: str | None
    """Path of the image's init in the guest, or None: the agent stays PID 1."""
    has_programs: bool = True
    """False: no file of the root can be executed, so commands cannot run in the image."""
    source: str
    """Where it came from, for people: `recipe:debian-bookworm`."""
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = ""
    """Where commands start that are told no directory; empty: in their user's home."""
    user: str = ""
    """Who runs commands that are told no user: `user`, `uid`, with or without `:group`."""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    """What the image's maker meant to be run: the words of `entrypoint`, then these."""
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    platform: str = ""
    """What it is for, `linux/arm64`; empty: this host."""
    signed_by: str = ""
    """The key whose signature was verified when it was pulled; empty: none was asked for."""
    packages: dict[str, str] = field(default_factory=dict)
    """Name and version of each distribution package, when known."""
    recipe: str = ""
    """Hash of the recipe, if it is one that comes with banger; empty: it is never built anew."""
    layers: tuple[ImageLayer, ...] = ()
    """What it was made of, the lowest first, if that came from a registry."""


class ExternalRoot(Struct, frozen=True):
    """A root that is a file of the user's; it is never written or removed."""

    path: str
    mtime_ns: int
    """When it was registered: at another time it may be another file."""


class Image(ImageDraft, frozen=True, kw_only=True):
    """An image: a root file system that any number of VMs read."""

    digest: str
    """sha256 over the root and all of the draft that a VM depends on, in hex."""
    size_bytes: int
    root: str
    """File name of the root, relative to the image's directory."""
    root_sha256: str
    external: ExternalRoot | None = None
    """Where the root is instead; absent: it is in the image's directory."""


@dataclass(frozen=True, kw_only=True)
class KernelForm:
    """What decides whether a driver boots a kernel."""

    is_compressed: bool
    """There is a bzImage (x86-64), not only an ELF file."""
    has_option: Callable[[str], bool]
    """Tells whether an option is built in; may read the kernel's configuration."""


class Kernel(Struct, frozen=True, kw_only=True):
    """A kernel with the initramfs that carries our agent and its modules."""

    digest: str
    """sha256 over the name and the files' hashes: the identity."""
    name: str
    """What it is called by: `debian-cloud`."""
    version: str
    """As `uname -r` says in the guest."""
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
    """Where it came from, for people: `package:linux-image-cloud-amd64 of bookworm`."""
    size_bytes: int = 0
    """Of all files; what two kernels share is on the disk once."""
    tree: str | None = None
    """The squashfs of all its modules, for `/lib/modules/VERSION`; None: it has none."""
    missed: tuple[str, ...] = ()
    """What it lacks and guests run without, a line each."""
