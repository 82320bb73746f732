"""Names and numbers of the tar format: ustar and pax (pax(1)), GNU's extensions. Pure."""

from __future__ import annotations

BLOCK = 512
END_OF_TAR = bytes(2 * BLOCK)

FILE, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = (
    b"0", b"1", b"2", b"3", b"4", b"5", b"6",
)  # fmt: skip
CONTIGUOUS = b"7"
LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL = b"L", b"K", b"x", b"g"

XATTR = b"SCHILY.xattr."
"""Prefix of the pax records that hold extended attributes."""

PATH_BYTES_MAX = 4095
"""Linux's PATH_MAX, without the final NUL."""
COMPONENT_BYTES_MAX = 255


def padding(size: int) -> bytes:
    """Return the padding of the last block of a content of this size."""
    return bytes(-size % BLOCK)


def shown(name: bytes) -> str:
    """Return a name for a message: short, and without anything that a terminal obeys."""
    return ascii(name[:80].decode("utf-8", "replace")) + ("..." if len(name) > 80 else "")
