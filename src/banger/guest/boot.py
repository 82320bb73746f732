"""Boot a guest, or give a clone its identity: the BOOT and IDENTITY requests.

Owns nothing. Hazard D2: a clone is handed out only after it has confirmed its new
identity, so `identify` returns only when the agent has done everything, or raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from banger.guest.codec import Feature, Kind
from banger.guest.connection import GuestConnection
from banger.guest.fields import Tag, encode_fields, i64, name, text, u64
from banger.guest.stream import Request


@dataclass(frozen=True)
class GuestFile:
    """A file that the agent writes atomically, by rename, after creating its parents.

    `mode`: permission bits.
    """

    path: bytes
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Interface:
    """The guest's one network interface.

    `gateway` None: no default route. `mac` None: keep the current address. `address6`: for guests
    that take one (`takes_ipv6`); the prefix has 64 bits.
    """

    address: str
    prefix: int
    gateway: str | None = None
    mac: bytes | None = None
    address6: str | None = None


@dataclass(frozen=True)
class Identity:
    """A guest's identity; None leaves the guest's value unchanged.

    `clock_ns` is CLOCK_REALTIME; `entropy` is 32 to 512 random bytes.
    """

    hostname: str | None = None
    clock_ns: int | None = None
    entropy: bytes | None = None
    files: tuple[GuestFile, ...] = ()
    interface: Interface | None = None


@dataclass(frozen=True)
class BootSpec:
    """How the agent assembles and starts the guest.

    `root`, `data` and `modules` are devices of the guest: `/dev/vda`, or `serial:NAME`. Without
    `init` the agent stays PID 1. `native`: directories that lie on the data disk itself.
    """

    root: str
    data: str
    modules: str | None = None
    init: bytes | None = None
    native: tuple[bytes, ...] = ()
    identity: Identity = Identity()


async def boot(connection: GuestConnection, spec: BootSpec, *, deadline_s: float) -> None:
    """Assemble the root and start the image's init; possible once, in a waiting guest.

    Raises:
        GuestRefused: a step, which the message names, failed. Unless `guest_code` is
            `bad-request`, discard the VM.
    """
    fields = encode_fields((*_boot_fields(spec), *_identity_fields(spec.identity, connection)))
    await connection.ask(Request(Kind.BOOT, "booting the guest", fields), deadline_s=deadline_s)


async def identify(connection: GuestConnection, identity: Identity, *, deadline_s: float) -> None:
    """Give the guest this identity; return when the agent has applied all of it."""
    fields = encode_fields(_identity_fields(identity, connection))
    what = "giving the guest its identity"
    await connection.ask(Request(Kind.IDENTITY, what, fields), deadline_s=deadline_s)


def takes_ipv6(connection: GuestConnection) -> bool:
    """Tell whether the guest takes an IPv6 address: its kernel, and its agent."""
    return Feature.ADDRESS6 in connection.hello.features


def _boot_fields(spec: BootSpec) -> Iterator[tuple[Tag, bytes]]:
    yield Tag.ROOT, text(spec.root)
    yield Tag.DATA, text(spec.data)
    if spec.modules is not None:
        yield Tag.MODULES, text(spec.modules)
    if spec.init is not None:
        yield Tag.INIT, name(spec.init)
    for directory in spec.native:
        yield Tag.NATIVE, name(directory)


def _identity_fields(
    identity: Identity, connection: GuestConnection
) -> Iterator[tuple[Tag, bytes]]:
    if identity.entropy is not None:
        yield Tag.ENTROPY, identity.entropy
    if identity.clock_ns is not None:
        yield Tag.CLOCK_NS, i64(identity.clock_ns)
    for file in identity.files:
        yield Tag.FILE, encode_fields(_file_fields(file))
    if identity.hostname is not None:
        yield Tag.HOSTNAME, text(identity.hostname)
    if identity.interface is not None:
        yield Tag.INTERFACE, encode_fields(_interface_fields(identity.interface, connection))


def _file_fields(file: GuestFile) -> Iterator[tuple[Tag, bytes]]:
    yield Tag.PATH, name(file.path)
    yield Tag.MODE, u64(file.mode)
    yield Tag.UID, u64(file.uid)
    yield Tag.GID, u64(file.gid)
    yield Tag.CONTENT, file.content


def _interface_fields(
    interface: Interface, connection: GuestConnection
) -> Iterator[tuple[Tag, bytes]]:
    if interface.mac is not None:
        yield Tag.MAC, interface.mac
    yield Tag.ADDRESS, text(interface.address)
    yield Tag.PREFIX, u64(interface.prefix)
    if interface.gateway is not None:
        yield Tag.GATEWAY, text(interface.gateway)
    if interface.address6 is not None and takes_ipv6(connection):
        yield Tag.ADDRESS6, text(interface.address6)
