"""Read a layer once: its entries, and whether it is what its digest says.

The first of two passes: this one keeps what is known of each entry and where its content lies;
the second (`emit`) reads the contents that are left after the merge.
"""

from __future__ import annotations

import hashlib

from msgspec import Struct

from banger.errors import ImageInvalid
from banger.host.tarformat import BLOCK, LONG_LINK, LONG_NAME, PAX
from banger.images.layers import header as tar
from banger.images.layers.entries import Entry, parse_entry
from banger.images.layers.header import EXTENSION_BYTES_MAX, PAX_GLOBAL, Header
from banger.images.layers.limits import Budget
from banger.images.layers.unpacking import Blob, TarStream

END = bytes(BLOCK)


class LayerIndex(Struct, frozen=True):
    """What a layer holds, in its own order."""

    blob: Blob
    entries: list[Entry]
    unpacked_bytes: int


def index_layer(
    blob: Blob, budget: Budget, *, diff_id: str | None, may_be_empty: bool = False
) -> LayerIndex:
    """Return a layer's entries; all of it is read and checked. For threads.

    `diff_id` is the digest of the tar (`sha256:...`); None when nobody has said it, as for
    a tar that is no image. Such a tar must have entries, unless it `may_be_empty`.

    Raises:
        ImageInvalid: it is damaged, breaks its format or a limit, or has another digest.
        ImageUnsupported: it has entries that we cannot keep.
    """
    digest = hashlib.sha256()
    stream = TarStream(blob, on_bytes=digest.update)
    entries = read_entries(stream, budget)
    stream.drain()
    if not entries and diff_id is None and not may_be_empty:
        raise ImageInvalid("The archive is empty.")
    if diff_id not in (None, f"sha256:{digest.hexdigest()}"):
        raise ImageInvalid(
            f"A layer is not what the image says: its tar is sha256:{digest.hexdigest()}, "
            f"not {diff_id}."
        )
    return LayerIndex(blob, entries, stream.position)


def read_entries(stream: TarStream, budget: Budget) -> list[Entry]:
    """Return the entries of a tar up to its end mark.

    Raises:
        ImageInvalid, ImageUnsupported: as `index_layer`.
    """
    entries: list[Entry] = []
    while (entry := next_entry(stream)) is not None:
        attributes = sum(len(name) + len(value) for name, value in entry.xattrs)
        budget.take_entry(len(entry.path) + len(entry.link), attributes)
        entries.append(entry)
    return entries


def _next_block(stream: TarStream) -> bytes | None:
    """Return the next header block, or None at the end."""
    block = stream.read(BLOCK)
    if block == END:
        return None
    if not block and not stream.position:
        return None  # a layer without a byte is one without an entry
    if len(block) < BLOCK:
        raise ImageInvalid("A layer ends before its end mark.")
    return block


def next_entry(stream: TarStream) -> Entry | None:
    """Return the next entry, and pass over its content; None at the end mark.

    Raises:
        ImageInvalid, ImageUnsupported: as `index_layer`.
    """
    records: dict[bytes, bytes] = {}
    names: dict[bytes, bytes] = {}
    while (block := _next_block(stream)) is not None:
        header = tar.parse_header(block)
        if header.kind in (PAX, PAX_GLOBAL):
            found = tar.parse_pax(_read_extension(stream, header))
            if header.kind == PAX_GLOBAL:
                tar.require_harmless(found)
            else:
                records |= found
        elif header.kind in (LONG_NAME, LONG_LINK):
            # A text of C, as the names in a header are: nobody sees what is behind its NUL.
            names[header.kind] = _read_extension(stream, header).partition(b"\0")[0]
        else:
            return _finish_entry(stream, header, records, names)
    if records or names:
        raise ImageInvalid("A layer ends behind a header that belongs to an entry.")
    return None


def _finish_entry(
    stream: TarStream, header: Header, records: dict[bytes, bytes], names: dict[bytes, bytes]
) -> Entry:
    header.name = names.get(LONG_NAME, header.name)
    header.link = names.get(LONG_LINK, header.link)
    tar.apply_pax(header, records)
    entry = parse_entry(header, records, offset=stream.position)
    # Only a regular file has content; Go's reader takes the size of all others for zero, too.
    stream.skip(entry.size + -entry.size % BLOCK)
    return entry


def _read_extension(stream: TarStream, header: Header) -> bytes:
    if not 0 <= header.size <= EXTENSION_BYTES_MAX:
        raise ImageInvalid("A layer has a pax or GNU header that is too long.")
    content = stream.read(header.size)
    if len(content) < header.size:
        raise ImageInvalid("A layer ends in the middle of a header.")
    stream.skip(-header.size % BLOCK)
    return content
