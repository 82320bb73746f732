"""Fetches the files of others that a folder has copies of, as its MANIFEST says.

    python scripts/vendor.py FOLDER...

A line of a MANIFEST: `SHA256 FILE PACKAGE@VERSION MEMBER`, where MEMBER is the file's path in the
npm package. npm fetches the package, from the registry of its own configuration. A file with
another hash is refused; for a new version, write `-` instead of the hash, which is then filled in.
What a module imports from another package is the file of that name beside it.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path

IMPORT = re.compile(rb'\bfrom"([a-z]+)"')


def main() -> None:
    """Fetch the files of each folder, and write them and the MANIFEST."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in sys.argv[1:]:
            _fill(Path(name), Path(scratch))


def _fill(folder: Path, scratch: Path) -> None:
    manifest, lines = folder / "MANIFEST", []
    for line in manifest.read_text().splitlines():
        sha256, name, package, member = line.split()
        content = IMPORT.sub(rb'from"./\1.js"', _read_member(_fetch(package, scratch), member))
        found = hashlib.sha256(content).hexdigest()
        if sha256 not in ("-", found):
            sys.exit(f"{member} of {package} has the hash {found}, not that of {manifest}.")
        (folder / name).write_bytes(content)
        lines.append(f"{found} {name} {package} {member}\n")
    manifest.write_text("".join(lines))


@cache
def _fetch(package: str, scratch: Path) -> Path:
    """Return the archive of a package."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(scratch), package]
    packed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return scratch / packed.stdout.strip()


def _read_member(archive: Path, member: str) -> bytes:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(f"package/{member}")
        assert file is not None, f"{member} is not a file"
        return file.read()


if __name__ == "__main__":
    main()
