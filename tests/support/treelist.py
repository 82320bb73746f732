"""`python -m tests.support.treelist TOP`: everything that is known of each file below a directory.

A line of JSON for each entry, by name; of itself, so that it can run where it is root.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator


def list_tree(top: bytes) -> Iterator[tuple[str, list[object]]]:
    """Yield each name with type, mode, owner, time, links, attributes, and what it holds."""
    first_names: dict[int, str] = {}
    for folder, folders, files in os.walk(top):
        folders.sort()
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            key = os.fsdecode(os.path.relpath(path, top))
            yield key, [*_facts(path, status), *_links(first_names, key, status)]


def _facts(path: bytes, status: os.stat_result) -> list[object]:
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False).hex()
        for name in sorted(os.listxattr(path, follow_symlinks=False))
    }
    return [
        stat.filemode(status.st_mode),
        status.st_uid,
        status.st_gid,
        int(status.st_mtime),
        attributes,
        _content(path, status),
    ]


def _content(path: bytes, status: os.stat_result) -> object:
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            return [status.st_size, hashlib.file_digest(file, "sha256").hexdigest()]
    if stat.S_ISLNK(status.st_mode):
        return os.fsdecode(os.readlink(path))
    return status.st_rdev


def _links(first_names: dict[int, str], key: str, status: os.stat_result) -> list[object]:
    """Return the number of names that a file has, and the first of them."""
    if stat.S_ISDIR(status.st_mode):
        return []
    return [status.st_nlink, first_names.setdefault(status.st_ino, key)]


if __name__ == "__main__":
    for line in sorted(list_tree(os.fsencode(sys.argv[1]))):
        print(json.dumps(line))
