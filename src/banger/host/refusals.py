"""The host's refusals about a user's files, each as a sentence with the path and a remedy.

A read-only home, a variable with a missing path, a full disk: each is the user's situation, not
a bug in banger. The command line and the daemon check here before they write a report. Reads the
file system to find the cause; changes nothing.
"""

from __future__ import annotations

import errno
import os
import pwd

from banger.errors import HostNotReady, NoSpace
from banger.host.files import LIMITS, NO_SPACE, REFUSALS, nearest_existing, no_space
from banger.layout import SUN_PATH_MAX

SHAPES = frozenset(
    {
        errno.ENOENT,
        errno.EISDIR,
        errno.EEXIST,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.ENXIO,
        errno.ENODEV,
        errno.ESTALE,
    }
)
"""Errors for a path that leads to nothing, or to a file of the wrong type."""
VARIABLES = (
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "TMPDIR",
    "HOME",
)
SHOWN = 80
"""Characters shown of a path that is too long."""


def explain_refusal(error: OSError | MemoryError) -> HostNotReady | NoSpace | None:
    """Return the user's error for an error of the host; None if the error may be a bug."""
    if isinstance(error, MemoryError):
        return HostNotReady("The host refused to allocate more memory.", hint="ulimit -a")
    if error.errno in LIMITS:
        return HostNotReady(f"A limit of the host is reached: {error.strerror}.", hint="ulimit -a")
    name = error.filename
    if error.errno not in REFUSALS | SHAPES or not isinstance(name, str | bytes | os.PathLike):
        return None
    path = os.fsdecode(name)
    if error.errno in NO_SPACE:
        return no_space(path)
    return HostNotReady(_describe(error, path), hint=_find_remedy(error, path))


def require_socket_path(path: str) -> None:
    """Check that a socket can have this path.

    Raises:
        HostNotReady: the path is too long.
    """
    if len(os.fsencode(path)) > SUN_PATH_MAX:
        shown = path if len(path) <= 2 * SUN_PATH_MAX else f"{path[:SHOWN]}..."
        raise HostNotReady(
            f"The path {shown} is too long for a socket: the limit is {SUN_PATH_MAX} bytes.",
            hint="export XDG_RUNTIME_DIR=/run/user/$(id -u)",
        )


def _describe(error: OSError, path: str) -> str:
    """Return a sentence with the path and the reason why it cannot be used."""
    if error.errno == errno.ENAMETOOLONG:
        size = len(os.fsencode(path))
        return f"The path {path[:SHOWN]}... is too long for this host: {size} bytes."
    near = nearest_existing(path)
    if error.errno == errno.EROFS:
        return f"{path} cannot be written: its file system is read-only."
    done = "used" if os.path.lexists(path) else "made"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path} cannot be {done}: you cannot write to {near} ({error.strerror})."
    if os.path.islink(link := _first_missing(path, near)):
        return (
            f"{path} cannot be {done}: {link} links to {os.readlink(link)}, which does not exist."
        )
    if not os.path.isdir(near) and near != path:
        return f"{path} cannot be {done}: {near} is not a directory."
    return f"{path} cannot be {done}: {error.strerror or error}."


def _find_remedy(error: OSError, path: str) -> str:
    """Return a command that corrects the variable, else a command that shows the cause."""
    near = nearest_existing(path)
    if error.errno == errno.EROFS:
        return f"findmnt --target {near}"
    variable = _find_variable(path)
    if variable == "HOME" and os.environ["HOME"].rstrip("/") != _home_of_record():
        return 'export HOME="$(getent passwd "$(id -u)" | cut -d: -f6)"'
    if variable not in (None, "HOME"):
        return f"unset {variable}"
    return f"ls -ld {near}"


def _find_variable(path: str) -> str | None:
    """Return the variable that the path comes from."""
    for name in VARIABLES:
        value = os.environ.get(name, "").rstrip("/")
        if value and (path == value or path.startswith(f"{value}/")):
            return name
    return None


def _home_of_record() -> str | None:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir.rstrip("/")
    except KeyError:
        return None


def _first_missing(path: str, near: str) -> str:
    """Return the first missing part of a path, directly below `near`, which exists."""
    while os.path.dirname(path) != near and path != near and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path
