"""Mount a workspace over itself, read-only, so that nothing in the guest can write to it.

Changes the guest's mounts and nothing else; each function may be repeated. A boot forgets mounts,
so the engine mounts anew after each. If the process dies before the mount, the workspace can be
written and is not recorded: a prepare makes it again.

Root in the guest can undo the mount. That harms only the guest: nothing is exported from a
read-only workspace, whatever is in it.
"""

from __future__ import annotations

import os

from banger.errors import GuestRefused, GuestToolMissing
from banger.guest import GuestFiles

STEP_DEADLINE_S = 60.0
FUNCTIONS = """
unescape() {
    rest=$1 name=
    while [ "$rest" != "${rest#*\\\\}" ]; do
        name="$name${rest%%\\\\*}\\\\0" rest=${rest#*\\\\}
    done
    printf '%b.' "$name$rest"
}
is_mounted() {
    while read -r _ _ _ _ point _; do
        case $point in *\\\\*) point=$(unescape "$point"); point=${point%.} ;; esac
        [ "$point" != "$1" ] || return 0
    done </proc/self/mountinfo
    return 1
}
place() { (cd -P -- "$1" && pwd -P && echo .); }
make_writable() {
    at=$(place "$1") && at=${at%??}
    if is_mounted "$at"; then umount -l "$at"; fi
}
make_read_only() {
    at=$(place "$1") && at=${at%??}
    is_mounted "$at" || mount -o bind "$at" "$at"
    mount -o remount,bind,ro "$at"
}
"""
"""To be used under `set -e`. The kernel writes blanks and newlines in names as octal escapes
of three digits, which `%b` takes with a 0 before: a digit of the name may follow. `umount -l`,
since programs may be in the directory."""
_TOOLS = "command -v mount && command -v umount && [ -r /proc/self/mountinfo ]"


async def require_mount(guest: GuestFiles) -> None:
    """Check that a directory can be mounted read-only.

    Raises:
        GuestToolMissing: the guest lacks the programs.
    """
    done = await guest.run(["sh", "-c", _TOOLS], deadline_s=STEP_DEADLINE_S)
    if done.status:
        raise GuestToolMissing(
            "The guest lacks mount and umount, which a read-only workspace needs.",
            hint="banger image list (an image that has them)",
        )


async def make_read_only(guest: GuestFiles, path: str) -> None:
    """Make a workspace read-only, unless it is already."""
    await _run(guest, "make_read_only", path)


async def make_writable(guest: GuestFiles, path: str) -> None:
    """Let a workspace be written, or do nothing if it can be."""
    await _run(guest, "make_writable", path)


async def _run(guest: GuestFiles, function: str, path: str) -> None:
    script = f'{FUNCTIONS}\nset -e\n{function} "$1"'
    argv = ["sh", "-c", script, "banger", path]
    done = await guest.run(argv, deadline_s=STEP_DEADLINE_S)
    if done.status:
        raise GuestRefused(
            f"The mount of {path} cannot be changed in the guest.",
            details=os.fsdecode(done.untrusted_stderr[-2000:]),
        )
