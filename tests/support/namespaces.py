"""Hosts of tests: a prefix runs a command in namespaces of its own.

On a host that lacks something the command, and so the daemon that it starts, sees a small file
system or a missing program; it is the same user as ever. On a host of its own it is root. Needs
user namespaces, as building images does; without them: a skip.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SMALL = 'mount -t tmpfs -o "size=$2,mode=700" banger-test "$1"'
FULL = f'{SMALL}; cat /dev/zero >"$1/filled" 2>/dev/null || true'
WITHOUT_INODES = 'mount -t tmpfs -o "nr_inodes=$2,mode=700" banger-test "$1"'
READ_ONLY = 'mount -t tmpfs -o "ro,size=$2,mode=700" banger-test "$1"'
MISSING = """
mount -t tmpfs banger-test "$2"
mkdir "$2/upper" "$2/work"
folder=${1%/*}
mount -t overlay -o "lowerdir=$folder,upperdir=$2/upper,workdir=$2/work" banger-test "$folder"
rm "$1"
"""
BE_YOURSELF = """
user=$3 group=$4
shift 4
exec unshare --user --map-user="$user" --map-group="$group" -- "$@"
"""


def small_filesystem(directory: Path, size: str) -> list[str]:
    """Return the prefix for which `directory` is a new file system of that size."""
    return _prefix(SMALL, str(directory), size)


def full_filesystem(directory: Path) -> list[str]:
    """Return the prefix for which `directory` is a file system without a free block."""
    return _prefix(FULL, str(directory), "64k")


def filesystem_without_inodes(directory: Path) -> list[str]:
    """Return the prefix for which no file can be made in `directory`."""
    return _prefix(WITHOUT_INODES, str(directory), "1")


def read_only_filesystem(directory: Path) -> list[str]:
    """Return the prefix for which `directory` is a file system that cannot be written."""
    return _prefix(READ_ONLY, str(directory), "64k")


def missing_program(path: str, scratch: Path) -> list[str]:
    """Return the prefix for which a program does not exist; `scratch` is an empty directory."""
    return _prefix(MISSING, os.path.realpath(path), str(scratch))


def _prefix(script: str, one: str, two: str) -> list[str]:
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not installed")
    body = f"set -e\n{script}\n{BE_YOURSELF}"
    prefix = [unshare, "--user", "--map-root-user", "--mount", "sh", "-c", body, "sh", one, two]
    prefix += [str(os.getuid()), str(os.getgid())]
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False, timeout=60)
    if tried.returncode:
        pytest.skip(f"this host lets users make no such namespace: {tried.stderr.decode().strip()}")
    return prefix


@contextlib.contextmanager
def own_host(
    environ: dict[str, str], directory: Path, *, script: str, systemctl: str
) -> Iterator[tuple[str, ...]]:
    """Yield the prefix by which a command runs on a host of its own, as its root.

    `script` makes it with an empty directory, prints `ready`, and ends the host after its stdin.
    The host's `systemctl` comes first in the PATH of `environ`.
    """
    for name in ("bin", "scratch"):
        (directory / name).mkdir()
    program = directory / "bin/systemctl"
    program.write_text(systemctl)
    program.chmod(0o755)
    environ["PATH"] = f"{program.parent}:{environ['PATH']}:/usr/sbin:/sbin"
    spaces = ("--user", "--mount", "--net")
    with subprocess.Popen(
        ["unshare", "--map-root-user", *spaces, "sh", "-c", script, "sh", directory / "scratch"],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdout is not None
        if host.stdout.readline() != "ready\n":
            pytest.skip("this host lets users make no such namespaces")
        yield ("nsenter", f"--target={host.pid}", *spaces, "--preserve-credentials")
