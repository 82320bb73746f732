"""Read a layer once: its entries, and whether it is what its digest says.

The first of two passes: this one keeps what is known of each entry and where its content lies;
the second (`emit`) reads the contents that are left after the merge.
"""

from __future__ import annotations

import hashlib

from msgspec import Struct

from banger.errors import ImageInvalid
from banger.images.layers.entries import Entry, parse_entry
from banger.images.layers.limits import Budget
from banger.images.layers.unpacking import Blob, TarStream
from banger.tar.format import BLOCK
from banger.tar.header import Malformed
from banger.tar.read import next_header


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


def next_entry(stream: TarStream) -> Entry | None:
    """Return the next entry, and pass over its content; None at the end mark.

    Raises:
        ImageInvalid, ImageUnsupported: as `index_layer`.
    """
    try:
        found = next_header(stream)
        if found is None:
            return None
        entry = parse_entry(*found, offset=stream.position)
        # Only a regular file has content.
        stream.skip(entry.size + -entry.size % BLOCK)
    except Malformed as error:
        raise ImageInvalid(f"A layer {error}.") from error
    return entry
