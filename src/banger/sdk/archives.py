"""Files of a VM as bytes: the archives that carry them. Pure."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

from banger.errors import GuestProtocolError, GuestRefused, InvalidRequest
from banger.sdk.command import encode

if TYPE_CHECKING:
    from banger.api.documents import VmCopyIn, VmCopyOut


def plan_read(ref: str, path: str) -> VmCopyOut:
    """Return the parameters of `vm.copy_out`."""
    return {"ref": ref, "path": path, "follow": True}


def unpack_file(untrusted_archive: bytes, path: str) -> bytes:
    """Return the content of the only file of an archive.

    Raises:
        GuestRefused: it is no regular file.
        GuestProtocolError: the archive is malformed.
    """
    # Imported on use: reading archives needs msgspec.
    from banger.tar import format as tar
    from banger.tar.header import Malformed
    from banger.tar.read import ChunkSource, next_header

    source = ChunkSource(iter([untrusted_archive]))
    try:
        found = next_header(source)
    except Malformed as error:
        raise GuestProtocolError(f"The VM sent a malformed archive: {error}.") from error
    if found is None or found[0].kind != tar.FILE:
        raise GuestRefused(f"{path} in the VM is not a regular file.")
    content = source.read(found[0].size)
    if len(content) != found[0].size:
        raise GuestProtocolError("The VM sent an archive that ends within its file.")
    return content


def plan_write(ref: str, path: str, data: str | bytes, *, mode: int) -> tuple[VmCopyIn, bytes]:
    """Return the parameters of `vm.copy_in`, and what to send.

    Raises:
        InvalidRequest: the path has no name of a file.
    """
    from banger.tar.format import END_OF_TAR
    from banger.tar.write import file_entry

    above, name = posixpath.split(path)
    if name in ("", ".", ".."):
        raise InvalidRequest(f"{path!r} is not the path of a file.")
    entry = file_entry(os.fsencode(name), encode(data) or b"", mode=mode)
    return {"ref": ref, "path": above or "."}, entry + END_OF_TAR
