"""What the host refuses of a user's files, as a sentence with the path and a remedy.

A home that cannot be written, a variable that leads to nowhere, a full disk: each is the user's
situation and no bug of ours. The boundaries of the command line and of the daemon ask here before
they write a report. Reads the file system to tell the cause; changes nothing.
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
"""What says that a path leads to nothing, or to something else than is needed."""
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
"""Characters of a path that a sentence has room for when the path is the fault itself."""


def explain_refusal(error: OSError | MemoryError) -> HostNotReady | NoSpace | None:
    """Return the sentence for an error of the host; None: nothing tells that it is no bug."""
    if isinstance(error, MemoryError):
        return HostNotReady("The host refuses more memory.", hint="ulimit -a")
    if error.errno in LIMITS:
        return HostNotReady(
            f"The host refuses more of something: {error.strerror}.", hint="ulimit -a"
        )
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
        HostNotReady: it is too long.
    """
    if len(os.fsencode(path)) > SUN_PATH_MAX:
        shown = path if len(path) <= 2 * SUN_PATH_MAX else f"{path[:SHOWN]}..."
        raise HostNotReady(
            f"The path {shown} is too long for a socket: {SUN_PATH_MAX} bytes are possible.",
            hint="export XDG_RUNTIME_DIR=/run/user/$(id -u)",
        )


def _describe(error: OSError, path: str) -> str:
    """Return the path and why it cannot be used."""
    if error.errno == errno.ENAMETOOLONG:
        size = len(os.fsencode(path))
        return f"The path {path[:SHOWN]}... is too long for this host: {size} bytes."
    near = nearest_existing(path)
    if error.errno == errno.EROFS:
        return f"{path} cannot be written: its file system is read-only."
    done = "used" if os.path.lexists(path) else "made"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path} cannot be {done}: you may not write in {near} ({error.strerror})."
    if os.path.islink(link := _first_missing(path, near)):
        return (
            f"{path} cannot be {done}: {link} links to {os.readlink(link)}, which does not exist."
        )
    if not os.path.isdir(near) and near != path:
        return f"{path} cannot be {done}: {near} is not a directory."
    return f"{path} cannot be {done}: {error.strerror or error}."


def _find_remedy(error: OSError, path: str) -> str:
    """Return a command: the one that corrects the variable, else one that shows the cause."""
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
    """Return the variable that made us look there."""
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
    """Return what is not there, right below what is."""
    while os.path.dirname(path) != near and path != near and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path
