"""The contents of repository files that the user has trusted, by digest.

Owns `trusted/` in the state directory (0700): a file for each digest, named by it,
mode 0600, that holds the path where the content was seen. Trust is of a content: a file that
changes in one byte is asked for again, and the same file in another clone is not. Each file is
written by rename or unlinked, so that a process that dies leaves trust or none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os

from banger.host.files import ensure_private_dir, write_atomic
from banger.layout import Layout

KIND = b"banger project 1\0"
"""Begins what is hashed, so that no other digest of a file is taken for trust in it."""


def make_digest(kind: str, content: bytes) -> str:
    """Return the digest that stands for the content of one kind of file: 64 hex digits."""
    return hashlib.sha256(KIND + kind.encode() + b"\0" + content).hexdigest()


def is_trusted(layout: Layout, digest: str) -> bool:
    """Tell whether the user has trusted a content."""
    return os.path.lexists(layout.trusted / digest)


def save_trust(layout: Layout, digest: str, seen_at: str) -> None:
    """Trust a content from now on; `seen_at` is a path, for people who look."""
    folder = ensure_private_dir(layout.trusted)
    write_atomic(folder / digest, os.fsencode(seen_at) + b"\n")


def remove_trust(layout: Layout, digest: str) -> bool:
    """Trust a content no longer; False if it was not trusted."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(layout.trusted / digest)
        return True
    return False
