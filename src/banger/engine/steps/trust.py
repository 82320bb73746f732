"""Have a guest trust a certificate in addition to those that it trusts already.

It goes where distributions look for the certificates of a machine's owner, so that it stays when
the guest makes its bundle anew, to the end of the bundle of Debian and Alpine, and with all others
into a bundle of our own, which the variables of the VM's commands name. A guest that has no bundle
gets the host's: some clients have no other.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

from banger import guest
from banger.errors import GuestRefused
from banger.model.entries import GuestEntry
from banger.model.secrets import BUNDLE
from banger.tar.format import END_OF_TAR
from banger.tar.write import file_entry

SYSTEM = "/etc/ssl/certs/ca-certificates.crt"
BUNDLES = (
    SYSTEM,
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora
    "/etc/ca-certificates/extracted/tls-ca-bundle.pem",  # Arch
    "/var/lib/ca-certificates/ca-bundle.pem",  # openSUSE
)
OWN = "/usr/local/share/ca-certificates/banger.crt"
BUNDLE_MAX = 4 << 20
DEADLINE_S = 60.0


async def add_certificate(
    connection: guest.GuestConnection, certificate: bytes, *, name: str
) -> None:
    """Add a certificate, in PEM, of this name.

    Raises:
        GuestRefused: the guest has no room for it.
    """
    mark = f"# banger {name}\n".encode()
    path, bundle = await _find_bundle(connection)
    if mark not in bundle:
        bundle = bundle.rstrip() + b"\n" + mark + certificate
    await _write(connection, {BUNDLE: bundle})
    system = {SYSTEM: bundle} if path == SYSTEM else {}
    with contextlib.suppress(GuestRefused):  # such as a link in the place of a directory
        await _write(connection, {OWN: certificate} | system)


async def _find_bundle(connection: guest.GuestConnection) -> tuple[str | None, bytes]:
    """Return the guest's bundle and where it is; without one, the host's."""
    for path in BUNDLES:
        if untrusted_bundle := await _read(connection, path):
            return path, untrusted_bundle
    for path in BUNDLES:
        with contextlib.suppress(OSError):
            return None, Path(path).read_bytes()
    return None, b""


async def _read(connection: guest.GuestConnection, path: str) -> bytes:
    """Return a regular file of the guest; nothing if there is none, or a huge one."""
    data, is_file = b"", False
    names = [os.fsencode(path[1:])]
    async for item in guest.read_files(connection, b"/", names, deadline_s=DEADLINE_S):
        if isinstance(item, GuestEntry):
            is_file = stat.S_ISREG(item.mode) and item.size <= BUNDLE_MAX
        elif is_file:
            data += item
    return data


async def _write(connection: guest.GuestConnection, files: dict[str, bytes]) -> None:
    await guest.tar_in(connection, b"/", _archive(files), deadline_s=DEADLINE_S)


async def _archive(files: dict[str, bytes]) -> AsyncIterator[bytes]:
    for path, data in files.items():
        yield file_entry(os.fsencode(path[1:]), data)
    yield END_OF_TAR
