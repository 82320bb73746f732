"""Making the guest a machine, and another one: the BOOT and IDENTITY requests.

Owns nothing. Hazard D2: a clone that does not confirm its new identity is not
handed out, so `identify` either returns after the agent did everything, or raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection
from banger.guest.fields import Tag, encode_fields, i64, name, text, u64
from banger.guest.stream import Request


@dataclass(frozen=True)
class GuestFile:
    """A file that the agent writes whole, by rename; parents are made. `mode`: permission bits."""

    path: bytes
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Interface:
    """The guest's one network interface. Without `gateway` no default route; `mac` None: as is."""

    address: str
    prefix: int
    gateway: str | None = None
    mac: bytes | None = None


@dataclass(frozen=True)
class Identity:
    """What makes this machine itself; everything that is None is left as it is.

    `clock_ns` is CLOCK_REALTIME; `entropy` is 32 to 512 random bytes.
    """

    hostname: str | None = None
    clock_ns: int | None = None
    entropy: bytes | None = None
    files: tuple[GuestFile, ...] = ()
    interface: Interface | None = None


@dataclass(frozen=True)
class BootSpec:
    """How the agent puts the guest together.

    `root`, `data` and `modules` are devices of the guest: `/dev/vda`, or `serial:NAME`. Without
    `init` the agent stays PID 1. `native`: directories on the data disk itself.
    """

    root: str
    data: str
    modules: str | None = None
    init: bytes | None = None
    native: tuple[bytes, ...] = ()
    identity: Identity = Identity()


async def boot(connection: GuestConnection, spec: BootSpec, *, deadline_s: float) -> None:
    """Put the root together and start the image's init; once, in a waiting guest.

    Raises:
        GuestRefused: a step failed, the message names it. Unless `guest_code` is
            `bad-request` the VM is to be thrown away.
    """
    fields = encode_fields((*_boot_fields(spec), *_identity_fields(spec.identity)))
    await connection.ask(Request(Kind.BOOT, "booting the guest", fields), deadline_s=deadline_s)


async def identify(connection: GuestConnection, identity: Identity, *, deadline_s: float) -> None:
    """Give the guest this identity; returns when all of it was done."""
    fields = encode_fields(_identity_fields(identity))
    what = "giving the guest its identity"
    await connection.ask(Request(Kind.IDENTITY, what, fields), deadline_s=deadline_s)


def _boot_fields(spec: BootSpec) -> Iterator[tuple[Tag, bytes]]:
    yield Tag.ROOT, text(spec.root)
    yield Tag.DATA, text(spec.data)
    if spec.modules is not None:
        yield Tag.MODULES, text(spec.modules)
    if spec.init is not None:
        yield Tag.INIT, name(spec.init)
    for directory in spec.native:
        yield Tag.NATIVE, name(directory)


def _identity_fields(identity: Identity) -> Iterator[tuple[Tag, bytes]]:
    if identity.entropy is not None:
        yield Tag.ENTROPY, identity.entropy
    if identity.clock_ns is not None:
        yield Tag.CLOCK_NS, i64(identity.clock_ns)
    for file in identity.files:
        yield Tag.FILE, encode_fields(_file_fields(file))
    if identity.hostname is not None:
        yield Tag.HOSTNAME, text(identity.hostname)
    if identity.interface is not None:
        yield Tag.INTERFACE, encode_fields(_interface_fields(identity.interface))


def _file_fields(file: GuestFile) -> Iterator[tuple[Tag, bytes]]:
    yield Tag.PATH, name(file.path)
    yield Tag.MODE, u64(file.mode)
    yield Tag.UID, u64(file.uid)
    yield Tag.GID, u64(file.gid)
    yield Tag.CONTENT, file.content


def _interface_fields(interface: Interface) -> Iterator[tuple[Tag, bytes]]:
    if interface.mac is not None:
        yield Tag.MAC, interface.mac
    yield Tag.ADDRESS, text(interface.address)
    yield Tag.PREFIX, u64(interface.prefix)
    if interface.gateway is not None:
        yield Tag.GATEWAY, text(interface.gateway)
