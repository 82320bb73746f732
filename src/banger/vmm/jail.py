"""The jail around a VMM of any kind: bubblewrap's arguments. Pure; figures are in ADR 0073.

Hazard E5: a guest that breaks out of its VMM finds itself in a process without privileges, in
user, mount, process, network, IPC, host name and control group namespaces of its own. The
process sees the VM's own files, the distribution's /usr where its VMM needs libraries, and
nothing else of the host: no home, no runtime directory, no /proc, no other process, no
environment, no socket but those that it inherited. Only the files that it is given for writing
can be written to.

The VMM is process 1 of its process namespace: what it starts ends with it, and no second process
stands beside it. From outside it is signalled as ever, except that a signal without a handler
does nothing; SIGKILL and SIGSTOP always act.

bubblewrap stays outside as the VMM's parent, the monitor: it ends with the VMM and passes on its
exit status. A monitor that is killed takes the VMM with it (`native/with-parent`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

NETWORK = "--unshare-net"
NAMESPACES = (
    "--unshare-user",
    "--unshare-pid",
    "--as-pid-1",  # else bubblewrap stays inside as well, to reap children that no VMM has
    NETWORK,
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup",
)
SEALED = "--disable-userns"
"""No further user namespace from inside: the way to the kernel's parts that only root reaches.
Since bubblewrap 0.8; needs a /proc/sys that can be written to, which containers often lack."""
WITH_PARENT = "/banger-with-parent"
"""Where the jail shows that program."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")


@dataclass(frozen=True, kw_only=True)
class JailFacts:
    """A bubblewrap that was seen to work, and the shape of this host's system directories."""

    binary: str
    shown: tuple[str, ...]
    """System directories to show as they are."""
    links: tuple[tuple[str, str], ...]
    """Symbolic links of the root directory: target, name."""
    is_sealed: bool
    """SEALED works here."""
    with_parent: str
    """The program that ends the VMM with its monitor."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What a VMM sees besides the system's directories; files are where they are on the host."""

    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    placed: tuple[tuple[Path, str], ...] = ()
    """Readable files that are shown under another path."""
    devices: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    """The VMM's whole environment."""


def plan_jail(
    facts: JailFacts, argv: Sequence[str], view: View, *, keeps_network: bool = False
) -> list[str]:
    """Return the command that runs `argv` with this view and nothing else.

    `keeps_network`: the command is started in the VMM's network namespace (`vmm.tap`) instead of
    making one; the VMM has no privilege in it.
    """
    own = [word for word in NAMESPACES if not keeps_network or word != NETWORK]
    sealed = [SEALED] if facts.is_sealed else []
    return [facts.binary, *own, *sealed, *_view(facts, view), "--", WITH_PARENT, *argv]


def _view(facts: JailFacts, view: View) -> list[str]:
    return [
        "--clearenv",
        *_words("--setenv", view.variables),
        *_words("--ro-bind", ((path, path) for path in facts.shown)),
        *_words("--symlink", facts.links),
        *_words("--dev-bind", ((path, path) for path in (*DEVICES, *view.devices))),
        *_words("--ro-bind", ((path, path) for path in view.readable)),
        *_words("--ro-bind", (*view.placed, (facts.with_parent, WITH_PARENT))),
        *_words("--bind", ((path, path) for path in view.writable)),
        *("--remount-ro", "/"),  # the root is memory that would be the VMM's to fill
    ]


def _words(
    option: str, pairs: Iterable[tuple[str | os.PathLike[str], str | os.PathLike[str]]]
) -> list[str]:
    return [word for one, two in pairs for word in (option, os.fspath(one), os.fspath(two))]
