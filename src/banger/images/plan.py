"""Plan a build: from a recipe to arguments and files. Pure.

mmdebstrap runs hooks by a shell, so what a recipe says goes into them quoted, and is of
shapes that need no quoting (`recipe.require_recipe`): hazard G2.
"""

from __future__ import annotations

import io
import shlex
import tarfile
from pathlib import Path

from banger.host.mmdebstrap import Bootstrap
from banger.images.recipe import Recipe

EPOCH = 1704067200
"""2024-01-01: the latest file time in an image. Any constant would do."""

FINISH = """\
set -eu
cd "$1"
# Identity is given at each boot; two machines of an image must not share any (D2).
rm -f etc/hostname etc/resolv.conf etc/ssh/ssh_host_*_key* var/lib/dbus/machine-id \\
    var/lib/systemd/random-seed var/lib/systemd/credential.secret
: > etc/machine-id
: > etc/fstab
# What differs between two builds, or only takes space.
rm -rf var/cache/apt/* var/cache/ldconfig/* var/cache/debconf/*-old var/lib/apt/lists/* \\
    var/lib/dpkg/*-old var/lib/systemd/catalog/database var/lib/systemd/deb-systemd-helper-* \\
    etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/subuid- etc/subgid- root/.cache
find var/log -type f -delete
# systemd: nothing under /usr is newer than what these stand for, so no ldconfig at boot.
: > etc/.updated
: > var/.updated
"""
"""The last hook of every build; the shell gets the root as $1."""


def plan_bootstrap(recipe: Recipe, *, overlay: Path, status: Path) -> Bootstrap:
    """Return what mmdebstrap is asked for.

    `overlay` is the tar of `build_overlay`; `status` is where dpkg's status is copied to.
    """
    hooks = [f"tar-in {shlex.quote(str(overlay))} /"]
    hooks += [
        f'chroot "$1" systemctl --quiet {verb} -- {shlex.join(units)}'
        for verb, units in (
            ("disable", recipe.units.disable),
            ("enable", recipe.units.enable),
            ("mask", recipe.units.mask),
        )
        if units
    ]
    if recipe.remove:
        # Unquoted on purpose: the shapes allow no character but * and ? to mean anything.
        globs = " ".join(f'"$1"{glob}' for glob in recipe.remove)
        hooks.append(f"rm -rf -- {globs}")
    hooks += [FINISH, f"download /var/lib/dpkg/status {shlex.quote(str(status))}"]
    return Bootstrap(
        suite=recipe.suite,
        variant=recipe.variant,
        packages=recipe.packages,
        components=recipe.components,
        options=(
            *(f"--dpkgopt=path-exclude={glob}" for glob in recipe.drop),
            *(f"--dpkgopt=path-include={glob}" for glob in recipe.keep),
            *(f"--customize-hook={hook}" for hook in hooks),
        ),
        epoch=EPOCH,
    )


def plan_sqfstar(root: Path) -> list[str]:
    """Return the arguments that make `root` from a tar stream on stdin.

    Uncompressed: reads cost nothing but the read, and the host's page cache is shared by all
    VMs. Owner, mode and time of the root directory: see `rootinode`. Without a limit it takes a
    quarter of the host's memory for its buffers.
    """
    return [
        "sqfstar",
        "-quiet",
        "-no-progress",
        "-exit-on-error",
        "-reproducible",
        *("-mkfs-time", str(EPOCH)),
        *("-mem", "64M"),
        *("-noI", "-noD", "-noF", "-noX"),
        str(root),
    ]


def build_overlay(recipe: Recipe) -> bytes:
    """Return a tar of the recipe's files: owned by root, with a fixed time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in recipe.files:
            content = file.content.encode()
            member = tarfile.TarInfo(file.path.lstrip("/"))
            member.mode, member.mtime, member.size = file.mode, EPOCH, len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def parse_dpkg_status(untrusted_text: str) -> dict[str, str]:
    """Return name and version of each installed package of dpkg's status file."""
    packages: dict[str, str] = {}
    for paragraph in untrusted_text.split("\n\n"):
        pairs = (line.split(": ", 1) for line in paragraph.splitlines() if not line.startswith(" "))
        fields = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
        if fields.get("Status") == "install ok installed" and "Package" in fields:
            packages[fields["Package"]] = fields.get("Version", "")
    return dict(sorted(packages.items()))
