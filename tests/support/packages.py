"""What mmdebstrap gives, kept in the tests' cache.

To fetch and install the same packages takes 7 s of CPU for a kernel and 14 for an image. A run in
four does (`fresh`), and keeps what it was given for the others.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.support.artifacts import CACHE, DATA, hash_sources

KEEPING = """\
if [ -e "$kept/tar" ] && ! {fresh}; then
    touch "$kept"
    cat "$kept/said" >&2
    for word; do
        case $word in *=download\\ /var/lib/dpkg/status\\ *)  # a hook's
            tar -xOf "$kept/tar" ./var/lib/dpkg/status >"${{word##* }}" ;;
        esac
    done
    exec cat "$kept/tar"
fi
new=$(mktemp -d -p {data})
{program} "$@" 2> >(tee "$new/said" >&2) | tee "$new/tar"
mkdir -p "$kept"
mv "$new/said" "$new/tar" "$kept"
"""
"""Each file is replaced at once, since other runs may read it."""


def keep_packages(
    patch: pytest.MonkeyPatch, folder: Path, *, of: object, source: str, fresh: bool
) -> None:
    """Have mmdebstrap run only if `fresh`, or if nothing is kept `of` this by this source."""
    key = hashlib.sha256(f"{of} {hash_sources((source,))}".encode()).hexdigest()[:12]
    script = KEEPING.format(
        fresh=str(fresh).lower(), program=shutil.which("mmdebstrap"), data=os.environ[DATA]
    )
    replace_mmdebstrap(patch, folder, f"kept={os.environ[CACHE]}/packages-{key}\n{script}")


def keep_kernel_package(patch: pytest.MonkeyPatch, folder: Path, *, fresh: bool) -> None:
    """As `keep_packages`, for `kernel pull debian-cloud`."""
    keep_packages(patch, folder, of="debian-cloud", source="src/banger/kernels", fresh=fresh)


def replace_mmdebstrap(patch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Have a script of bash in mmdebstrap's place."""
    program = folder / "bin/mmdebstrap"
    program.parent.mkdir()
    program.write_text(f"#!/bin/bash\nset -e -o pipefail\n{script}\n")
    program.chmod(0o755)
    patch.setenv("PATH", str(program.parent), prepend=":")
