"""Check which names of a repository may become files, and quote paths for git. Pure.

Names in an index, a tree or a patch are bytes that an attacker may have chosen
(hazards E1, F4). A name is safe if it stays below its base directory and never
reaches git's own directory, on any file system of the host: case-insensitive, with
NTFS's short names, streams and trailing dots, or with the code points that HFS+ ignores.
"""

from __future__ import annotations

import posixpath
import re

from banger.errors import InvalidRequest

NAME_BYTES_MAX = 4096
"""Linux's PATH_MAX."""

_UNFINISHED = re.compile(rb"\.banger-(cp\.[0-9a-f]{12}|[0-9]+\.part)")
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_GIT_ON_NTFS = re.compile(rb"(?:\.git|git~[0-9]+)(?:[ .]*(?::.*)?)?", re.IGNORECASE | re.DOTALL)
_GITMODULES_ON_NTFS = re.compile(
    rb"(?:\.gitmodules|gitmod~[1-4]|gi7eba~[1-9])(?:[ .]*(?::.*)?)?", re.IGNORECASE | re.DOTALL
)


def is_safe_name(untrusted_name: bytes) -> bool:
    """Tell whether a slash-separated name stays below its directory and out of `.git`."""
    if not untrusted_name or len(untrusted_name) > NAME_BYTES_MAX or b"\0" in untrusted_name:
        return False
    # A backslash is an ordinary byte on Linux and a separator elsewhere; both must be safe.
    parts = untrusted_name.split(b"/")
    if b"\\" in untrusted_name:
        parts += untrusted_name.replace(b"\\", b"/").strip(b"/").split(b"/")
    return all(_is_safe_part(part) for part in parts)


def is_unfinished(name: bytes) -> bool:
    """Tell whether this is the temporary name of a file that a copy has not finished."""
    return _UNFINISHED.fullmatch(name.rpartition(b"/")[2]) is not None


def parse_directory(untrusted_directory: str | None) -> str | None:
    """Normalise a directory within the repository; None for the repository's top.

    Raises:
        InvalidRequest: the directory is absolute or leads out of the repository.
    """
    path = posixpath.normpath(untrusted_directory or ".")
    if path.startswith(("/", "../")) or path == ".." or "\0" in path:
        raise InvalidRequest(
            f"{untrusted_directory!r} is not a directory relative to the repository's top."
        )
    return None if path == "." else path


def is_gitmodules(untrusted_name: bytes) -> bool:
    """Tell whether git might read a file of this name as `.gitmodules`."""
    plain = _without_hfs_ignored(untrusted_name)
    return _GITMODULES_ON_NTFS.fullmatch(plain) is not None


def parents(name: bytes) -> list[bytes]:
    """Return every directory above `name`, outermost first: `a/b/c` gives `a`, `a/b`."""
    return [name[: match.start()] for match in re.finditer(b"/", name)]


def _is_safe_part(part: bytes) -> bool:
    if part in (b"", b".", b".."):
        return False
    return _GIT_ON_NTFS.fullmatch(_without_hfs_ignored(part)) is None


def _without_hfs_ignored(part: bytes) -> bytes:
    if part.isascii():
        return part
    text = part.decode("utf-8", "surrogateescape")
    return _HFS_IGNORED.sub("", text).encode("utf-8", "surrogateescape")


def quoted(path: bytes) -> bytes:
    """Quote a path as git reads one in a line, such as of `alternates`: C's escapes, in quotes."""
    octal = (b"\\%03o" % byte if byte < 32 or byte in b'"\\' else bytes((byte,)) for byte in path)
    return b'"' + b"".join(octal) + b'"'
