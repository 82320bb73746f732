"""What a layer may cost before it is refused: entries, names, bytes, and how densely it is packed.

Pure but for a lock: layers are read side by side and draw on one budget. Figures in ADR 0041.
"""

from __future__ import annotations

import threading

from banger.errors import ImageInvalid

ENTRIES_MAX = 250_000
"""Of all layers of an image, with the directories that are only implied."""
NAME_BYTES_MAX = 24 * 1024 * 1024
"""Of all names and link targets; also of what has to be walked to place them."""
ATTRIBUTE_BYTES_MAX = 64 * 1024
"""Of one extended attribute; the kernel's own limit."""
ATTRIBUTES_MAX = 4 * 1024 * 1024
"""Bytes of all extended attributes of an image."""
TAR_BYTES_MAX = 64 * 2**30
"""Of one layer, unpacked."""
DENSE_FROM_BYTES = 512 * 2**20
DENSITY_MAX = 500
"""Unpacked bytes for a packed one, once a layer is larger than DENSE_FROM_BYTES unpacked."""
DIRECTORY_ENTRIES_MAX = 50_000
"""sqfstar 4.5 looks names up one by one: this many take it ten seconds, twice as many forty."""
SYMLINKS_MAX = 40
"""Followed on the way to one name; the kernel's own limit."""
OWNERS_MAX = 65_000
"""Different user and group ids; a squashfs has 16 bits for their index."""


class Budget:
    """What an image may still cost; shared by the threads that read its layers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries = ENTRIES_MAX
        self._name_bytes = NAME_BYTES_MAX
        self._walked_bytes = NAME_BYTES_MAX
        self._attribute_bytes = ATTRIBUTES_MAX

    def take_entry(self, name_bytes: int, attribute_bytes: int = 0) -> None:
        """Pay for an entry of the tree.

        Raises:
            ImageInvalid: there are too many.
        """
        with self._lock:
            self._entries -= 1
            self._name_bytes -= name_bytes
            self._attribute_bytes -= attribute_bytes
        if self._entries < 0:
            raise ImageInvalid(f"The image has more than {ENTRIES_MAX} files.")
        if self._name_bytes < 0:
            raise ImageInvalid(
                f"The image's file names are longer than {NAME_BYTES_MAX} bytes in total."
            )
        if self._attribute_bytes < 0:
            raise ImageInvalid("The image's extended attributes are too large in total.")

    def take_walk(self, name_bytes: int) -> None:
        """Pay for following a symbolic link; by one thread only.

        Raises:
            ImageInvalid: links lead through too many names.
        """
        self._walked_bytes -= name_bytes
        if self._walked_bytes < 0:
            raise ImageInvalid("The image's symbolic links lead through too many directories.")


def require_density(unpacked_bytes: int, packed_bytes: int) -> None:
    """Check what has been unpacked so far.

    Raises:
        ImageInvalid: it is too much, in itself or for what it was packed in.
    """
    if unpacked_bytes > TAR_BYTES_MAX:
        raise ImageInvalid(f"A layer is larger than {TAR_BYTES_MAX // 2**30} GiB unpacked.")
    if unpacked_bytes > DENSE_FROM_BYTES and unpacked_bytes > packed_bytes * DENSITY_MAX:
        raise ImageInvalid(
            f"A layer unpacks to more than {DENSITY_MAX} times its size, like a decompression bomb."
        )
